"""Pictures of the moments of a training run, with a slider over its time."""

import base64
from collections.abc import Sequence
from io import BytesIO

import gradio as gr
import numpy as np
from PIL import Image

from diffdemo.ui.components.block import block


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
    """A PNG file whose rows and columns that are white throughout, as between a grid's pictures, are transparent.

    So the page's own ground, which may be dark, lies between the pictures.
    """
    with Image.open(BytesIO(picture)) as opened:
        pixels = np.array(opened.convert("RGBA"))
    white = (pixels == 255).all(axis=2)
    rows, columns = white.all(axis=1), white.all(axis=0)
    if not (rows.any() or columns.any()):
        return picture
    pixels[rows] = 0
    pixels[:, columns] = 0
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=1)
    return file.getvalue()
