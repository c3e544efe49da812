"""How much two sets of pictures differ, as a map and in numbers."""

from dataclasses import dataclass

import numpy as np

from diffdemo.data.pictures import checked_pictures
from diffdemo.errors import RequestError

WHITE, INDIGO = 255.0, np.array([49.0, 46.0, 129.0])


@dataclass(frozen=True)
class Difference:
    """Two sets of pictures against each other.

    Attributes:
        pictures: (N, H, W, 3) uint8, white where they are equal and the darker the larger the difference there.
        mean: mean absolute difference of a pixel's value, 0 to 255.
        largest: difference where the map is darkest: that of a pixel, averaged over its three colours, 0 to 255.
    """

    pictures: np.ndarray
    mean: float
    largest: float


def compare(first: np.ndarray, second: np.ndarray) -> Difference:
    """Where and how much pictures (N, H, W, 3) uint8 differ from others of the same shape; RequestError otherwise."""
    first, second = checked_pictures(first), checked_pictures(second)
    if first.shape != second.shape:
        raise RequestError(
            f"Only sets of pictures alike in shape can be compared, not {first.shape} with {second.shape}."
        )
    sizes = np.abs(first.astype(np.int16) - second).mean(axis=-1, keepdims=True)
    largest = float(sizes.max())
    shares = sizes / max(largest, 1e-9)
    pictures = (WHITE - shares * (WHITE - INDIGO)).round().astype(np.uint8)
    return Difference(pictures, float(sizes.mean()), largest)
