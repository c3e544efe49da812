"""A viewer of denoising runs: canvases, numbers and a scrubber, fed with raw pixels through the event stream."""

import base64
from pathlib import Path

import gradio as gr
import numpy as np

_HERE = Path(__file__).parent


def pack(images: np.ndarray) -> str:
    """uint8 pictures (N, H, W, 3) as base64 of their bytes, which the viewer draws."""
    return base64.b64encode(np.ascontiguousarray(images)).decode("ascii")


def pack_numbers(values: np.ndarray) -> str:
    """Numbers as base64 of float32, little-endian, which the browser reads as a Float32Array."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4")).decode("ascii")


def viewer(label: str, elem_id: str) -> gr.HTML:
    """A viewer of one run, or of several in lockstep, of which the browser keeps every frame it was sent.

    Its value is one message, see `diffdemo.ui.runs.stream`; frames add up until a message names another run. The
    template is constant, because Gradio would run a value inside a template as JavaScript. It is no subclass of
    gr.HTML, because for each of those Gradio writes a stub file into the source folder.

    Args:
        label: what is shown, for screen readers.
        elem_id: id of the element.
    """
    return gr.HTML(
        None,
        label=label,
        elem_id=elem_id,
        elem_classes="viewer-block",
        html_template='<div class="viewer"></div>',
        css_template=(_HERE / "viewer.css").read_text("utf-8"),
        js_on_load="".join((_HERE / name).read_text("utf-8") for name in ("viewer_panels.js", "viewer.js")),
        apply_default_css=False,
    )
