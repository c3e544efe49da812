"""The Compare tab: two to four runs, of different models or settings, on the same noise and in lockstep."""

from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from diffdemo.records.tables import plain
from diffdemo.ui.components.viewer import viewer
from diffdemo.ui.parts import exports, wiring
from diffdemo.ui.runs import compare_link
from diffdemo.ui.runs.comparisons import FEWEST, NAMES, PAIR, pair_of, pairs, results, start
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.settings import FIRST_COUNT, FIRST_SEED, first_settings_of
from diffdemo.ui.runs.stream import Stops, stream, whole
from diffdemo.ui.runs.zoo import ModelZoo, about

RUN_ID = "compare-run"
LATER = ("ddim", "ddpm")  # samplers that the third and the fourth run come with: like B, and one thing changed
ENLARGED_PICTURES = {
    "show_label": False,
    "format": "png",
    "interactive": False,
    "elem_classes": "pictures",
    "buttons": [],
}

EXPLANATION = r"""With the same noise for all, what differs in the end is the work of the model and its settings alone.
Change one thing at a time."""
FORMULAS = r"""
Every run starts from the same $x_T \sim \mathcal N(0, 1)$, drawn from the seed. A sampler that adds noise on the way
(DDPM) draws that from the seed too, so that it is the same in each step of runs of equal length.

A run of $n$ steps evaluates the network $n$ times, with Heun up to $2n - 1$ times, and once more wherever it is guided;
by a weaker version, that is an evaluation of a smaller network.
The map of the difference of two pictures $a$ and $b$ shows $\tfrac13 \sum_{c} |a_c - b_c|$ in each pixel, over its
three colours $c$.
"""


@dataclass
class Side:
    """The components of one of the runs."""

    group: gr.Group
    model: gr.Radio
    about: gr.Markdown
    sampler: gr.Radio
    steps: gr.Number
    guidance: gr.Number
    interval: gr.Textbox
    guide: gr.Radio

    def inputs(self) -> list:
        """What describes the run, in the order of `compare_link.SETTINGS`."""
        return [self.model, self.steps, self.sampler, self.guidance, self.interval, self.guide]

    def follow(self) -> list:
        """What another model changes, in the order of `_follow`."""
        return [self.about, self.steps, self.sampler, self.guidance, self.interval, self.guide]


@dataclass
class Controls:
    """The tab's components, and how many runs there are and which of them is on display."""

    sides: list[Side]
    add: gr.Button
    remove: gr.Button
    class_name: gr.Radio
    seed: gr.Textbox
    count: gr.Slider
    linked: gr.Checkbox
    run: gr.Button
    stop: gr.Button
    viewer: gr.HTML
    table: gr.Markdown
    pair: gr.Radio
    slider: gr.ImageSlider
    words: gr.Markdown
    difference: gr.Image
    link: gr.Textbox
    runs: gr.State
    shown: gr.State

    def inputs(self) -> list:
        """What `run` takes, in its order."""
        sides = [component for side in self.sides for component in side.inputs()]
        return [self.runs, self.pair, self.class_name, self.seed, self.count, self.linked, *sides]

    def results(self) -> list:
        """What a finished comparison fills, in its order."""
        return [self.table, self.pair, self.slider, self.difference, self.words, self.link]

    def size(self) -> list:
        """What the number of runs changes, in the order of `_size`."""
        return [self.runs, *(side.group for side in self.sides[FEWEST:]), self.add, self.remove]


