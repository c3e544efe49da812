"""What `python -m diffdemo nearest` does: find the training pictures that a picture is most like."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffdemo import validate
from diffdemo.data import Dataset, load_dataset
from diffdemo.errors import DataError
from diffdemo.neighbours import nearest_neighbours
from diffdemo.raster import image_grid, save_png
from diffdemo.seen import look_once

if TYPE_CHECKING:
    from diffdemo.classifier import FeatureClassifier

MEASURES = ("features", "pixels")
MOST = 50
SCALE = 4
SAMPLED = 1000  # test pictures whose distances say what is usual


@dataclass(frozen=True, eq=False)
class Neighbours:
    """A picture and the training pictures nearest to it.

    Attributes:
        picture: (32, 32, 3) uint8.
        pictures: (K, 32, 32, 3) uint8, the nearest first.
        labels: the class of each.
        index: the place of each in the training split.
        distances: (K,), of the classifier's features, or root mean square differences of pixels, 0 to 255.
        test_median: median of test pictures' distances to their nearest training picture; None for pixels.
    """

    picture: np.ndarray
    pictures: np.ndarray
    labels: Sequence[str]
    index: np.ndarray
    distances: np.ndarray
    test_median: float | None


def find(picture: np.ndarray, data: Path, count: object, classifier: "FeatureClassifier | None") -> Neighbours:
    """The `count` training pictures nearest to a picture (32, 32, 3) uint8.

    Args:
        data: folder of the data set; nothing is downloaded into it.
        count: 1 to 50.
        classifier: whose features tell how near; None compares the pixels.

    Raises:
        RequestError: the count is out of range. DataError: there is no data set.
    """
    count = validate.whole_number("the number of neighbours", count, 1, MOST)
    train, test = (_split(data, split) for split in ("train", "test"))
    test_median = None
    if classifier:
        ours, reference = classifier.features(picture[None]), look_once(classifier, train, data)[0]
        of_test = look_once(classifier, test, data)[0]
        test_median = float(np.median(nearest_neighbours(of_test[:SAMPLED], reference)[0]))
    else:
        ours, reference = picture.reshape(1, -1), train.images.reshape(len(train), -1)
    distances, index = (part[0] for part in nearest_neighbours(ours, reference, min(count, len(train))))
    if not classifier:
        distances = distances / np.sqrt(picture.size)
    labels = [train.classes[label] for label in train.labels[index]]
    return Neighbours(picture, np.asarray(train.images)[index], labels, index, distances, test_median)


def draw(found: Neighbours, path: Path) -> Path:
    """Write a PNG with the picture, a gap, and its neighbours from left to right."""
    gap = np.full_like(found.picture, 255)
    row = np.stack([found.picture, gap, *found.pictures])
    return save_png(path, image_grid(row, columns=len(row), scale=SCALE))


def describe(found: Neighbours) -> dict:
    """{"test_median", "neighbours": [{"distance", "class", "index"}]}, as --json prints it."""
    rows = zip(found.distances, found.labels, found.index, strict=True)
    neighbours = [{"distance": float(d), "class": label, "index": int(index)} for d, label, index in rows]
    return {"test_median": found.test_median, "neighbours": neighbours}


def table(found: Neighbours) -> str:
    """The neighbours as lines for people, and what distances are usual."""
    rows = zip(found.distances, found.labels, found.index, strict=True)
    lines = [f"  {distance:8.3f}  {label}, training picture {index}" for distance, label, index in rows]
    if found.test_median is None:
        lines.append("Distances are root mean square differences of pixels, 0 to 255; a copy is at 0.")
    else:
        lines.append(
            f"Distances are of the classifier's features; half of the real test pictures are nearer to theirs than "
            f"{found.test_median:.3f}, and a copy is near 0."
        )
    return "\n".join(lines)


def _split(data: Path, split: str) -> Dataset:
    try:
        return load_dataset(data, split, download=False)
    except DataError as error:
        raise DataError(f"The training pictures are needed to look for neighbours: {error}") from error
