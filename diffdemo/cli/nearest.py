"""What `python -m diffdemo nearest` writes and prints of the training pictures that a picture is most like."""

from pathlib import Path

import numpy as np

from diffdemo.figures.raster import image_grid, save_png
from diffdemo.measure.nearest import MEASURES, Neighbours, Usual

SCALE = 4


def draw(found: Neighbours, path: Path) -> Path:
    """Write a PNG with the picture, a gap, and its neighbours from left to right."""
    gap = np.full_like(found.picture, 255)
    row = np.stack([found.picture, gap, *found.pictures])
    return save_png(path, image_grid(row, columns=len(row), scale=SCALE))


def describe(found: Neighbours, usual: Usual) -> dict:
    """{"test_median", "test_low", "neighbours": [{"distance", "class", "index"}]}, as --json prints it."""
    return {"test_median": usual.median, "test_low": usual.low, "neighbours": found.describe()}


def table(found: Neighbours, usual: Usual, by: str) -> str:
    """The neighbours as lines for people, and what distances are usual."""
    rows = zip(found.distances, found.labels, found.index, strict=True)
    lines = [f"  {distance:8.3f}  {label}, training picture {index}" for distance, label, index in rows]
    return "\n".join([*lines, f"{MEASURES[by]}. {usual.judge(found.distances[0])}"])
