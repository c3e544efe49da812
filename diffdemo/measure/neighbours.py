"""Nearest neighbours among features: what covers what (precision and recall), and what copies what.

Features are as in `diffdemo.measure.metrics`. Distances are Euclidean and computed in blocks, so that 50,000 training
pictures need no matrix of all pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffdemo.errors import RequestError

BLOCK = 2500  # rows at once that are measured again
QUANTILES = (0.05, 0.5)


def nearest_neighbours(
    features: np.ndarray, reference: np.ndarray, k: int = 1, exclude_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest reference rows of each row: distances (N, k), ascending, and indices (N, k).

    Args:
        features: (N, D), of any type of number.
        reference: (M, D).
        k: 1 to M.
        exclude_self: `features` and `reference` are the same rows, and none is its own neighbour; k is at most M - 1.

    Raises:
        RequestError: k is out of range, or the two are not as wide.
    """
    features, reference = np.asarray(features), np.asarray(reference)
    most = len(reference) - exclude_self
    if not 1 <= k <= most:
        raise RequestError(f"{k} nearest neighbours cannot be had of {most}; ask for 1 to {most}.")
    if features.shape[1:] != reference.shape[1:] or features.ndim != 2:
        raise RequestError(
            f"Features {features.shape} have no neighbours among {reference.shape}; they must be as wide."
        )
    from sklearn.neighbors import NearestNeighbors  # half a second, and only measuring needs it

    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(_floats(reference))
    nearest = search.kneighbors(None if exclude_self else _floats(features), return_distance=False)
    # |a|^2 + |b|^2 - 2 a.b, by which they are found, loses the digits of small distances: a copy must be at distance 0
    exact = np.empty(nearest.shape)
    for column, index in enumerate(nearest.T):
        for start in range(0, len(features), BLOCK):
            rows = slice(start, start + BLOCK)
            apart = features[rows].astype(np.float64) - reference[index[rows]]
            exact[rows, column] = np.linalg.norm(apart, axis=1)
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(exact, order, axis=1), np.take_along_axis(nearest, order, axis=1)


def precision_recall(samples: np.ndarray, real: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Precision and recall of samples (N, D) against real pictures (M, D), each 0 to 1.

    After Kynkäänniemi et al. 2019, equation 2 (https://arxiv.org/abs/1904.06991): the balls around all rows of one
    side, each reaching to its k-th nearest neighbour on that side, stand for where that side's pictures are. Precision
    is the part of the samples in the real pictures' balls, recall the part of the real pictures in the samples'. Both
    depend on N and M, which should be equal.

    Raises:
        RequestError: one side has no more than k rows.
    """
    return _covered(samples, real, k), _covered(real, samples, k)


@dataclass(frozen=True)
class Copying:
    """How near to the training pictures samples are, beside how near real test pictures are.

    Attributes:
        shares: {quantile q: part of the samples nearer to their nearest training picture than the q-quantile of the
            test pictures' distances to theirs}.
        median: of the samples' distances.
        test_median: of the test pictures' distances.
    """

    shares: dict[float, float]
    median: float
    test_median: float


def copying(distances: np.ndarray, test_distances: np.ndarray, quantiles: Sequence[float] = QUANTILES) -> Copying:
    """Compare distances (N,) to the nearest training picture with those of test pictures, (M,).

    Samples that are spread like the test pictures come out at q itself: 5 % of them nearer than the 5 % nearest test
    pictures, half of them nearer than the median. A model that copies training pictures has shares near 1, at 5 %
    above all. More than q alone is no proof: pictures that are plainer or more typical than real ones, such as blurred
    ones or those of strong guidance, are nearer to the training pictures too. Whether one is a copy only looking at it
    beside its neighbour tells: `python -m diffdemo nearest`.
    """
    shares = {q: float(np.mean(distances < np.quantile(test_distances, q))) for q in quantiles}
    return Copying(shares, float(np.median(distances)), float(np.median(test_distances)))


def _covered(points: np.ndarray, centres: np.ndarray, k: int) -> float:
    """The part of `points` that lie in the ball of any of `centres`."""
    from sklearn.metrics import pairwise_distances_chunked

    radii = nearest_neighbours(centres, centres, k, exclude_self=True)[0][:, -1]
    blocks = pairwise_distances_chunked(points, centres, reduce_func=lambda block, _: (block <= radii).any(axis=1))
    return float(np.concatenate(list(blocks)).mean())


def _floats(rows: np.ndarray) -> np.ndarray:
    """Whole numbers, such as pixels, as float32: scikit-learn would make them float64, which takes twice the room."""
    return rows if rows.dtype.kind == "f" else rows.astype(np.float32)
