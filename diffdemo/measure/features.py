"""What the classifier sees in a data set, computed once and kept on disk beside the data."""

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from diffdemo.atomic import write_atomically
from diffdemo.data import Dataset

if TYPE_CHECKING:
    from diffdemo.measure.classifier import FeatureClassifier

CACHE = ".diffdemo-cache"  # in the data folder; the same one that keeps pictures read from class folders
CHUNK = 1000


def dataset_hash(data: Dataset) -> str:
    """SHA-256 of all pictures and labels, in hexadecimal: two figures have one reference if this is the same."""
    digest = hashlib.sha256(np.ascontiguousarray(data.images))
    digest.update(np.ascontiguousarray(data.labels, dtype=np.int64))
    return digest.hexdigest()


def look(classifier: "FeatureClassifier", pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) and class probabilities (N, C) of pictures (N, 32, 32, 3) uint8, with a bar if it takes long."""
    parts = []
    with tqdm(total=len(pictures), unit="picture", desc="classifier", delay=2, leave=False) as bar:
        for start in range(0, len(pictures), CHUNK):
            parts.append(classifier.features_and_probabilities(np.array(pictures[start : start + CHUNK])))
            bar.update(len(parts[-1][0]))
    features, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
    return features, probabilities


def look_once(classifier: "FeatureClassifier", data: Dataset, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """`look` at a data set, kept in `folder`/.diffdemo-cache for this classifier, these pictures and this device.

    Works without the cache where that cannot be written.
    """
    name = f"seen-{classifier.hash[:16]}-{dataset_hash(data)[:16]}-{classifier.device.type}.npy"
    cached, columns = folder / CACHE / name, len(classifier.classes)
    # an array that is not there or not whole is made again
    with contextlib.suppress(ValueError, OSError):
        seen = np.load(cached)
        if len(seen) == len(data):
            return seen[:, :-columns], seen[:, -columns:]
    features, probabilities = look(classifier, data.images)
    with contextlib.suppress(OSError):
        seen = np.hstack([features, probabilities])
        write_atomically(cached, lambda unfinished: np.save(unfinished, seen))
    return features, probabilities
