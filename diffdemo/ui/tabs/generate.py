"""The Generate tab: one model at work, x_t and its guess of x0 side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gradio as gr

from diffdemo.records.tables import plain
from diffdemo.ui.components.viewer import viewer
from diffdemo.ui.parts import exports, nearest, wiring
from diffdemo.ui.runs.examples import Example, examples
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.settings import (
    FAVOURITE,
    FIRST_COUNT,
    FIRST_SEED,
    IN_A_LINK,
    TAB,
    first_settings_of,
    linked,
    start,
)
from diffdemo.ui.runs.stream import Stops, stream, whole
from diffdemo.ui.runs.zoo import ModelZoo, about

__all__ = ["FAVOURITE", "Controls", "connect", "first_run", "first_settings", "first_settings_of", "layout", "start"]

RUN_ID = "generate-run"
PRESS = wiring.press(RUN_ID)
PRESS_IF_LINKED = wiring.press_if_linked(TAB, RUN_ID, IN_A_LINK)

EXPLANATION = r"""$x_t$ starts as pure noise and loses a little of it with every step; $\hat x_0$ is the clean picture
that the network believes is hidden in it. Each step moves $x_t$ a little towards that guess, and the curve of
$\bar\alpha_t$ shows how much of the picture's variance is in $x_t$ by then."""
FORMULAS = r"""
Training hides a picture $x_0$ in noise, and the network learns to find it again (Ho et al. 2020):
$$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon,\qquad \varepsilon \sim \mathcal N(0, 1),\qquad
\mathrm{SNR}_t = \frac{\bar\alpha_t}{1-\bar\alpha_t}$$

A step of the sampler from $t$ to $s < t$ takes the guess $\hat x_0$, works out which noise
$\hat\varepsilon = (x_t - \sqrt{\bar\alpha_t}\,\hat x_0) / \sqrt{1-\bar\alpha_t}$ must then be in $x_t$, and puts less
of it back. In its simplest form (DDIM):
$$x_s = \sqrt{\bar\alpha_s}\,\hat x_0 + \sqrt{1-\bar\alpha_s}\,\hat\varepsilon$$

Guidance $w$ exaggerates what the class adds (Ho and Salimans 2022); $w = 1$ is none, and a step with any other $w$
takes two network evaluations instead of one:
$$\hat x_0 = \hat x_0(\text{no class}) + w\,\bigl(\hat x_0(\text{class}) - \hat x_0(\text{no class})\bigr)$$

Early on, in nothing but noise, it leaves little choice of picture, and late it has nothing left to decide: guiding only
at the noise levels $\sigma_t = \sqrt{(1-\bar\alpha_t) / \bar\alpha_t}$ between costs less and keeps variety
(Kynkäänniemi et al. 2024). In place of the guess without a class may stand that of a *weaker version* of the network,
smaller and shorter trained: what it gets wrong, too, only worse, points away from where pictures are (autoguidance,
Karras et al. 2024). That way a network that knows no classes can be guided:
$$\hat x_0 = \hat x_0^{\text{weak}} + w\,\bigl(\hat x_0 - \hat x_0^{\text{weak}}\bigr)$$
"""


@dataclass
class Controls:
    """The tab's components, in the order of the page."""

    run: gr.Button
    stop: gr.Button
    viewer: gr.HTML
    model: gr.Radio
    about: gr.Markdown
    class_name: gr.Radio
    sampler: gr.Radio
    steps: gr.Number
    guidance: gr.Number
    interval: gr.Textbox
    guide: gr.Radio
    seed: gr.Textbox
    count: gr.Slider
    examples: list[gr.Button]
    exports: exports.Exports
    copying: nearest.Controls | None

    def inputs(self) -> list:
        """What `run` takes, in its order."""
        named = [self.model, self.class_name, self.steps, self.sampler, self.guidance]
        return [*named, self.seed, self.count, self.interval, self.guide]

    def outputs(self) -> list:
        """What `run` yields, in its order."""
        return [self.viewer, *self.exports.outputs()]

    def settings(self) -> list:
        """What `shown_settings` is for, in its order."""
        of_model = [self.about, self.class_name, self.steps, self.sampler, self.guidance, self.interval, self.guide]
        return [self.model, *of_model, self.seed, self.count]


def layout(zoo: ModelZoo, search: nearest.Search) -> Controls:
    """Settings beside the viewer; below it on a phone. The keyboard comes to the viewer first."""
    key = zoo.pick(FAVOURITE)
    model, first = zoo[key], first_settings(zoo)
    has_classes = bool(model.classes)
    with gr.Row(elem_classes="tab-body"):
        run, stop = wiring.buttons("Generate", RUN_ID)
        with gr.Column(elem_classes="stage"):
            view = viewer("Generated pictures, step by step", "generate-viewer")
        with gr.Column(elem_classes="settings"):
            radio = gr.Radio(zoo.choices(), value=key, label="Model", elem_classes="queue-place")
            note = gr.Markdown(plain(about(model)), elem_classes="about")
            classes = gr.Radio(zoo.classes(key), value=first["class_name"], label="Class", visible=has_classes)
            sampler = gr.Radio(
                wiring.SAMPLER_CHOICES, value=first["sampler"], label="Sampler", info=wiring.SAMPLER_INFO
            )
            steps, *guided = wiring.steps_and_guidance(first, model)
            seed, count = wiring.noise_settings(FIRST_SEED, FIRST_COUNT)
        with gr.Column(elem_classes="words"):
            taken = exports.layout()
            copying = nearest.layout(search)
            with gr.Row(elem_classes="chips"):
                gr.HTML("Worth a look", elem_classes="chips-label", apply_default_css=False)
                tries = [gr.Button(example.name, size="sm", min_width=40, scale=0) for example in examples(zoo)]
            gr.Markdown(EXPLANATION, latex_delimiters=wiring.LATEX)
            with gr.Accordion("The formulas", open=False):
                gr.Markdown(FORMULAS, latex_delimiters=wiring.LATEX)
    asked = (radio, note, classes, sampler, steps, *guided, seed, count)
    return Controls(run, stop, view, *asked, tries, taken, copying)


