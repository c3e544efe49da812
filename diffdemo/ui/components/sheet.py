"""A table of pictures: a row for each run, a column for each seed."""

from collections.abc import Mapping, Sequence

import gradio as gr
import numpy as np

from diffdemo.ui.components.block import block
from diffdemo.ui.components.viewer import pack


def sheet(label: str, elem_id: str) -> gr.HTML:
    """An empty table, whose value is what `rows_of` returns. Arguments as for `block`."""
    return block("sheet", label, elem_id)


def rows_of(seeds: Sequence[object], rows: Mapping[str, np.ndarray]) -> dict:
    """The message that shows pictures (N, H, W, 3) uint8 of these N seeds, in a row for each name."""
    packed = [{"name": name, "pictures": pack(pictures)} for name, pictures in rows.items()]
    return {
        "columns": [f"seed {seed}" for seed in seeds],
        "rows": packed,
        "size": list(next(iter(rows.values())).shape[1:3]),
    }
