"""How a component of our own comes onto the page: a gr.HTML whose script and looks lie beside this file."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

_HERE = Path(__file__).parent


def block(name: str, label: str, elem_id: str, parts: Sequence[str] = ()) -> gr.HTML:
    """The component of `name`.js and `name`.css, whose value is a message for its script.

    The template is constant, because Gradio would run a value inside a template as JavaScript. It is no subclass of
    gr.HTML, because for each of those Gradio writes a stub file into the source folder.

    Args:
        name: of the two files.
        label: what is shown, for screen readers.
        elem_id: id of the element.
        parts: further scripts that come before `name`.js.
    """
    scripts = ("pure.js", "viewer_panels.js", *parts, f"{name}.js")  # the first two are helpers of all
    looks = ("shared.css", f"{name}.css")
    return gr.HTML(
        None,
        label=label,
        elem_id=elem_id,
        elem_classes="viewer-block",
        html_template=f'<div class="{name}"></div>',
        css_template="".join((_HERE / sheet).read_text("utf-8") for sheet in looks),
        js_on_load="".join((_HERE / script).read_text("utf-8") for script in scripts),
        apply_default_css=False,
    )
