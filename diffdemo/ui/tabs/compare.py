"""The Compare tab: two to four runs, of different models or settings, on the same noise and in lockstep."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from diffdemo.ui.components.sheet import sheet
from diffdemo.ui.components.viewer import viewer
from diffdemo.ui.parts import exports, wiring
from diffdemo.ui.parts.fields import Fields
from diffdemo.ui.runs import compare_link, sweeps
from diffdemo.ui.runs.comparisons import FEWEST, NAMES, PAIR, pair_of, pairs, results, start
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.settings import Settings, first_class
from diffdemo.ui.runs.stream import Stops, stream, whole
from diffdemo.ui.runs.sweeps import SWEEPS
from diffdemo.ui.runs.zoo import ModelZoo

RUN_ID = "compare-run"
LATER = ("ddim", "ddpm")  # samplers that the third and the fourth run come with: like B, and one thing changed
SWEEP = """**Sweep.** Run A again and again with one setting changed, on the same noise."""
STARRED = r"\* of other pictures, or against others, than the first's: compare with care. How, stands below."
LEAD = """With the same noise for all, what differs in the end is the work of the model and its settings alone:
change one thing at a time."""
FORMULAS = r"""
Every run starts from the same $x_T \sim \mathcal N(0, 1)$, drawn from the seed. A sampler that adds noise on the way
(DDPM) draws that from the seed too, so that it is the same in each step of runs of equal length.

A run of $n$ steps evaluates the network $n$ times, with Heun up to $2n - 1$ times, and once more wherever it is guided;
by a weaker version, that is an evaluation of a smaller network.
The map of the difference of two pictures $a$ and $b$ shows $\tfrac13 \sum_{c} |a_c - b_c|$ in each pixel, over its
three colours $c$.
"""


@dataclass
class Controls:
    """The tab's components, and how many runs there are and which of them is on display."""

    sides: list[Fields]
    groups: list[gr.Group]
    add: gr.Button
    remove: gr.Button
    shared: Fields
    linked: gr.Checkbox
    run: gr.Button
    stop: gr.Button
    viewer: gr.HTML
    table: gr.Markdown
    details: gr.Markdown
    pair: gr.Radio
    closer: gr.HTML
    words: gr.Markdown
    link: gr.Textbox
    sweeps: dict[str, gr.Button]
    swept: gr.HTML
    save: gr.DownloadButton
    runs: gr.State
    shown: gr.State

    def inputs(self) -> list:
        """What `run` takes, in its order."""
        named = [component for fields in (self.shared, *self.sides) for component in fields.inputs()]
        return [self.runs, self.pair, self.linked, *named]

    def results(self) -> list:
        """What a finished comparison fills, in its order."""
        return [self.table, self.details, self.pair, self.closer, self.words, self.link]

    def size(self) -> list:
        """What the number of runs changes."""
        return [self.runs, *self.groups, self.add, self.remove]

    def resize(self, runs: int) -> dict:
        """Updates for so many runs."""
        shown = {group: gr.update(visible=place < runs) for place, group in enumerate(self.groups)}
        add, remove = gr.update(visible=runs < len(NAMES)), gr.update(visible=runs > FEWEST)
        return {self.runs: runs, **shown, self.add: add, self.remove: remove}


