"""What a run measures, step by step, and keeps, row by row."""

import csv
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from diffdemo.atomic import write_atomically
from diffdemo.errors import TrainingError

BAD_STEPS_IN_A_ROW = 10  # a stray overflow happens; this many mean that the run has diverged


@dataclass(frozen=True)
class Row:
    """One line of `history.csv`: means since the line before. Nothing in it depends on the clock.

    Attributes:
        step: optimizer steps so far.
        images: pictures seen so far.
        epoch: passes over the data so far, with fraction.
        loss: mean training loss.
        val_loss: loss of the averaged weights on held-out pictures with fixed noise; empty between epochs. The last
            row's is that of the weights which the finished checkpoint ships.
        lr: learning rate of the step to come; in the last row, what it has decayed to.
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


class Meter:
    """Sums over steps, kept on the device and read rarely: looking at a number makes a GPU wait.

    Attributes:
        rows: the history so far.
    """

    def __init__(self, device: torch.device):
        self.rows: list[Row] = []
        self._sums = torch.zeros(3, device=device)  # loss, norm of the gradient, steps; since the last row
        self._bad = torch.zeros(2, device=device)  # skipped steps: in all, and in a row just now

    def add(self, loss: Tensor, norm: Tensor, bad: Tensor) -> None:
        """Count a step: scalars on the device, `bad` 1 if it was skipped and 0 otherwise."""
        self._bad[0] += bad
        self._bad[1] = (self._bad[1] + 1) * bad
        fine = torch.stack([loss, norm, torch.ones_like(norm)])
        self._sums += torch.where(bad > 0, torch.zeros_like(fine), fine)

    def check_finite(self) -> None:
        """TrainingError after many skipped steps in a row."""
        if self._bad[1] >= BAD_STEPS_IN_A_ROW:
            raise TrainingError(
                f"The last {int(self._bad[1])} steps had a loss or gradient that is not finite; "
                "resume with a lower --lr or with --precision fp32."
            )

    def close_row(self, step: int, images: int, epoch: float, lr: float, val_loss: float | str = "") -> None:
        """Append the means since the last row, or only write a validation loss into that if there are none."""
        loss, norm, count = self._sums.tolist()
        if count:
            row = Row(step, images, round(epoch, 4), loss / count, val_loss, lr, norm / count, self.skipped)
            self.rows.append(row)
        elif self.rows and val_loss != "":
            self.rows[-1] = replace(self.rows[-1], val_loss=val_loss)
        self._sums.zero_()

    @property
    def skipped(self) -> int:
        """Steps skipped so far."""
        return int(self._bad[0])

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What a resumed run needs besides the rows."""
        return {"sums": self._sums, "bad": self._bad}

    def restore(self, tensors: dict[str, Tensor], rows: list[dict]) -> None:
        """Go on from `tensors` and the rows, as dictionaries."""
        self._sums.copy_(tensors["sums"])
        self._bad.copy_(tensors["bad"])
        self._bad[1] = 0  # whoever resumes after several bad steps has changed something
        self.rows = [Row(**row) for row in rows]


def write_history(path: Path, rows: list[Row]) -> None:
    """Write `history.csv`, whole or not at all."""

    def write(unfinished: Path) -> None:
        with unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(asdict, rows))

    write_atomically(path, write)
