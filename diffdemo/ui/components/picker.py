"""A row of pictures to choose from."""

import base64
import binascii
import itertools
from collections.abc import Sequence

import gradio as gr
import numpy as np

from diffdemo.errors import RequestError
from diffdemo.ui.components.block import block
from diffdemo.ui.components.viewer import pack

_numbers = itertools.count(1)


def picker(elem_id: str) -> gr.HTML:
    """Small pictures, one of them chosen, and a button that adds those the Generate tab shows.

    Its value is a message, see `offer`. A click on a picture asks with "select", which `chosen` reads.
    """
    return block("picker", "Pictures to choose from", elem_id)


def offer(pictures: np.ndarray, labels: Sequence[str], source: str = "") -> dict:
    """The message that shows pictures (N, H, W, 3) uint8; the first is chosen.

    Those to begin with are from a source, in words; others have none, and are added before them.
    """
    size = list(pictures.shape[1:3])
    return {
        "id": f"{next(_numbers)}",
        "add": not source,
        "source": source,
        "pictures": pack(pictures),
        "labels": list(labels),
        "size": size,
    }


def chosen(asked: object, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    """The picture a visitor clicked on, (H, W, 3) uint8, of what the component `asked` for with "select".

    Raises:
        RequestError: what was sent is no such picture.
    """
    try:
        data = base64.b64decode(asked["picture"], validate=True)
        return np.frombuffer(data, np.uint8).reshape(*size, 3).copy()
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise RequestError(f"A picture must be {size[0]} x {size[1]} pixels of uint8 RGB in base64.") from None