def layout(zoo: ModelZoo) -> Controls:
    """The runs' settings, what they share, and the results."""
    first = first_sides(zoo)
    shared = Fields(zoo, first[0])
    with gr.Row(elem_classes="tab-body"):
        run, stop = wiring.buttons("Compare", RUN_ID)
        with gr.Column(elem_classes="stage"):
            gr.Markdown(LEAD, elem_classes="lead")
            view = viewer("Runs in lockstep", "compare-viewer")
        with gr.Column(elem_classes="settings"):
            classes = zoo.classes(*(settings.model for settings in first))
            shared.add_class("Class of all", choices=classes, visible=True)
            shared.add_seed(new=True)
            shared.add_count()
            linked = gr.Checkbox(True, label="Same noise for all", info="Off: the seeds of each run follow the last's.")
            later = [replace(first[-1], sampler=sampler) for sampler in LATER]
            named = zip([*first, *later], NAMES, strict=True)
            sides, groups = zip(*(_side(zoo, settings, name) for settings, name in named), strict=True)
            with gr.Row():
                add = gr.Button("Add a run", size="sm", min_width=96)
                remove = gr.Button("Remove the last run", size="sm", min_width=140, visible=False)
            gr.Markdown(SWEEP)
            with gr.Row():
                buttons = {
                    over: gr.Button(f"Sweep {over}", size="sm", elem_id=f"sweep-{over}", min_width=96)
                    for over in SWEEPS
                }
        with gr.Column(elem_classes="words"):
            pair = gr.Radio(pairs(FEWEST), value=pairs(FEWEST)[0], label="Look closer at", visible=False)
            closer = sheet("Finished pictures of two runs, and where they differ", "compare-closer")
            words = gr.Markdown()
            figures = gr.Markdown(elem_classes="figures")
            swept = sheet("A sweep: a row for each value", "compare-sweep")
            save = gr.DownloadButton("Save the sweep as one picture", size="sm", visible=False)
            with gr.Accordion("How it was measured", open=False):
                gr.Markdown(STARRED)
                details = gr.Markdown(elem_classes="figures")
            with gr.Accordion("Share", open=False, elem_classes="reproduce"):
                link = gr.Textbox(label="Link to this comparison", lines=1, interactive=False, buttons=["copy"])
            with gr.Accordion("The formulas", open=False):
                gr.Markdown(FORMULAS, latex_delimiters=wiring.LATEX)
    asked = (sides, groups, add, remove, shared, linked)
    of_pair, of_sweep = (pair, closer, words, link), (buttons, swept, save)
    return Controls(*asked, run, stop, view, figures, details, *of_pair, *of_sweep, gr.State(FEWEST), gr.State())


def _side(zoo: ModelZoo, settings: Settings, name: str) -> tuple[Fields, gr.Group]:
    fields = Fields(zoo, settings, f"{name}: ")
    with gr.Group(elem_classes="side", visible=name in NAMES[:FEWEST]) as group:
        fields.add_line()
        fields.add_steps_and_guidance()
        fields.add_guided_how()
    return fields, group


def first_sides(zoo: ModelZoo) -> list[Settings]:
    """The runs that the tab opens with, of a class that both models know."""
    keys = [zoo.pick(key) for key in PAIR]
    return [Settings.of(zoo, key, class_name=first_class(zoo, *keys)) for key in keys]


def first_run(zoo: ModelZoo, recordings: Recordings) -> tuple:
    """The finished comparison that is on display before the first click, and its name."""
    sides = first_sides(zoo)
    for lane in start(zoo, sides, linked=True):
        next(lane.steps)  # a network's first evaluation takes longer
    lanes = start(zoo, sides, linked=True)
    message = whole(stream(lanes))
    recordings.keep(message["run"], lanes, for_ever=True)
    return message, message["run"], *results(lanes, "", zoo.folder), compare_link.link(lanes, True)


