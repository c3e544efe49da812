"""From pictures to quality figures, and the same figures for real pictures beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffdemo.data import SPLITS, Dataset, load_dataset
from diffdemo.measure.classifier import FeatureClassifier
from diffdemo.measure.features import CACHE, dataset_hash, look, look_once
from diffdemo.measure.metrics import class_agreement, frechet_distance, kernel_distance
from diffdemo.measure.neighbours import copying, nearest_neighbours, precision_recall
from train.evaluate.inception import Inception

NEIGHBOURS = 3  # of precision and recall, as in their paper
LEAST = 10  # pictures, below which figures mean nothing and some of them do not exist

AGREEMENT = ("class_agreement", "class_agreement_by_class")
COPYING = ("copying_share_5", "copying_share_50", "nearest_training", "test_nearest")


def in_turn(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of the first `count` pictures when the classes take turns, each in the order of the data set."""
    rank = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        rank[labels == label] = np.arange(np.sum(labels == label))
    return np.lexsort((labels, rank))[:count]


def load_splits(data: Path, classes: Sequence[str]) -> tuple[Dataset, Dataset]:
    """Training and test pictures of these classes, of all of them if none is named; DataError if the data lacks one."""
    train, test = (load_dataset(data, split) for split in SPLITS)
    return (train.only(classes), test.only(classes)) if classes and tuple(classes) != train.classes else (train, test)


@dataclass(frozen=True, eq=False)
class Seen:
    """Pictures and what the extractors see in them: features (N, D), class probabilities (N, C)."""

    pictures: np.ndarray
    features: np.ndarray
    probabilities: np.ndarray


class Judge:
    """Measures pictures against a data set.

    Args:
        data: folder of the data set; it keeps what was computed of it, too.
        splits: training and test pictures of the classes that the pictures to come are of.
        reference: "train" or "test": what they are compared with. Real pictures of the other split are the floor.
        classifier: whose features and opinion are used.
        inception: for the FID, or None to leave that out.
    """

    def __init__(
        self,
        data: Path,
        splits: tuple[Dataset, Dataset],
        reference: str,
        classifier: FeatureClassifier,
        inception: Inception | None,
    ):
        self.classifier, self.inception, self.reference = classifier, inception, reference
        self._cache = data / CACHE
        self._data = dict(zip(SPLITS, splits, strict=True))
        self._seen = {split: Seen(d.images, *look_once(classifier, d, data)) for split, d in self._data.items()}
        self._hash = dataset_hash(self._data[reference])
        test_distances, _ = nearest_neighbours(self._seen["test"].features, self._seen["train"].features)
        self._test_distances = test_distances[:, 0]

    @property
    def floor_split(self) -> str:
        """The split whose real pictures are the floor."""
        return "test" if self.reference == "train" else "train"

    def conditions(self) -> dict:
        """What figures must share to compare, besides n: the reference and the extractors, each with its SHA-256."""
        data, inception = self._data[self.reference], self.inception
        return {
            "reference": {"split": self.reference, "source": data.source, "n": len(data), "sha256": self._hash},
            "classifier": {"name": self.classifier.name, "sha256": self.classifier.hash},
            "inception": inception
            and {"name": inception.name, "sha256": inception.hash, "standard": inception.is_standard},
        }

    def figures(self, pictures: np.ndarray, class_names: list[str | None]) -> dict:
        """All figures of pictures (N, 32, 32, 3) uint8, with the class that was asked for in each, or None.

        fid: Fréchet distance in Inception's features, None without those. frechet_distance, kernel_distance and its
        standard deviation over subsets, precision, recall: in the classifier's features, the last two with as many
        reference pictures as there are pictures, if there are so many. class_agreement, in all and by class: None
        where no class was asked for. copying_share: the parts of the pictures nearer to a training picture than the 5 %
        and the 50 % nearest test pictures are (see `diffdemo.measure.neighbours.copying`), and the median distances.
        """
        return self._measure(Seen(pictures, *look(self.classifier, pictures)), class_names)

    def floor(self, count: int) -> dict:
        """The same figures for real pictures of the other split, and how many there were: n, at most `count`.

        A perfect model comes out here, not at 0. Training pictures as the floor have no figures of copying, and no
        class agreement, for the classifier knows them by heart; a handful of pictures has no figures at all: None.
        """
        data, seen = self._data[self.floor_split], self._seen[self.floor_split]
        chosen = in_turn(data.labels, count)
        if len(chosen) < LEAST:
            return {"split": self.floor_split, "n": len(chosen), "figures": None}
        part = Seen(*(np.asarray(x)[chosen] for x in (seen.pictures, seen.features, seen.probabilities)))
        names = [data.classes[label] for label in data.labels[chosen]]
        figures = self._measure(part, names)
        if self.floor_split == "train":
            figures |= dict.fromkeys((*COPYING, *AGREEMENT))
        return {"split": self.floor_split, "n": len(chosen), "figures": figures}

    def _measure(self, seen: Seen, class_names: list[str | None]) -> dict:
        data, reference = self._data[self.reference], self._seen[self.reference]
        balanced = reference.features[in_turn(data.labels, len(seen.pictures))]
        kernel, spread = kernel_distance(seen.features, reference.features)
        precision, recall = precision_recall(seen.features, balanced, NEIGHBOURS)
        figures = {
            "fid": self._fid(seen.pictures),
            "frechet_distance": frechet_distance(seen.features, reference.features),
            "kernel_distance": kernel,
            "kernel_distance_std": spread,
            "precision": precision,
            "recall": recall,
            **self._agreement(seen.probabilities, class_names),
            **self._copying(seen),
        }
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}

    def _fid(self, pictures: np.ndarray) -> float | None:
        if self.inception is None:
            return None
        reference = self.inception.moments_once(self._data[self.reference].images, self._hash, self._cache)
        return frechet_distance(self.inception.features(pictures), reference)

    def _agreement(self, probabilities: np.ndarray, class_names: list[str | None]) -> dict:
        classes = self.classifier.classes
        if not set(class_names) <= set(classes):
            return dict.fromkeys(AGREEMENT)
        labels = np.array([classes.index(name) for name in class_names])
        total, by_class = class_agreement(probabilities, labels, classes)
        rounded = {name: round(share, 4) for name, share in by_class.items()}
        return dict(zip(AGREEMENT, (total, rounded), strict=True))

    def _copying(self, seen: Seen) -> dict:
        distances = nearest_neighbours(seen.features, self._seen["train"].features)[0][:, 0]
        result = copying(distances, self._test_distances)
        return dict(
            zip(COPYING, (result.shares[0.05], result.shares[0.5], result.median, result.test_median), strict=True)
        )
