"""How good sampled pictures are, as numbers from their features: NumPy mathematics that knows no network.

Features are (N, D) arrays, one row a picture; whatever made them, both sides of a comparison must come from the same
extractor. Everything is computed in float64 and gives the same number each time. Nearest neighbours are in
`diffdemo.measure.neighbours`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffdemo.errors import RequestError


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of features, all that the Fréchet distance asks of them.

    Attributes:
        mean: (D,).
        root: (D, R) with root root^T = covariance; R is the number of pictures or D, whichever is less.
    """

    mean: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Moments":
        """The moments of features (N, D), N at least 2."""
        rows = _checked(features, least=2)
        mean = rows.mean(axis=0)
        scaled = (rows - mean).T / np.sqrt(len(rows) - 1)  # (D, N), a root of the covariance already
        return cls(mean, scaled) if len(rows) <= len(mean) else cls.of_covariance(mean, scaled @ scaled.T)

    @classmethod
    def of_covariance(cls, mean: np.ndarray, covariance: np.ndarray) -> "Moments":
        """From the mean (D,) and the covariance (D, D) themselves."""
        values, vectors = np.linalg.eigh(covariance)
        # Rounding's share of the small eigenvalues is left out: their root would be large.
        noise = values.max(initial=0) * len(values) * np.finfo(np.float64).eps
        return cls(np.asarray(mean), vectors * np.sqrt(np.where(values > noise, values, 0)))


def frechet_distance(a: "np.ndarray | Moments", b: "np.ndarray | Moments") -> float:
    """Squared Fréchet distance of two Gaussians, 0 or more: |m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    With Inception's features it is the FID of Heusel et al. 2017, equation 6 (https://arxiv.org/abs/1706.08500). It
    falls as N grows, so only distances of the same N compare.

    Args:
        a, b: features (N, D), or their `Moments`.

    Raises:
        RequestError: fewer than two rows, values that are not finite, or two different D.
    """
    one, other = (x if isinstance(x, Moments) else Moments.of(x) for x in (a, b))
    if one.mean.shape != other.mean.shape:
        raise RequestError(f"Features compare with others as wide, not {len(one.mean)} with {len(other.mean)} numbers.")
    # Tr (C_a C_b)^(1/2) is the sum of the singular values of A^T B with A A^T = C_a and B B^T = C_b. Unlike a matrix
    # square root it stays real and exact where a covariance has no full rank, as with fewer pictures than numbers.
    overlap = np.linalg.svd(one.root.T @ other.root, compute_uv=False).sum()
    spread = np.square(one.root).sum() + np.square(other.root).sum()  # the traces
    return max(0.0, float(np.square(one.mean - other.mean).sum() + spread - 2 * overlap))


def kernel_distance(
    a: np.ndarray, b: np.ndarray, subsets: int = 50, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Kernel distance of features (N, D) and (M, D): mean and standard deviation over random subsets of both.

    With Inception's features it is the KID of Bińkowski et al. 2018 (https://arxiv.org/abs/1801.01401): the unbiased
    squared maximum mean discrepancy with the kernel (x.y / D + 1)^3. Its expectation does not depend on N, and is 0
    for two samples of one distribution, so that single values may be below 0.

    Args:
        subsets: how many subsets to draw.
        subset_size: pictures in each, drawn without repeats; at most what there is on either side.
        seed: of the draws.

    Raises:
        RequestError: as for `frechet_distance`.
    """
    a, b = _checked(a, least=2), _checked(b, least=2)
    if a.shape[1] != b.shape[1]:
        raise RequestError(f"Features compare with others as wide, not {a.shape[1]} with {b.shape[1]} numbers.")
    size, rng = min(subset_size, len(a), len(b)), np.random.default_rng(seed)
    distances = []
    for _ in range(subsets):
        x, y = (side[rng.choice(len(side), size, replace=False)] for side in (a, b))
        within = sum((_kernel(s, s).sum() - _kernel_with_itself(s).sum()) / (size * (size - 1)) for s in (x, y))
        distances.append(within - 2 * _kernel(x, y).mean())
    return float(np.mean(distances)), float(np.std(distances))


def class_agreement(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> tuple[float, dict[str, float]]:
    """How often a classifier sees the class that was asked for: in all, and of each class that was asked for.

    Args:
        probabilities: (N, C), the classifier's.
        labels: (N,), indices of `classes`: what was asked for.
        classes: names of the C classes.

    Raises:
        RequestError: there is not one label for each row.
    """
    labels = np.asarray(labels)
    if labels.shape != (len(probabilities),) or not len(labels):
        raise RequestError(f"There must be one label for each of {len(probabilities)} pictures, not {labels.shape}.")
    right = np.argmax(probabilities, axis=1) == labels
    by_class = {classes[label]: float(right[labels == label].mean()) for label in np.unique(labels)}
    return float(right.mean()), by_class


def _checked(features: np.ndarray, least: int) -> np.ndarray:
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < least or not np.isfinite(rows).all():
        raise RequestError(f"Features must be {least} or more rows of finite numbers; these have shape {rows.shape}.")
    return rows


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _kernel_with_itself(x: np.ndarray) -> np.ndarray:
    """The diagonal of `_kernel(x, x)`."""
    return (np.square(x).sum(axis=1) / x.shape[1] + 1) ** 3
