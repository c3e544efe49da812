"""The Inside tab: the network of the run on the Generate tab, block by block, at one of its steps."""

from dataclasses import dataclass

import gradio as gr

from diffdemo.errors import RequestError
from diffdemo.ui.components.block import block
from diffdemo.ui.parts import inside_views, wiring
from diffdemo.ui.runs.recordings import Recordings

TAB = "inside"
# Beside the queue of runs: one evaluation of one picture, which must not wait for a long run of somebody else.
QUEUE = {"concurrency_id": TAB, "concurrency_limit": 1}
# Whether the tab is open, and the step that the Generate tab has on display.
IS_OPEN = f"""document.querySelector("[role=tab][aria-selected=true]")?.dataset.tabId === "{TAB}" """
SHOWN = 'Number(document.querySelector("#generate-viewer .viewer")?.dataset.shown ?? -1)'
FIRST_SHARE = 0.6  # of a finished run: where the picture is there in outline, and details are being decided

EXPLANATION = """The network of the run on the **Generate** tab, at work in one of its steps. Point at a block to see
what it makes of the picture; click on the picture to see where attention looks from there."""
MORE = r"""
A noisy picture goes in at the top left. On the way down it gets smaller, and every spot of it knows more of the whole;
on the way up it grows again, and the dashed lines bring back the details from before. What comes out at the top right
is the guess of the clean picture. All of it happens anew in each step. Choose another model on the Generate tab, and
its network appears here.

The pictures of a block are its output: eight of its channels, those that vary most over the picture, each from its
smallest value (blue) over its mean to its largest (orange).

A head of attention gives the spot $i$ a weighted mean of what all spots $j$ offer. The maps show these weights, which
add up to 1:
$$w_{ij} = \mathrm{softmax}_j\!\left(\frac{q_i \cdot k_j}{\sqrt d}\right) \quad\text{(Vaswani et al. 2017)},\qquad
w_{ij} = \frac{\phi(q_i) \cdot \phi(k_j)}{\sum_{j'} \phi(q_i) \cdot \phi(k_{j'})}
\quad\text{(linear attention, Katharopoulos et al. 2020)}$$
Linear attention never writes its weights down: it sums over $j$ once for all $i$, which comes to the same. With
guidance a step takes a second look, without the class; shown is the one with it.
"""


@dataclass
class Controls:
    """The tab's component."""

    view: gr.HTML


def layout() -> Controls:
    """The diagram, and below it what it means."""
    gr.Markdown(EXPLANATION, elem_classes="words")
    view = block("inside", "Inside the network", "inside-view", ["inside_maps.js"])
    with gr.Accordion("What exactly is shown", open=False, elem_classes="words"):
        gr.Markdown(MORE, latex_delimiters=wiring.LATEX)
    return Controls(view)


def connect(tab: gr.Tab, run: gr.State, recordings: Recordings, controls: Controls) -> None:
    """Wire the tab, which follows the `run` on display on the Generate tab."""

    def follow(name: str | None, asked: object, shown: object, is_open: object) -> dict:
        if not name or not is_open:
            return gr.skip()
        asked = asked or {}
        lane = _lane(name)
        if lane is None or asked.get("run") == name:
            return gr.skip()
        last = lane.total - 1
        step = shown if isinstance(shown, int) and 0 <= shown < last else round(FIRST_SHARE * last)
        middle = [side // 2 for side in lane.model.image_size]
        row, column = asked.get("row", middle[0]), asked.get("column", middle[1])
        with wiring.toasts():
            return inside_views.scene(lane.model, lane.asked, name, step, row, column)

    def _lane(name: str):
        try:
            return recordings.lanes(name)[0]
        except RequestError:  # it has shown nothing yet
            return None

    def look(asked: dict) -> dict:
        with wiring.toasts():
            lane = recordings.lanes(asked.get("run"))[0]
            place = [asked.get(name) for name in ("step", "row", "column")]
            return inside_views.scene(lane.model, lane.asked, asked["run"], *place)

    quiet = {"show_progress": "hidden", **QUEUE, **wiring.PRIVATE}
    js = wiring.reading(wiring.newest(controls.view, "input"), SHOWN, IS_OPEN)
    hidden = [gr.JSON(visible=False), gr.JSON(visible=False), gr.JSON(visible=False)]
    gr.on([tab.select, run.change], follow, [run, *hidden], controls.view, js=js, trigger_mode="always_last", **quiet)
    wiring.answer_newest(controls.view, "input", look, [], controls.view, **quiet)