def layout(zoo: ModelZoo) -> Controls:
    """The runs' settings, what they share, and the results."""
    keys = [zoo.pick(key) for key in PAIR]
    with gr.Row(elem_classes="tab-body"):
        run, stop = wiring.buttons("Compare", RUN_ID)
        with gr.Column(elem_classes="stage"):
            view = viewer("Runs in lockstep", "compare-viewer")
        with gr.Column(elem_classes="settings"):
            sides = [_side(zoo, key, name) for key, name in zip(keys, NAMES, strict=False)]
            sides += [_side(zoo, keys[1], *more) for more in zip(NAMES[FEWEST:], LATER, strict=True)]
            with gr.Row():
                add = gr.Button("Add a run", size="sm", min_width=96)
                remove = gr.Button("Remove the last run", size="sm", min_width=140, visible=False)
            first = first_settings_of(zoo, keys[1])["class_name"]
            classes = gr.Radio(zoo.classes(*keys), value=first, label="Class of all")
            linked = gr.Checkbox(True, label="Same noise for all", info="Off: the seeds of each run follow the last's.")
            seed, count = wiring.noise_settings(FIRST_SEED, FIRST_COUNT)
        with gr.Column(elem_classes="words"):
            pair = gr.Radio(pairs(FEWEST), value=pairs(FEWEST)[0], label="Look closer at", visible=False)
            gr.Markdown("**Finished pictures.** Drag the handle: the first run is left of it, the second right.")
            slider = gr.ImageSlider(label="Finished pictures of two runs", max_height=320, **ENLARGED_PICTURES)
            words = gr.Markdown()
            difference = gr.Image(label="Where the two differ", **ENLARGED_PICTURES)
            figures = gr.Markdown(elem_classes="figures")
            with gr.Accordion("Share", open=False, elem_classes="reproduce"):
                link = gr.Textbox(label="Link to this comparison", lines=1, interactive=False, buttons=["copy"])
            gr.Markdown(EXPLANATION, latex_delimiters=wiring.LATEX)
            with gr.Accordion("The formulas", open=False):
                gr.Markdown(FORMULAS, latex_delimiters=wiring.LATEX)
    shared = (add, remove, classes, seed, count, linked, run, stop)
    return Controls(sides, *shared, view, figures, pair, slider, words, difference, link, gr.State(FEWEST), gr.State())


def _side(zoo: ModelZoo, key: str, name: str, sampler: str | None = None) -> Side:
    settings = first_settings_of(zoo, key)
    with gr.Group(elem_classes="side", visible=name in NAMES[:FEWEST]) as group:
        model = gr.Radio(zoo.choices(), value=key, label=f"{name}: Model", elem_classes="queue-place")
        note = gr.Markdown(plain(about(zoo[key])), elem_classes="about")
        chosen = gr.Radio(wiring.SAMPLER_CHOICES, value=sampler or settings["sampler"], label=f"{name}: Sampler")
        of_run = wiring.steps_and_guidance(settings, zoo[key], f"{name}: ")
    return Side(group, model, note, chosen, *of_run)


def first_run(zoo: ModelZoo, recordings: Recordings) -> tuple:
    """The finished comparison that is on display before the first click, and its name."""
    sides = []
    for key in map(zoo.pick, PAIR):
        settings = {"model": key, **first_settings_of(zoo, key)}
        sides.append([settings[name] for name in compare_link.SETTINGS])
    shared = (first_settings_of(zoo, zoo.pick(PAIR[1]))["class_name"], FIRST_SEED, FIRST_COUNT, True)
    for lane in start(zoo, *shared, *sides):
        next(lane.steps)  # a network's first evaluation takes longer
    lanes = start(zoo, *shared, *sides)
    message = whole(stream(lanes))
    recordings.keep(message["run"], lanes, for_ever=True)
    return message, message["run"], *results(lanes, "", zoo.folder), compare_link.link(lanes, True)


def _follow(zoo: ModelZoo, key: str, steps, sampler, guidance, interval, guide) -> list:
    """Updates of one run's settings that belong to its model, in the order of `Side.follow`."""
    guided = wiring.guidance_updates(zoo[key], guidance, interval, guide)
    return [plain(about(zoo[key])), steps, sampler, *guided]


def _size(runs: int) -> list:
    """Updates for so many runs, in the order of `Controls.size`."""
    shown = [gr.update(visible=place < runs) for place in range(FEWEST, len(NAMES))]
    return [runs, *shown, gr.update(visible=runs < len(NAMES)), gr.update(visible=runs > FEWEST)]


