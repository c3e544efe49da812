"""The Compare tab: two models, or one with two settings, on the same noise and in lockstep."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gradio as gr
import numpy as np

from diffdemo import validate
from diffdemo.ui import wiring
from diffdemo.ui.components.viewer import viewer
from diffdemo.ui.generate import FIRST_COUNT, FIRST_SEED, first_settings_of
from diffdemo.ui.runs import MOST_IMAGES, Lane, Stops, stream, whole
from diffdemo.ui.shelf import Shelf, about, title

PAIR = ("simple_unet", "attention_unet")
NAMES = ("A", "B")
ENLARGED = 8  # pixels on the slider for each of the picture's

EXPLANATION = (
    "With the same noise for both, what differs in the end is the work of the model and its settings alone. "
    "Change one thing at a time."
)


@dataclass
class Side:
    """The components of one of the two."""

    model: gr.Radio
    about: gr.Markdown
    sampler: gr.Radio
    steps: gr.Number
    guidance: gr.Number

    def inputs(self) -> list:
        return [self.model, self.steps, self.sampler, self.guidance]


@dataclass
class Controls:
    """The tab's components."""

    sides: tuple[Side, Side]
    class_name: gr.Radio
    seed: gr.Textbox
    count: gr.Slider
    linked: gr.Checkbox
    run: gr.Button
    stop: gr.Button
    viewer: gr.HTML
    table: gr.Markdown
    slider: gr.ImageSlider

    def inputs(self) -> list:
        """What `run` takes, in its order."""
        shared = [self.class_name, self.seed, self.count, self.linked]
        return [*shared, *self.sides[0].inputs(), *self.sides[1].inputs()]


def layout(shelf: Shelf) -> Controls:
    """The two sides' settings, what they share, and the results."""
    keys = [shelf.pick(key) for key in PAIR]
    with gr.Row(elem_classes="tab-body"):
        with gr.Column(elem_classes="settings"):
            run, stop = wiring.buttons("Compare")
            sides = tuple(_side(shelf, key, name) for key, name in zip(keys, NAMES, strict=True))
            first = first_settings_of(shelf, keys[1])["class_name"]
            classes = gr.Radio(shelf.classes(*keys), value=first, label="Class of both")
            linked = gr.Checkbox(True, label="Same noise for both", info="Off: the seeds of B follow those of A.")
            seed, count = wiring.noise_settings(FIRST_SEED, FIRST_COUNT)
        with gr.Column(elem_classes="stage"):
            view = viewer("Two runs in lockstep", "compare-viewer")
            gr.Markdown("**Finished pictures.** Drag the handle: A is left of it, B right.")
            slider = gr.ImageSlider(
                label="Finished pictures of A and B",
                show_label=False,
                format="png",
                interactive=False,
                elem_classes="pictures",
                max_height=320,
                buttons=[],
            )
            table = gr.Markdown(elem_classes="figures")
        with gr.Column(elem_classes="words"):
            gr.Markdown(EXPLANATION)
    return Controls(sides, classes, seed, count, linked, run, stop, view, table, slider)


def _side(shelf: Shelf, key: str, name: str) -> Side:
    settings, has_classes = first_settings_of(shelf, key), bool(shelf[key].classes)
    with gr.Group(elem_classes="side"):
        model = gr.Radio(shelf.choices(), value=key, label=f"{name}: Model", elem_classes="queue-place")
        note = gr.Markdown(wiring.plain(about(shelf[key])), elem_classes="about")
        sampler = gr.Radio(wiring.SAMPLER_CHOICES, value=settings["sampler"], label=f"{name}: Sampler")
        steps, guidance = wiring.steps_and_guidance(settings, has_classes, f"{name}: ")
    return Side(model, note, sampler, steps, guidance)


def start(shelf: Shelf, class_name: str | None, seed, count, linked: bool, *sides: Sequence) -> list[Lane]:
    """Checked runs, one for each of `sides` (model, steps, sampler, guidance); unlinked, B's seeds follow A's."""
    seeds = validate.consecutive_seeds(seed, count, MOST_IMAGES)
    others = seeds if linked else validate.consecutive_seeds(seeds[-1] + 1, len(seeds))
    return [
        Lane.start(shelf[model], class_name, steps, sampler, guidance, own, f"{name}: ")
        for name, (model, steps, sampler, guidance), own in zip(NAMES, sides, (seeds, others), strict=True)
    ]


