"""What the Latent space tab shows, as messages for its components: the map, a point, the way between two, a path."""

import contextlib
import shutil
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from diffdemo import catalog, validate
from diffdemo.errors import CheckpointError, DataError, RequestError
from diffdemo.figures.raster import save_gif
from diffdemo.latent.map import LatentMap, follow, interpolate, load_map
from diffdemo.latent.space import psnr
from diffdemo.latent_generator import LatentGenerator
from diffdemo.ui.components.viewer import pack, pack_numbers
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.stream import stream
from diffdemo.ui.runs.zoo import ModelZoo

MODEL = "latent_diffusion"
MINE = -1  # in place of a point's index: the visitor's own picture
NEIGHBOURS, STRIP = 5, 9
KEPT = 8  # films
FRAMES, FPS, SCALE = 33, 16, 4  # of a GIF; each pixel of a picture is drawn so many pixels wide


class LatentSpace:
    """The latent space of a model, its map, and the original pictures where the data set is.

    Args:
        model: of latents.
        latent_map: made of its latents.
        data: data folder, which may not be there.
    """

    def __init__(self, model: LatentGenerator, latent_map: LatentMap, data: str | Path = "data"):
        self.model, self.map, self.data = model, latent_map, data
        self.originals: np.ndarray | None = None  # until they are looked for

    @classmethod
    def open(cls, zoo: ModelZoo, data: str | Path = "data") -> "LatentSpace":
        """That of the zoo's model of latents; CheckpointError if its map is not there or damaged."""
        return cls(zoo[MODEL], load_map(catalog.find(MODEL, zoo.folder)), data)

    @property
    def pathless(self) -> str:
        """Why no sample can be drawn, as a sentence; "" if one can."""
        try:
            self.model.require_denoiser()
        except CheckpointError as error:
            return str(error)
        return ""

    def look_for_originals(self) -> None:
        """Take the originals out of the data folder, if they are in it and were not taken before."""
        if self.originals is None:
            with contextlib.suppress(DataError):
                self.originals = self.map.originals(self.data)

    @property
    def downloadable(self) -> bool:
        """Whether the originals are missing and CIFAR-10 has them; other pictures are on no server."""
        return self.originals is None and self.map.source.startswith("CIFAR-10")

    def download_originals(self) -> None:
        """As `look_for_originals`, but get the data set if there is none.

        Raises:
            DataError: it cannot be downloaded, or the folder holds something else.
        """
        try:
            self.originals = self.map.originals(self.data, download=True)
        except DataError as error:  # a visitor's folders are others
            raise DataError(f"The data folder{str(error).removeprefix(str(self.data))}") from error

    def index(self, value: object, name: str = "point") -> int:
        """A checked point of the map, by the name of the setting that has it."""
        return validate.whole_number(name, value, 0, len(self.map) - 1)

    def latent(self, value: object, mine: np.ndarray | None = None) -> np.ndarray:
        """The latent, (D,) float32, of a point of the map, or for -1 of the visitor's own picture (H, W, 3) uint8."""
        if value != MINE:
            return self.map.latents[self.index(value)]
        if mine is None:
            raise RequestError("There is no picture of yours on the map yet; upload one, or choose another point.")
        return self.model.encode(mine[None])[0]

    def name(self, index: int) -> str:
        """What a point is called."""
        return "your picture" if index == MINE else f"point {index}, {self.map.classes[self.map.labels[index]]}"


def scene(space: LatentSpace, selected: int, ends: Sequence[int]) -> dict:
    """The map with all its points."""
    points = space.map
    return {
        "scene": {
            "views": {view: pack_numbers(points.points(view)) for view in ("pca", "tsne")},
            "labels": pack(points.labels.astype(np.uint8)),
            "classes": list(points.classes),
            "shares": points.shares.tolist(),
        },
        "ends": list(ends),
        "selected": selected,
    }


