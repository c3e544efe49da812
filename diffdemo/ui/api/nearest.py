"""Is it copying? The search among the training pictures as a named endpoint."""

import gradio as gr

from diffdemo.ui.api import endpoint as api
from diffdemo.ui.parts import sources, wiring
from diffdemo.ui.parts.nearest import QUEUE, SHOWN, Search


def connect(search: Search) -> None:
    """Add `/nearest` (picture, by, n) to the page that is being built.

    It returns a gallery of the n training pictures nearest to a picture file of any size and kind, by "pixels" or
    "features", and {"by", "source", "neighbours": [{"distance", "class", "index"}], "test_median", "test_low",
    "words"}: the median and the 5 % quantile of real test pictures' distances, and what all this says.
    """

    def nearest(picture, by, n) -> tuple:
        with wiring.toasts():
            pixels = sources.read(picture)
            training = search.among(by)
            found = training.nearest(pixels, n)
            captions = [f"{one['class']}, at {one['distance']:.3g}" for one in found.describe()]
            usual = training.usual
            known = {"by": by, "source": training.train.source, "neighbours": found.describe()}
            measured = {"test_median": usual.median, "test_low": usual.low, "words": usual.judge(found.distances[0])}
            return list(zip(found.pictures, captions, strict=True)), known | measured

    inputs = [api.picture_file(), api.text("by", "pixels"), api.value("n", SHOWN)]
    outputs = [api.pictures("pictures"), gr.JSON(visible=False, label="neighbours")]
    gr.Button(visible=False).click(nearest, inputs, outputs, api_name="nearest", **QUEUE)
