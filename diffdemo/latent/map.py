"""A map of a latent space: encoded test pictures in a plane, what lies where on it, and the way between two of them.

A checkpoint of latents has its map in `map.safetensors`: latents, no pictures. The plane of the first two principal
components can place any other latent too, such as the states of a run; a t-SNE map shows neighbourhoods better and
holds for its own points alone.
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from diffdemo import validate
from diffdemo.checkpoint import add_tensors, read_tensors
from diffdemo.description import MAP, CheckpointInfo, read_info
from diffdemo.errors import CheckpointError, DataError, RequestError
from diffdemo.latent.space import tsne

if TYPE_CHECKING:
    from diffdemo.data import Dataset
    from diffdemo.latent_generator import LatentGenerator
    from diffdemo.process.samplers import Step

POINTS = 1000
LEAST_POINTS = 4  # fewer have no t-SNE map
VIEWS = ("pca", "tsne")
TENSORS = ("latents", "labels", "index", "tsne", "mean", "components", "shares")


@dataclass(frozen=True, eq=False)
class LatentMap:
    """N encoded test pictures of C classes.

    Attributes:
        latents: (N, D) float32, standardised; kept as fp16, so that all else here is of the rounded ones.
        labels: (N,) int64, an index into classes.
        index: (N,) int64, place of each picture among the test pictures of these classes, ascending.
        tsne: (N, 2) float32, the t-SNE map.
        mean, components: (D,) and (2, D) float32, of the first two principal components; orthonormal rows.
        shares: (2,) float32, part of the latents' variance along each of the two, 0 to 1.
        classes: names.
        source: the test pictures in words.
        digest: SHA-256 of the N pictures, by which they are known again.
    """

    latents: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    tsne: np.ndarray
    mean: np.ndarray
    components: np.ndarray
    shares: np.ndarray
    classes: tuple[str, ...]
    source: str
    digest: str

    def __len__(self) -> int:
        return len(self.labels)

    def points(self, view: str) -> np.ndarray:
        """Where the map's own points are, (N, 2) float32, in the view "pca" or "tsne"."""
        return self.tsne if validate.choice("view", view, VIEWS) == "tsne" else self.place(self.latents)

    def place(self, latents: np.ndarray, view: str = "pca") -> np.ndarray:
        """Where standardised latents (M, D) lie on the map, (M, 2) float32.

        Raises:
            RequestError: the view is "tsne", or unknown.
        """
        if validate.choice("view", view, VIEWS) == "tsne":
            raise RequestError("t-SNE lays out the points it was made of and cannot place another one; use pca.")
        return (np.asarray(latents, np.float32) - self.mean) @ self.components.T

    def neighbours(self, latent: np.ndarray, count: int = 5, leave_out: int | None = None) -> tuple:
        """The points nearest to a latent (D,): which, (count,) int64, and their Euclidean distances, nearest first."""
        distances = np.linalg.norm(self.latents - latent, axis=1)
        order = np.argsort(distances, kind="stable")
        nearest = order[order != leave_out][:count]
        return nearest, distances[nearest]

    def originals(self, data: str | Path = "data", download: bool = False) -> np.ndarray:
        """The pictures themselves, (N, 32, 32, 3) uint8, out of a data folder.

        Raises:
            DataError: there is no data set, it has other pictures, or it cannot be downloaded.
        """
        from diffdemo.data import load_dataset

        test = load_dataset(data, "test", download=download).only(self.classes)
        if self.index[-1] < len(test):
            pictures = np.array(test.images[self.index])
            if _digest(pictures) == self.digest:
                return pictures
        raise DataError(f"{data} holds other pictures than the map was made of, which are {self.source}.")