def first_run(shelf: Shelf) -> tuple:
    """The finished comparison that is on display before the first click."""
    sides = []
    for key in map(shelf.pick, PAIR):
        settings = first_settings_of(shelf, key)
        sides.append((key, settings["steps"], settings["sampler"], settings["guidance"]))
    shared = (first_settings_of(shelf, shelf.pick(PAIR[1]))["class_name"], FIRST_SEED, FIRST_COUNT, True)
    for lane in start(shelf, *shared, *sides):
        next(lane.steps)  # a network's first evaluation takes longer
    lanes = start(shelf, *shared, *sides)
    return whole(stream(lanes)), table(lanes), pictures(lanes)


def table(lanes: Sequence[Lane]) -> str:
    """What both took, as Markdown."""
    rows = [
        ("", [f"{name} · {title(lane.model)}" for name, lane in zip(NAMES, lanes, strict=True)]),
        ("---", ["---:" for _ in lanes]),
        ("parameters", [f"{lane.model.info.parameters:,}" for lane in lanes]),
        ("ms per step", [f"{lane.ms_per_step:.1f}" for lane in lanes]),
        ("network evaluations", [f"{lane.evaluations:,}" for lane in lanes]),
        ("total time", [f"{lane.seconds:.2f} s" for lane in lanes]),
    ]
    return "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)


def pictures(lanes: Sequence[Lane]) -> tuple[np.ndarray, np.ndarray]:
    """The finished pictures of both, each side's in one row, enlarged without smoothing."""
    rows = [np.concatenate(list(lane.pictures), axis=1) for lane in lanes]
    return tuple(row.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1) for row in rows)


def connect(tab: gr.Tab, shelf: Shelf, stops: Stops, controls: Controls) -> None:
    """Wire the tab, which shows its first comparison when it is opened."""
    outputs = [controls.viewer, controls.table, controls.slider]

    def run(
        class_name,
        seed,
        count,
        linked,
        model_a,
        steps_a,
        sampler_a,
        guidance_a,
        model_b,
        steps_b,
        sampler_b,
        guidance_b,
        request: gr.Request,
    ) -> Iterator[tuple]:
        sides = (model_a, steps_a, sampler_a, guidance_a), (model_b, steps_b, sampler_b, guidance_b)
        with wiring.toasts(), stops.listening(wiring.visitor(request, "compare")) as halted:
            lanes = start(shelf, class_name, seed, count, linked, *sides)
            for message in stream(lanes, halted, wiring.time_limit()):
                done = message["state"] == "done"
                yield message, *((table(lanes), pictures(lanes)) if done else (gr.skip(), gr.skip()))

    def choose(key: str, key_a: str, key_b: str, class_name: str) -> list:
        settings, classes = first_settings_of(shelf, key), shelf.classes(key_a, key_b)
        return [
            wiring.plain(about(shelf[key])),
            settings["steps"],
            settings["sampler"],
            gr.update(value=settings["guidance"], visible=bool(shelf[key].classes)),
            gr.update(choices=classes, value=class_name if class_name in classes else classes[0]),
        ]

    going = controls.run.click(
        run,
        controls.inputs(),
        outputs,
        **wiring.progress_on(controls.sides[0].model),
        **wiring.QUEUE,
        **wiring.PRIVATE,
    )
    wiring.connect_stop(controls.stop, going, controls.viewer, stops, "compare")
    keys = [side.model for side in controls.sides]
    for side in controls.sides:
        follow = [side.about, side.steps, side.sampler, side.guidance, controls.class_name]
        inputs = [side.model, *keys, controls.class_name]
        side.model.input(choose, inputs, follow, queue=False, show_progress="hidden", **wiring.PRIVATE)
    showcase = wiring.Showcase(lambda: first_run(shelf))
    shown_once = gr.State(False)

    def open_tab(shown: bool) -> tuple:
        return (gr.skip(), gr.skip(), gr.skip(), True) if shown else (*showcase(), True)

    tab.select(open_tab, shown_once, [*outputs, shown_once], queue=False, show_progress="hidden", **wiring.PRIVATE)
