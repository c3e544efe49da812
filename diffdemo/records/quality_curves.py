"""Quality against sampling steps, guidance and training, as `train.curves` leaves it in a checkpoint's folder."""

import csv
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffdemo.description import weights_among
from diffdemo.errors import RequestError
from diffdemo.process.guidance import EVERYWHERE, NO_CLASS, Guidance, parse_interval
from diffdemo.records.files import TABLES
from diffdemo.request import SamplingRequest

# What people call the columns that curves are over, each of which has a table of its own.
LABELS = {"steps": "denoising steps", "guidance_scale": "guidance", "images": "images seen"}
OVER_TRAINING = "images"  # each point has weights of its own, the last one those of the checkpoint
# The columns that say how a row's pictures were made and measured; figures compare where all these are the same.
SETTINGS = (
    "sampler",
    "steps",
    "spacing",
    "eps_scale",
    "guidance_scale",
    "guidance_interval",
    "guide",
    "n",
    "first_seed",
)
SETTINGS += ("sampled_on", "weights", "reference", "classifier")
LATER = {"eps_scale": "1.0"}  # columns that older tables lack, and what is so in their rows
FIGURES = {"frechet_distance": "Fréchet distance", "class_agreement": "Class agreement"}


@dataclass(frozen=True, eq=False)
class Curves:
    """One figure over steps, guidance or images seen, measured alike everywhere.

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


def read_curves(folder: Path, x: str, *weights: str) -> list[Curves]:
    """The curves over `x` in a checkpoint's folder: one for each figure that was measured, none without the table.

    Where the table has rows that were measured in several ways, those that agree with the last one are taken.

    Args:
        x: a column of LABELS.
        weights: what the column of that name may say, see `measured_as`; other weights' figures are left out. A curve
            over training is of many weights, and must have one of these among them. None: it may say anything.

    Raises:
        RequestError: the table cannot be read.
    """
    with _readable(folder / TABLES[x]) as rows:
        of_these = [row for row in rows if not weights or row["weights"] in weights]
        rows = rows if of_these and x == OVER_TRAINING else of_these
        shared = shared_settings(x)
        rows = [row for row in rows if all(row[name] == of_these[-1][name] for name in shared)]
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


def measured_at(folder: Path, weights: Sequence[str], asked: SamplingRequest) -> Mapping[str, str] | None:
    """The row of such runs in a checkpoint's tables over steps and guidance; None if there is none.

    Args:
        weights: what the column of that name may say, what comes first is preferred.

    Raises:
        RequestError: a table cannot be read.
    """
    for known, x in itertools.product(weights, ("steps", "guidance_scale")):
        with _readable(folder / TABLES[x]) as rows:
            for row in rows:
                alike = (row["weights"], row["sampler"], row["spacing"]) == (known, asked.sampler, asked.spacing)
                alike &= (int(row["steps"]), float(row["eps_scale"] or 1)) == (asked.steps, asked.eps_scale)
                if alike and _guidance(row) == asked.guidance:
                    return row
    return None


def _guidance(row: Mapping[str, str]) -> Guidance:
    # a table that knows nothing of intervals and guides was measured without
    interval, guide = row.get("guidance_interval") or EVERYWHERE, row.get("guide") or NO_CLASS
    return Guidance(float(row["guidance_scale"]), parse_interval(interval), guide.split()[0])


@contextmanager
def _readable(path: Path) -> Iterator[list[dict[str, str]]]:
    """The rows of a table, none without the file; RequestError if they are not what the block expects of them."""
    try:
        with path.open(newline="", encoding="utf-8") if path.exists() else io.StringIO() as file:
            rows = [LATER | row for row in csv.DictReader(file)]
        yield rows
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise RequestError(f"{path} is no table of train.curves; measure it again or remove it.") from error


def shared_settings(x: str) -> list[str]:
    """Those of SETTINGS that are the same along a curve over the column `x`, and on the curves beside it."""
    own = {"sampler", x} | ({"weights"} if x == OVER_TRAINING else set())
    return [name for name in SETTINGS if name not in own]


def weights_of(files: Mapping[str, str]) -> str:
    """What the column `weights` says of a checkpoint with these `files` {name: SHA-256}: only weights count."""
    return "+".join(str(digest)[:8] for digest in weights_among(files).values())


def measured_as(files: Mapping[str, str], encoded_from: Mapping[str, str]) -> tuple[str, ...]:
    """What the column `weights` may say of a checkpoint: its own weights, or those that they were in another encoding.

    Figures of the latter hold here, for pictures from fp16 and from int8 are hard to tell apart (`benchmarks.int8`).
    See `CheckpointInfo` for both.
    """
    return tuple(filter(None, map(weights_of, (files, encoded_from))))


def _samplers(rows: list[dict], x: str, figure: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    points = sorted((row["sampler"], float(row[x]), float(row[figure])) for row in rows)
    return {
        sampler: tuple(np.array([point[1:] for point in of_one]).T)
        for sampler, of_one in itertools.groupby(points, key=lambda point: point[0])
    }