def connect(
    page: gr.Blocks,
    tab: gr.Tab,
    zoo: ModelZoo,
    stops: Stops,
    recordings: Recordings,
    controls: Controls,
    first_views: wiring.FirstViews,
) -> None:
    """Wire the tab, which shows its first comparison when it is opened, or runs what the address of `page` asks for."""
    outputs = [controls.viewer, controls.shown, *controls.results()]
    first_view = first_views.add(lambda: first_run(zoo, recordings))
    # A run of the visitor's own, too, says that this has been opened.
    opened = wiring.show_first(tab, first_view, first_view, [], outputs)

    def run(halted: Callable[[], bool], runs, pair, linked, *values) -> Iterator[tuple]:
        values = iter(values)
        shared = controls.shared.read(values)
        sides = [Settings(**shared, **side.read(values)) for side in controls.sides][:runs]
        lanes = start(zoo, sides, linked)
        for message in stream(lanes, halted, wiring.time_limit()):
            recordings.keep(message["run"], lanes)
            if message["state"] == "done":
                shown = results(lanes, pair, zoo.folder)
                yield message, message["run"], *shown, compare_link.link(lanes, linked), True
            else:
                yield message, *[gr.skip()] * (len(outputs) - 1), True

    def look_at(pair: str, shown: str | None) -> tuple:
        """At that pair of the runs on display, if they have it: those that go on may have more, or fewer."""
        with wiring.toasts():
            lanes = recordings.lanes(shown) if shown else []
            return pair_of(lanes, pair) if pair in pairs(len(lanes)) else (gr.skip(),) * 2

    def classes_of(class_name: str, keys: Sequence[str]) -> dict:
        classes = zoo.classes(*keys)
        value = class_name if class_name in classes else first_class(zoo, *keys)
        return {controls.shared["class_name"]: gr.update(choices=classes, value=value)}

    def share_class(runs: int, class_name: str, *keys: str) -> dict:
        return classes_of(class_name, keys[:runs])

    def resize(change: int):
        def resized(runs: int, class_name: str, *keys: str) -> dict:
            runs = min(max(runs + change, FEWEST), len(NAMES))
            return controls.resize(runs) | classes_of(class_name, keys[:runs])

        return resized

    def restore(request: gr.Request) -> dict:
        """The settings of the page's address, and that the first comparison is not to come in between."""
        with wiring.toasts():
            asked = compare_link.asked_for(zoo, request.query_params)
        if asked is None:
            return gr.skip()
        shown = controls.resize(len(asked.sides)) | {controls.linked: asked.linked, opened: True}
        for fields, side in zip(controls.sides, asked.sides, strict=False):
            shown |= fields.show(side)
        shown |= controls.shared.show(asked.sides[0])
        return shown | classes_of(asked.sides[0].class_name, [side.model for side in asked.sides])

    class_of_all, keys = controls.shared["class_name"], [side["model"] for side in controls.sides]
    going = wiring.connect_run(
        controls.run, run, controls.inputs(), [*outputs, opened], keys[0], stops, compare_link.TAB
    )
    exports.connect_link(controls.link, going)
    runs = [(going, controls.run, compare_link.TAB), *connect_sweeps(zoo, stops, controls)]
    wiring.connect_stop(controls.stop.click, controls.viewer, stops, *runs)
    quietly = {"show_progress": "hidden", **wiring.AT_ONCE}
    for side in controls.sides:
        side.connect_model(RUN_ID)
        side.connect_guidance(class_of_all)
        side.connect_run(RUN_ID)
    controls.shared.connect_run(RUN_ID)
    asked = [controls.runs, class_of_all, *keys]
    wiring.settled_before(RUN_ID, partial(gr.on, [key.input for key in keys]), share_class, asked, class_of_all)
    for button, change in ((controls.add, 1), (controls.remove, -1)):
        button.click(resize(change), asked, [*controls.size(), class_of_all], **quietly)
    # One event for both: a pair may be chosen just as other runs come on display, and both answers would race.
    gr.on(
        [controls.pair.input, controls.shown.change],
        look_at,
        [controls.pair, controls.shown],
        [controls.closer, controls.words],
        trigger_mode="always_last",
        show_progress="hidden",
        **wiring.BESIDE,
    )
    of_runs = [component for fields in (controls.shared, *controls.sides) for component in fields.outputs()]
    restored = [*controls.size(), *of_runs, controls.linked, opened]
    link = page.load(restore, outputs=restored, show_progress="hidden", **wiring.BESIDE)
    for outcome in (link.success, link.failure):
        outcome(None, js=wiring.OPEN_LINKED_TAB, **wiring.PRIVATE)
    link.success(None, js=wiring.press_if_linked(compare_link.TAB, RUN_ID, compare_link.IN_A_LINK), **wiring.PRIVATE)


def connect_sweeps(zoo: ModelZoo, stops: Stops, controls: Controls) -> list[wiring.Started]:
    """Let each sweep's button fill the sheet with runs like A, and then offer it as one picture."""
    side, shared = controls.sides[0], controls.shared
    inputs = [*shared.inputs(), *side.inputs()]

    def over(name: str) -> Callable[..., Iterator[tuple]]:
        def run(halted: Callable[[], bool], *values) -> Iterator[tuple]:
            values = iter(values)
            runs = sweeps.sweep(zoo, Settings(**shared.read(values), **side.read(values)), name)
            # All of it each time, as what comes in a burst looks to the page like the last of it.
            for message in sweeps.table(runs, halted, wiring.time_limit()):
                yield message, gr.update(visible=False)
            if runs[0][1].finished:
                with TemporaryDirectory() as folder:  # of which Gradio makes a copy
                    path = sweeps.save(runs, Path(folder, f"{runs[0][1].model.key}-{name}.png"))
                    yield message, gr.update(visible=True, value=str(path))

        return run

    outputs, started = [controls.swept, controls.save], []
    for name, button in controls.sweeps.items():
        tab = f"sweep-{name}"
        going = wiring.connect_run(button, over(name), inputs, outputs, side["model"], stops, tab)
        started.append((going, button, tab))
    return started
