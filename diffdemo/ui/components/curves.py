"""Curves with axes and a reading of their values, drawn by the browser."""

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr
import numpy as np

from diffdemo.ui.components.block import block
from diffdemo.ui.components.viewer import pack_numbers

MARKS = ("line", "dots", "faint")  # a line, a thin line with dots, and a line that stays in the background


@dataclass(frozen=True)
class Series:
    """One curve: its name, x and y (N,), one of MARKS, and its colour, 0 to 4.

    Without a colour, each has another one; a faint series has that of the one after it.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    marks: str = "line"
    colour: int | None = None


def curves(label: str, elem_id: str) -> gr.HTML:
    """A plot of any number of series; its value is what `plot` or `remark` returns. Arguments as for `block`."""
    return block("curves", label, elem_id)


def plot(series: Sequence[Series], x_label: str, y_label: str, log: bool = False, log_x: bool = False) -> dict:
    """The message that shows these series, x ascending; points that are not finite are left out.

    `log` is whether the vertical axis is logarithmic at first; people can change it where all values are above 0.
    `log_x` is whether the horizontal axis is, for values above 0.
    """
    return {"series": [_packed(one) for one in series], "x": x_label, "y": y_label, "log": log, "log_x": log_x}


def remark(sentence: str) -> dict:
    """The message that shows a sentence, because there is no curve."""
    return {"series": [], "remark": sentence}


def _packed(series: Series) -> dict:
    x, y = (np.asarray(values, float) for values in (series.x, series.y))
    finite = np.isfinite(x) & np.isfinite(y)
    points = {"x": pack_numbers(x[finite]), "y": pack_numbers(y[finite])}
    return {"name": series.name, "marks": series.marks, "colour": series.colour, **points}
