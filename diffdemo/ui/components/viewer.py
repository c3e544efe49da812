"""A viewer of denoising runs: canvases, numbers and a scrubber, fed with raw pixels through the event stream."""

import base64

import gradio as gr
import numpy as np

from diffdemo.ui.components.block import block


def pack(images: np.ndarray) -> str:
    """uint8 pictures (N, H, W, 3) as base64 of their bytes, which the viewer draws."""
    return base64.b64encode(np.ascontiguousarray(images)).decode("ascii")


def pack_numbers(values: np.ndarray) -> str:
    """Numbers as base64 of float32, little-endian, which the browser reads as a Float32Array."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4")).decode("ascii")


def viewer(label: str, elem_id: str) -> gr.HTML:
    """A viewer of one run, or of several in lockstep, of which the browser keeps every frame it was sent.

    Its value is one message, see `diffdemo.ui.runs.stream.stream`; frames add up until a message names another run.
    Arguments as for `block`.
    """
    return block("viewer", label, elem_id, parts=("viewer_player.js", "waiting.js"))
