"""Quality against sampling steps and guidance, as `train.curves` leaves it in a checkpoint's folder."""

import csv
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffdemo.errors import RequestError

LABELS = {"steps": "denoising steps", "guidance_scale": "guidance"}  # by the column that curves are over
# The columns that say how a row's pictures were made and measured; figures compare where all these are the same.
SETTINGS = ("sampler", "steps", "guidance_scale", "n", "first_seed", "sampled_on", "weights", "reference", "classifier")
FIGURES = {"frechet_distance": "Fréchet distance", "class_agreement": "Class agreement"}


def file_name(x: str) -> str:
    """Of the table over the column `x`."""
    return f"quality_{x.removesuffix('_scale')}.csv"


FILES = tuple(map(file_name, LABELS))


@dataclass(frozen=True, eq=False)
class Curves:
    """One figure over steps or guidance, measured alike everywhere.

    Attributes:
        figure: a column of FIGURES.
        samplers: (x, y) of each sampler by its name, both (N,) float, x ascending.
        floor: the figure of real pictures.
        how: what all points share, of SETTINGS, as text.
    """

    figure: str
    samplers: dict[str, tuple[np.ndarray, np.ndarray]]
    floor: float
    how: Mapping[str, str]

    def describe(self) -> dict:
        """As JSON takes it, with {"x": [...], "y": [...]} of each sampler."""
        samplers = {name: {"x": x.tolist(), "y": y.tolist()} for name, (x, y) in self.samplers.items()}
        return {"figure": self.figure, "samplers": samplers, "floor": self.floor, "how": dict(self.how)}


def read_curves(folder: Path, x: str, weights: str = "") -> list[Curves]:
    """The curves over `x` in a checkpoint's folder: one for each figure that was measured, none without the table.

    Where the table has rows that were measured in several ways, those that agree with the last one are taken.

    Args:
        x: a column of LABELS.
        weights: what the column of that name must say, see `weights_of`; other weights' figures are left out.

    Raises:
        RequestError: the table cannot be read.
    """
    path = folder / file_name(x)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if not weights or row["weights"] == weights]
        shared = [name for name in SETTINGS if name not in ("sampler", x)]
        rows = [row for row in rows if all(row[name] == rows[-1][name] for name in shared)]
        return [
            Curves(
                figure,
                _samplers(rows, x, figure),
                float(rows[-1][f"floor_{figure}"]),
                {name: rows[-1][name] for name in shared},
            )
            for figure in FIGURES
            if rows and rows[-1][figure]
        ]
    except FileNotFoundError:
        return []
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise RequestError(f"{path} is no table of train.curves; measure it again or remove it.") from error


def weights_of(files: Mapping[str, str]) -> str:
    """What the column `weights` says of a checkpoint with these `files` {name: SHA-256}."""
    return "+".join(str(digest)[:8] for digest in files.values())


def _samplers(rows: list[dict], x: str, figure: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    points = sorted((row["sampler"], float(row[x]), float(row[figure])) for row in rows)
    return {
        sampler: tuple(np.array([point[1:] for point in of_one]).T)
        for sampler, of_one in itertools.groupby(points, key=lambda point: point[0])
    }
