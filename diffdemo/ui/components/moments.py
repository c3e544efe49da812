"""Pictures of the moments of a training run, with a slider over its time."""

import base64
from collections.abc import Sequence
from io import BytesIO

import gradio as gr
import numpy as np
from PIL import Image

from diffdemo.ui.components.block import block

COLOURED = 16  # difference of a pixel's channels from which on it is no word in black
WORDS = (100, 116, 139)  # contrast 4.8 on white, 4.0 on the dark page's ground


def moments(label: str, elem_id: str) -> gr.HTML:
    """A slider over moments, of which the browser asks for one at a time with an "input" event whose data has {place}.

    Its value is what `timeline` or `moment` returns. Arguments as for `block`.
    """
    return block("moments", label, elem_id)


def timeline(of: str, labels: Sequence[str], pictures: Sequence[bytes]) -> dict:
    """The message that shows a run's moments and the pictures, PNG files, of the last of them.

    Args:
        of: which run; as long as it stays the same, people stay at the moment they look at.
        labels: one for each moment, no two alike.
        pictures: none if there are no moments.
    """
    return {"of": of, "labels": list(labels), **moment(of, labels[-1] if labels else "", pictures)}


def moment(of: str, label: str, pictures: Sequence[bytes]) -> dict:
    """The message with the pictures of one moment of the run `of`."""
    shown = [base64.b64encode(without_paper(picture)).decode("ascii") for picture in pictures]
    return {"of": of, "label": label, "pictures": shown}


def without_paper(picture: bytes) -> bytes:
    """A PNG file of a grid whose white paper is transparent, so that the page's own ground, maybe dark, lies there.

    Between the pictures that is where rows and columns are white throughout. Left of and above the first coloured
    pixel are words, which are redrawn in a grey that can be read on light and on dark.
    """
    with Image.open(BytesIO(picture)) as opened:
        pixels = np.array(opened.convert("RGBA"))
    colours = pixels[..., :3]
    white = (colours == 255).all(axis=2)
    rows, columns = white.all(axis=1), white.all(axis=0)
    if not (rows.any() or columns.any()):
        return picture
    coloured = np.ptp(colours.astype(int), axis=2) > COLOURED
    top, left = (_after_gap(gaps, int(coloured.any(axis=axis).argmax())) for axis, gaps in ((1, rows), (0, columns)))
    words = np.ones(white.shape, bool)
    words[top:, left:] = False
    pixels[words, 3] = 255 - colours[words].min(axis=1)
    pixels[words, :3] = WORDS
    grid, paper = pixels[top:, left:], white[top:, left:]
    grid[paper.all(axis=1)] = 0
    grid[:, paper.all(axis=0)] = 0
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def _after_gap(gaps: np.ndarray, place: int) -> int:
    """Where what lies at `place` begins: behind the last gap before it, or at 0."""
    before = np.flatnonzero(gaps[:place])
    return int(before[-1]) + 1 if len(before) else 0