def facts(
    space: LatentSpace, value: object, mine: np.ndarray | None = None
) -> tuple[dict, np.ndarray, np.ndarray | None]:
    """What is known of one point, or for -1 of the visitor's own picture.

    Returns numbers and names; pictures, (1 + K, H, W, 3) uint8, that it and its K neighbours decode to; and the
    original, (H, W, 3) uint8, where it is there.
    """
    latent = space.latent(value, mine)
    index = MINE if value == MINE else space.index(value)
    nearest, distances = space.map.neighbours(latent, NEIGHBOURS, leave_out=index)
    pictures = space.model.decode(np.stack([latent, *space.map.latents[nearest]]))
    original = mine if index == MINE else None if space.originals is None else space.originals[index]
    loss = None if original is None else float(psnr(original[None] / 255, pictures[:1] / 255)[0])
    names = [space.map.classes[label] for label in space.map.labels[nearest]]
    known = {
        "of": index,
        "title": space.name(index),
        "psnr": loss if loss is None or np.isfinite(loss) else None,  # infinite is nothing that JSON can say
        "probabilities": dict(
            zip(space.model.classes, space.model.latent_probabilities(latent[None])[0].tolist(), strict=True)
        ),
        "neighbours": [
            {"index": int(other), "class": name, "distance": float(distance)}
            for other, name, distance in zip(nearest, names, distances, strict=True)
        ],
    }
    return known, pictures, original


def point(space: LatentSpace, value: object, mine: np.ndarray | None = None) -> dict:
    """One point, or for -1 the visitor's own picture, with its pictures."""
    known, pictures, original = facts(space, value, mine)
    return known | {
        "picture": pack(pictures[0]),
        "original": None if original is None else pack(original),
        "nearest": pack(pictures[1:]),
        "size": list(space.model.image_size),
    }


def preview(space: LatentSpace, value: object, mine: np.ndarray | None = None) -> dict:
    """What a point, or for -1 the visitor's own picture, decodes to, to be shown on the map."""
    picture = space.model.decode(space.latent(value, mine)[None])
    return {"preview": {"of": value, "picture": pack(picture), "size": list(space.model.image_size)}}


def placed(space: LatentSpace, mine: np.ndarray) -> dict:
    """Where the visitor's own picture lies on the map."""
    return {"placed": space.map.place(space.latent(MINE, mine)).tolist(), "selected": MINE}


def between(space: LatentSpace, a: object, b: object, mine: np.ndarray | None = None, count: int = STRIP) -> np.ndarray:
    """Pictures, (count, H, W, 3) uint8, on the way from one point to another."""
    return space.model.decode(interpolate(space.latent(a, mine), space.latent(b, mine), count))


def strip(space: LatentSpace, a: object, b: object, mine: np.ndarray | None = None) -> dict:
    """The way from one point to another."""
    return {
        "of": f"{a}-{b}",
        "ends": [space.name(end) for end in (a, b)],
        "count": STRIP,
        "pictures": pack(between(space, a, b, mine)),
        "size": list(space.model.image_size),
    }


def start(space: LatentSpace, asked: Settings, way: list[np.ndarray]) -> SamplingRun:
    """A checked run which puts its paths on the map, (N, 2) of every state of its N images, into `way`.

    Raises:
        RequestError: a setting is out of range or unknown.
    """
    model = space.model
    return SamplingRun.start(model, asked.request(model), watch=lambda steps: follow(steps, space.map, way))


def walk(
    space: LatentSpace, asked: Settings, halted: Callable[[], bool] = lambda: False, seconds: float | None = None
) -> Iterator[tuple[dict, dict]]:
    """Run these settings: messages for the viewer, as `stream` has them, each with the paths so far for the map."""
    way: list[np.ndarray] = []
    for message in stream([start(space, asked, way)], halted, seconds):
        path = {"run": message["run"], "done": message["state"] == "done", "seeds": message["lanes"][0]["seeds"]}
        yield message, {"path": path | {"points": pack_numbers(np.stack(way, axis=1))}}


class Films:
    """GIFs of interpolations, in a folder that goes with the page."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="diffdemo-")
        self._kept: deque[Path] = deque()

    def write(self, space: LatentSpace, a: object, b: object, mine: np.ndarray | None = None) -> Path:
        """The way from A to B and back."""
        there = between(space, a, b, mine, FRAMES).repeat(SCALE, axis=1).repeat(SCALE, axis=2)
        ends = "-".join("mine" if end == MINE else f"{space.index(end)}" for end in (a, b))
        path = Path(self._folder.name, uuid.uuid4().hex, f"latent-{ends}.gif")
        self._kept.append(path.parent)
        if len(self._kept) > KEPT:  # Gradio has a copy of its own by then
            shutil.rmtree(self._kept.popleft(), ignore_errors=True)
        return save_gif(path, np.concatenate([there, there[-2:0:-1]]), fps=FPS, hold=0)
