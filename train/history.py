"""What a run measured, row by row."""

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from diffdemo.atomic import write_atomically


@dataclass(frozen=True)
class Row:
    """One line of `history.csv`: means since the line before. Nothing in it depends on the clock.

    Attributes:
        step: optimizer steps so far.
        images: pictures seen so far.
        epoch: passes over the data so far, with fraction.
        loss: mean training loss.
        val_loss: loss of the averaged weights on held-out pictures with fixed noise; empty between epochs.
        lr: learning rate.
        grad_norm: mean norm of the gradient before clipping.
        skipped: steps skipped so far because loss or gradient was not finite.
    """

    step: int
    images: int
    epoch: float
    loss: float
    val_loss: float | str
    lr: float
    grad_norm: float
    skipped: int


def write_history(path: Path, rows: list[Row]) -> None:
    """Write `history.csv`, whole or not at all."""

    def write(unfinished: Path) -> None:
        with unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(asdict, rows))

    write_atomically(path, write)