def make_map(model: "LatentGenerator", test: "Dataset", count: int = POINTS) -> LatentMap:
    """Encode the first test pictures of each class, `count` in all or as many as there are, and lay them out.

    Args:
        model: of latents.
        test: test pictures of the model's classes, in the order of its labels.
        count: at least 4.

    Raises:
        DataError: there are fewer than 4 pictures.
    """
    from sklearn.decomposition import PCA

    share = -(-count // len(test.classes))
    each = [np.flatnonzero(test.labels == label)[:share] for label in range(len(test.classes))]
    index = np.sort(np.concatenate(each))
    if len(index) < LEAST_POINTS:
        raise DataError(f"A map needs at least {LEAST_POINTS} test pictures, and there are {len(index)}.")
    pictures = np.array(test.images[index])
    latents = model.encode(pictures).astype(np.float16).astype(np.float32)
    plane = PCA(2, random_state=0).fit(latents)
    return LatentMap(
        latents=latents,
        labels=test.labels[index],
        index=index,
        tsne=tsne(latents).astype(np.float32),
        mean=plane.mean_.astype(np.float32),
        components=plane.components_.astype(np.float32),
        shares=plane.explained_variance_ratio_.astype(np.float32),
        classes=test.classes,
        source=test.source,
        digest=_digest(pictures),
    )


def save_map(folder: Path, latent_map: LatentMap) -> CheckpointInfo:
    """Put a map into the checkpoint that its latents come from; CheckpointError if that is impossible."""
    tensors = {name: torch.from_numpy(getattr(latent_map, name)) for name in TENSORS}
    header = {"source": latent_map.source, "digest": latent_map.digest}
    return add_tensors(folder, MAP, tensors | {"latents": tensors["latents"].half()}, header)


def load_map(folder: Path) -> LatentMap:
    """The map in a checkpoint's folder.

    Raises:
        CheckpointError: it is not there, or not as it was written.
    """
    info = read_info(folder)
    if MAP not in info.files:
        raise CheckpointError(
            f"{folder} has no map of its latent space; make one with python -m train.latent_map --checkpoint {folder}."
        )
    tensors, header = read_tensors(folder, info, MAP)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    count, dim = len(arrays.get("labels", ())), info.model["autoencoder"]["latent_dim"]
    wanted = {"latents": (count, dim), "labels": (count,), "index": (count,), "tsne": (count, 2)}
    wanted |= {"mean": (dim,), "components": (2, dim), "shares": (2,)}
    fits = {name: array.shape for name, array in arrays.items()} == wanted and count >= LEAST_POINTS
    if not fits or not 0 <= arrays["labels"].min() <= arrays["labels"].max() < len(info.classes):
        raise CheckpointError(f"{folder / MAP} is no map of this latent space; make it again, or restore it.")
    arrays["latents"] = arrays["latents"].astype(np.float32)
    return LatentMap(**arrays, classes=info.classes, source=header.get("source", ""), digest=header.get("digest", ""))


def follow(steps: Iterator["Step"], latent_map: LatentMap, way: list[np.ndarray]) -> Iterator["Step"]:
    """The steps of a run of N latents; `way` grows by where they are on the map, (N, 2): their noise, then each step.

    The last points are where the samples themselves lie. Closing this closes the run.
    """
    with closing(steps):
        for step in steps:
            for state in [step.x_prev] if way else [step.x_t, step.x_prev]:
                way.append(latent_map.place(state.float().cpu().numpy()))
            yield step


def interpolate(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """`count` latents, (count, D) float32, from a to b, both (D,): along a great circle, lengths changing evenly.

    Standardised latents of D numbers lie near a sphere of radius sqrt(D), and a straight line between two of them leads
    through its inside: halfway, latents are 30 % shorter than pictures' own, and decode to grey ones (White 2016,
    https://arxiv.org/abs/1609.04468). The circle (Shoemake 1985) stays where pictures are. Where it is not
    defined, for latents in the same or in opposite directions, the line is taken.

    Raises:
        RequestError: count is below 2.
    """
    share = np.linspace(0, 1, validate.whole_number("count", count, 2, POINTS), dtype=np.float64)[:, None]
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    cosine = a @ b / max(lengths[0] * lengths[1], 1e-12)
    if not min(lengths) or abs(cosine) > 1 - 1e-6:
        return ((1 - share) * a + share * b).astype(np.float32)
    angle = np.arccos(cosine)
    directions = (np.sin((1 - share) * angle) * a / lengths[0] + np.sin(share * angle) * b / lengths[1]) / np.sin(angle)
    return (directions * ((1 - share) * lengths[0] + share * lengths[1])).astype(np.float32)


def _digest(pictures: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pictures).tobytes()).hexdigest()
