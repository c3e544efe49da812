"""Pictures of the moments of a training run, with a slider over its time."""

import base64
from collections.abc import Sequence

import gradio as gr

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
    return {"of": of, "label": label, "pictures": [base64.b64encode(picture).decode("ascii") for picture in pictures]}
