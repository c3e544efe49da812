"""What the Training tab knows, as a named endpoint."""

import gradio as gr

from diffdemo.ui.api.endpoint import text
from diffdemo.ui.parts import wiring
from diffdemo.ui.tabs.training import Library, facts


def connect(library: Library) -> None:
    """Add `/training` (name) to the page that is being built: see `facts`; names are a checkpoint's or "runs/..."."""

    def training(name: str) -> dict:
        with wiring.toasts():
            return facts(library[name]) | {"names": list(library.records())}

    inputs, outputs = [text("name", library.first)], [gr.JSON(visible=False, label="facts")]
    # Beside the queue of runs, because it only reads.
    gr.Button(visible=False).click(training, inputs, outputs, api_name="training", concurrency_limit=None)
