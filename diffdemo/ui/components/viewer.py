"""A viewer of denoising runs: canvases, numbers and a scrubber, fed with raw pixels through the event stream."""

import base64
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

_HERE = Path(__file__).parent


def pack(images: np.ndarray) -> str:
    """uint8 pictures (N, H, W, 3) as base64 of their bytes, which the viewer draws."""
    return base64.b64encode(np.ascontiguousarray(images)).decode("ascii")


class Viewer(gr.HTML):
    """Shows one run, or several in lockstep, of which the browser keeps every frame it was sent.

    Its value is one message, see `diffdemo.ui.runs.stream`; frames add up until a message names another run. The
    template is constant, because Gradio would run a value inside a template as JavaScript.

    Args:
        label: what is shown, for screen readers.
        elem_id: id of the element.
    """

    def __init__(self, label: str, elem_id: str):
        super().__init__(
            None,
            label=label,
            elem_id=elem_id,
            html_template='<div class="viewer"></div>',
            css_template=(_HERE / "viewer.css").read_text("utf-8"),
            js_on_load=(_HERE / "viewer.js").read_text("utf-8"),
            apply_default_css=False,
        )

    def preprocess(self, payload: Any) -> Any:
        """The message as it is."""
        return payload

    def postprocess(self, value: dict | None) -> dict | None:
        """The message as it is."""
        return value

    def api_info(self) -> dict[str, Any]:
        """Any JSON object."""
        return {"type": "object"}