def first_settings(zoo: ModelZoo) -> dict:
    """The settings of the run on display before the first click, which are also those the page opens with."""
    return first_settings_of(zoo, zoo.pick(FAVOURITE))


def shown_settings(zoo: ModelZoo, model: str, *, seed, count, **of_model) -> list:
    """Updates of the settings on the page, in the order of `Controls.settings`."""
    return [model, *shown_with(zoo, model, **of_model), seed, count]


def shown_with(zoo: ModelZoo, model: str, class_name: str, steps, sampler, guidance, interval=None, guide=None) -> list:
    """Updates of what another model changes: what it is, class, steps, sampler, and how it is guided."""
    of, usual = zoo[model], first_settings_of(zoo, model)
    guided = wiring.guidance_updates(of, guidance, interval or usual["interval"], guide or usual["guide"])
    classes = gr.update(choices=zoo.classes(model), value=class_name, visible=bool(of.classes))
    return [plain(about(of)), classes, steps, sampler, *guided]


def first_run(zoo: ModelZoo, recordings: Recordings) -> tuple:
    """The finished run that is on display before the first click, and what can be taken away of it."""
    settings, model = first_settings(zoo), zoo.pick(FAVOURITE)
    # A network's first evaluation takes longer, and the times on display should be those of any other run.
    next(start(zoo, model, **settings, seed=FIRST_SEED, count=FIRST_COUNT).steps)
    lane = start(zoo, model, **settings, seed=FIRST_SEED, count=FIRST_COUNT)
    message = whole(stream([lane]))
    recordings.keep(message["run"], [lane], for_ever=True)
    return message, *exports.describe(message["run"], lane, zoo.folder)


def connect(
    page: gr.Blocks, zoo: ModelZoo, stops: Stops, recordings: Recordings, controls: Controls, search: nearest.Search
) -> None:
    """Wire the tab; `page` shows the first run when it loads, and runs what its address asks for."""

    def run(
        model, class_name, steps, sampler, guidance, seed, count, interval, guide, request: gr.Request
    ) -> Iterator[tuple]:
        with wiring.toasts(), stops.listening(wiring.visitor(request, TAB)) as halted:
            lane = start(zoo, model, class_name, steps, sampler, guidance, seed, count, interval, guide)
            for message in stream([lane], halted, wiring.time_limit()):
                recordings.keep(message["run"], [lane])
                yield message, *exports.describe(message["run"], lane, zoo.folder)

    def choose(key: str) -> list:
        """All but the model itself, which may have changed again meanwhile."""
        return [*shown_with(zoo, key, **first_settings_of(zoo, key)), gr.skip(), gr.skip()]

    def restore(request: gr.Request) -> list:
        with wiring.toasts():
            asked = linked(zoo, request.query_params)
        return shown_settings(zoo, **asked) if asked else [gr.skip()] * len(controls.settings())

    going = controls.run.click(
        run,
        controls.inputs(),
        controls.outputs(),
        js=wiring.taken(RUN_ID),
        **wiring.progress_on(controls.model),
        **wiring.QUEUE,
        **wiring.PRIVATE,
    )
    exports.connect_link(controls.exports.link, going)
    wiring.connect_stop(controls.stop.click, going, controls.viewer, stops, TAB)
    quiet = {"show_progress": "hidden", **wiring.AT_ONCE}
    controls.model.input(choose, controls.model, controls.settings()[1:], trigger_mode="always_last", **quiet)

    def set_up(example: Example) -> Callable[[gr.Request], list]:
        """Shows its settings, and ends the run that goes on, in whose place its own is about to come."""

        def chosen(request: gr.Request) -> list:
            stops.stop(wiring.visitor(request, TAB))
            return shown_settings(zoo, **{**example.settings, "seed": str(example.seed)})

        return chosen

    for button, example in zip(controls.examples, examples(zoo), strict=True):
        ready = button.click(set_up(example), outputs=controls.settings(), cancels=[going], **quiet)
        ready.success(None, js=PRESS, **wiring.PRIVATE)
    exports.connect(controls.exports, recordings)
    if controls.copying:
        nearest.connect(controls.copying, controls.exports.run, search, recordings)
    first_view = wiring.FirstView(lambda: first_run(zoo, recordings), at_once=True)

    def unless_there(name: str | None) -> tuple:
        return (gr.skip(),) * len(controls.outputs()) if name else first_view()

    # In two events, because the first may take seconds, in which a visitor or a link can have begun a run.
    there = page.load(lambda: first_view() and None, **quiet)
    shown = there.then(unless_there, controls.exports.run, controls.outputs(), **quiet)
    shown.then(wiring.FirstView.begin_all, **quiet)
    opened = page.load(restore, outputs=controls.settings(), show_progress="hidden", **wiring.BESIDE)
    opened.success(None, js=PRESS_IF_LINKED, **wiring.PRIVATE)