def connect(
    page: gr.Blocks, tab: gr.Tab, zoo: ModelZoo, stops: Stops, recordings: Recordings, controls: Controls
) -> None:
    """Wire the tab, which shows its first comparison when it is opened, or runs what the address of `page` asks for."""
    outputs = [controls.viewer, controls.shown, *controls.results()]
    first_view = wiring.FirstView(lambda: first_run(zoo, recordings))
    # A run of the visitor's own, too, says that this has been opened.
    opened = wiring.show_first(tab, first_view, first_view, [], outputs)

    def run(request: gr.Request, runs, pair, class_name, seed, count, linked, *values) -> Iterator[tuple]:
        each = len(compare_link.SETTINGS)
        sides = [values[each * place : each * (place + 1)] for place in range(runs)]
        with wiring.toasts(), stops.listening(wiring.visitor(request, "compare")) as halted:
            lanes = start(zoo, class_name, seed, count, linked, *sides)
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
            return pair_of(lanes, pair) if pair in pairs(len(lanes)) else (gr.skip(),) * 3

    def classes_of(class_name: str, keys: list[str]) -> dict:
        classes = zoo.classes(*keys)
        return gr.update(choices=classes, value=class_name if class_name in classes else classes[0])

    def choose(key: str, runs: int, class_name: str, *keys: str) -> list:
        asked = first_settings_of(zoo, key)
        del asked["class_name"]
        return [*_follow(zoo, key, **asked), classes_of(class_name, keys[:runs])]

    def resize(change: int):
        def resized(runs: int, class_name: str, *keys: str) -> list:
            runs = min(max(runs + change, FEWEST), len(NAMES))
            return [*_size(runs), classes_of(class_name, keys[:runs])]

        return resized

    def restore(request: gr.Request) -> list:
        """The settings of the page's address, and that the first comparison is not to come in between."""
        with wiring.toasts():
            asked = compare_link.asked_for(zoo, request.query_params)
        if asked is None:
            return [gr.skip()] * len(restored)
        keys = [model for model, *_ in asked.sides]
        updates = [*_size(len(keys)), classes_of(asked.class_name, keys), asked.seed, asked.count, asked.linked]
        for key, *settings in asked.sides:
            updates += [key, *_follow(zoo, key, *settings)]
        rest = [gr.skip()] * (len(restored) - len(updates) - 1)
        return [*updates, *rest, True]

    place = wiring.progress_on(controls.sides[0].model)
    how = {"js": wiring.taken(RUN_ID), **place, **wiring.QUEUE, **wiring.PRIVATE}
    going = controls.run.click(run, controls.inputs(), [*outputs, opened], **how)
    exports.connect_link(controls.link, going)
    wiring.connect_stop(controls.stop.click, going, controls.viewer, stops, "compare")
    keys = [side.model for side in controls.sides]
    quietly = {"show_progress": "hidden", **wiring.AT_ONCE}
    for side in controls.sides:
        follow = [*side.follow(), controls.class_name]
        inputs = [side.model, controls.runs, controls.class_name, *keys]
        side.model.input(choose, inputs, follow, trigger_mode="always_last", **quietly)
    changed = [*controls.size(), controls.class_name]
    for button, change in ((controls.add, 1), (controls.remove, -1)):
        button.click(resize(change), [controls.runs, controls.class_name, *keys], changed, **quietly)
    closer = [controls.slider, controls.difference, controls.words]
    # One event for both: a pair may be chosen just as other runs come on display, and both answers would race.
    gr.on(
        [controls.pair.input, controls.shown.change],
        look_at,
        [controls.pair, controls.shown],
        closer,
        trigger_mode="always_last",
        show_progress="hidden",
        **wiring.BESIDE,
    )
    settings = [component for side in controls.sides for component in (side.model, *side.follow())]
    shared = [controls.class_name, controls.seed, controls.count, controls.linked]
    restored = [*controls.size(), *shared, *settings, opened]
    link = page.load(restore, outputs=restored, show_progress="hidden", **wiring.BESIDE)
    for outcome in (link.success, link.failure):
        outcome(None, js=wiring.OPEN_LINKED_TAB, **wiring.PRIVATE)
    link.success(None, js=wiring.press_if_linked(compare_link.TAB, RUN_ID, compare_link.IN_A_LINK), **wiring.PRIVATE)
