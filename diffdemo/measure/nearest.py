"""The training pictures that a picture is most like, and how near real pictures come to theirs: is it a copy?"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from diffdemo import validate
from diffdemo.atomic import write_atomically
from diffdemo.data import SPLITS, Dataset, load_dataset
from diffdemo.errors import DataError
from diffdemo.measure.features import CACHE, dataset_hash, look_once
from diffdemo.measure.neighbours import nearest_neighbours

if TYPE_CHECKING:
    from diffdemo.measure.classifier import FeatureClassifier

MEASURES = {  # what is compared, and what its distances are
    "features": "Distances are of the classifier's features",
    "pixels": "Distances are root mean square differences of pixels, 0 to 255",
}
MOST = 50
SAMPLED = 1000  # test pictures whose distances say what is usual
CHUNK = 100
LOW = 0.05
SAYS = {
    "copy": "is a copy",
    "near": "is nearer to a training picture than 19 of 20 real ones are: it may be a copy, or only plainer than they "
    "are; look at both",
    "apart": "is no nearer to a training picture than real ones are, so nothing here says it is a copy",
}
COPY = 0.01  # of the usual distance; a copy is at 0, and storing features as float32 rounds


@dataclass(frozen=True, eq=False)
class Neighbours:
    """A picture and the training pictures nearest to it.

    Attributes:
        picture: (32, 32, 3) uint8.
        pictures: (K, 32, 32, 3) uint8, the nearest first.
        labels: the class of each.
        index: the place of each in the training split.
        distances: (K,), of the classifier's features, or root mean square differences of pixels, 0 to 255.
    """

    picture: np.ndarray
    pictures: np.ndarray
    labels: Sequence[str]
    index: np.ndarray
    distances: np.ndarray

    def describe(self) -> list[dict]:
        """[{"distance", "class", "index"}], as JSON takes it."""
        rows = zip(self.distances, self.labels, self.index, strict=True)
        return [{"distance": float(d), "class": label, "index": int(index)} for d, label, index in rows]


@dataclass(frozen=True)
class Usual:
    """Distances of `n` real test pictures to their nearest training picture: the median, and the 5 % quantile."""

    n: int
    median: float
    low: float

    def says(self, distance: float) -> str:
        """What the distance of a picture to its nearest training picture says of it: a key of SAYS."""
        return "copy" if distance <= COPY * self.median else "near" if distance < self.low else "apart"

    def judge(self, distance: float) -> str:
        """What the distance of a picture to its nearest training picture says, as two sentences."""
        return (
            f"Of {self.n:,} real test pictures half are nearer to a training picture than {self.median:.3g}, and one "
            f"in twenty is nearer than {self.low:.3g}. This picture, at {distance:.3g}, {SAYS[self.says(distance)]}."
        )


def together(said: Mapping[str, str]) -> str:
    """One sentence of what several comparisons, by their names, say of a picture (keys of SAYS)."""
    by: dict[str, list[str]] = {}
    for name, says in said.items():
        by.setdefault(says, []).append(name)
    if len(by) == 1:
        (says,) = by
        return f"By its {' and its '.join(said)}{' alike' * (len(said) > 1)}, this picture {SAYS[says]}."
    parts = [f"by its {' and its '.join(names)} it {SAYS[says]}" for says, names in by.items()]
    return f"The comparisons differ, so look at both: {', but '.join(parts)}."


class TrainingPictures:
    """The training pictures of a data folder, compared by their pixels or by what a classifier sees in them.

    What takes long is computed when it is first asked for and kept, in memory and in the data folder's cache.

    Args:
        data: folder of the data set; nothing is downloaded into it.
        classifier: whose features are compared; None compares the pixels.

    Raises:
        DataError: there is no data set.
    """

    def __init__(self, data: str | Path, classifier: "FeatureClassifier | None" = None):
        self.data, self.classifier = Path(data), classifier
        self.train, self.test = (_split(self.data, split) for split in SPLITS)

    def nearest(self, picture: np.ndarray, count: object) -> Neighbours:
        """The `count` pictures nearest to a picture (32, 32, 3) uint8; RequestError if that is not from 1 to 50."""
        count = min(validate.whole_number("the number of neighbours", count, 1, MOST), len(self.train))
        distances, index = (part[0] for part in self._distances(picture[None], count))
        labels = [self.train.classes[label] for label in self.train.labels[index]]
        return Neighbours(picture, np.asarray(self.train.images)[index], labels, index, distances)

    @cached_property
    def usual(self) -> Usual:
        """How near real test pictures come; of pixels this compares some hundred million pairs of numbers at first."""
        by = f"{self.classifier.hash[:16]}-{self.classifier.device.type}" if self.classifier else "pixels"
        hashes = "-".join(dataset_hash(split)[:16] for split in (self.test, self.train))
        cached = self.data / CACHE / f"near-{by}-{hashes}.npy"
        distances = np.empty(0)
        # as in `seen.look_once`: what is not there or not whole is made again, and nothing needs the cache
        with contextlib.suppress(ValueError, OSError):
            distances = np.load(cached)
        if distances.shape != (min(SAMPLED, len(self.test)),):
            distances = self._test_distances()
            with contextlib.suppress(OSError):
                write_atomically(cached, lambda unfinished: np.save(unfinished, distances))
        return Usual(len(distances), float(np.median(distances)), float(np.quantile(distances, LOW)))

    def _test_distances(self) -> np.ndarray:
        # spread over the split, because that of class folders is in the order of its classes
        chosen = np.linspace(0, len(self.test) - 1, min(SAMPLED, len(self.test))).round().astype(int)
        parts = []
        with tqdm(total=len(chosen), unit="picture", desc="real test pictures", delay=2, leave=False) as bar:
            for start in range(0, len(chosen), CHUNK):
                pictures = np.asarray(self.test.images[chosen[start : start + CHUNK]])
                parts.append(self._distances(pictures)[0][:, 0])
                bar.update(len(pictures))
        return np.concatenate(parts)

    @cached_property
    def _points(self) -> np.ndarray:
        if self.classifier:
            return look_once(self.classifier, self.train, self.data)[0]
        return self.train.images.reshape(len(self.train), -1)

    def _distances(self, pictures: np.ndarray, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Distances and indices (N, count) of the nearest training pictures of pictures (N, 32, 32, 3) uint8."""
        if self.classifier:
            return nearest_neighbours(self.classifier.features(pictures), self._points, count)
        distances, index = nearest_neighbours(pictures.reshape(len(pictures), -1), self._points, count)
        return distances / np.sqrt(self._points.shape[1]), index


def _split(data: Path, split: str) -> Dataset:
    try:
        return load_dataset(data, split, download=False)
    except DataError as error:
        raise DataError(f"The training pictures are needed to look for neighbours: {error}") from error
