"""The Generate tab: one model at work, x_t and its guess of x0 side by side."""

from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from diffdemo import validate
from diffdemo.ui import wiring
from diffdemo.ui.components.viewer import viewer
from diffdemo.ui.runs import MOST_IMAGES, Lane, Stops, stream, whole
from diffdemo.ui.shelf import Shelf, about

FAVOURITE, FIRST_CLASS, FIRST_SEED, FIRST_COUNT = "attention_unet", "horse", "7", 4

EXPLANATION = r"""On the left is $x_t$, a picture that starts as pure noise and loses a little of it with every step.
On the right is $\hat x_0$, the clean picture that the network believes is hidden in it; each step moves $x_t$ a little
towards that guess."""
FORMULAS = r"""
Training hides a picture $x_0$ in noise, and the network learns to find it again (Ho et al. 2020):
$$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon,\qquad \varepsilon \sim \mathcal N(0, 1),\qquad
\mathrm{SNR}_t = \frac{\bar\alpha_t}{1-\bar\alpha_t}$$

A step of the sampler from $t$ to $s < t$ takes the guess $\hat x_0$, works out which noise
$\hat\varepsilon = (x_t - \sqrt{\bar\alpha_t}\,\hat x_0) / \sqrt{1-\bar\alpha_t}$ must then be in $x_t$, and puts less
of it back. In its simplest form (DDIM):
$$x_s = \sqrt{\bar\alpha_s}\,\hat x_0 + \sqrt{1-\bar\alpha_s}\,\hat\varepsilon$$

Guidance $w$ exaggerates what the class adds (Ho and Salimans 2022); $w = 1$ is none, and any other $w$ takes two
network evaluations instead of one:
$$\hat x_0 = \hat x_0(\text{no class}) + w\,\bigl(\hat x_0(\text{class}) - \hat x_0(\text{no class})\bigr)$$
"""


@dataclass
class Controls:
    """The tab's components, in the order of the page."""

    model: gr.Radio
    about: gr.Markdown
    class_name: gr.Radio
    steps: gr.Number
    sampler: gr.Radio
    guidance: gr.Number
    seed: gr.Textbox
    count: gr.Slider
    run: gr.Button
    stop: gr.Button
    viewer: gr.HTML

    def inputs(self) -> list:
        """What `run` takes, in its order."""
        return [self.model, self.class_name, self.steps, self.sampler, self.guidance, self.seed, self.count]


def layout(shelf: Shelf) -> Controls:
    """Settings beside the viewer; below it on a phone."""
    key = shelf.pick(FAVOURITE)
    model, first = shelf[key], first_settings(shelf)
    has_classes = bool(model.classes)
    with gr.Row(elem_classes="tab-body"):
        with gr.Column(elem_classes="settings"):
            run, stop = wiring.buttons("Generate")
            radio = gr.Radio(shelf.choices(), value=key, label="Model", elem_classes="queue-place")
            note = gr.Markdown(wiring.plain(about(model)), elem_classes="about")
            classes = gr.Radio(shelf.classes(key), value=first["class_name"], label="Class", visible=has_classes)
            sampler = gr.Radio(
                wiring.SAMPLER_CHOICES, value=first["sampler"], label="Sampler", info=wiring.SAMPLER_INFO
            )
            steps, guidance = wiring.steps_and_guidance(first, has_classes)
            seed, count = wiring.noise_settings(FIRST_SEED, FIRST_COUNT)
        with gr.Column(elem_classes="stage"):
            view = viewer("Generated pictures, step by step", "generate-viewer")
        with gr.Column(elem_classes="words"):
            gr.Markdown(EXPLANATION, latex_delimiters=wiring.LATEX)
            with gr.Accordion("The formulas", open=False):
                gr.Markdown(FORMULAS, latex_delimiters=wiring.LATEX)
    return Controls(radio, note, classes, steps, sampler, guidance, seed, count, run, stop, view)


def first_settings(shelf: Shelf) -> dict:
    """The settings of the run on display before the first click, which are also those the page opens with."""
    return first_settings_of(shelf, shelf.pick(FAVOURITE))


def first_settings_of(shelf: Shelf, key: str) -> dict:
    """A good class and the checkpoint's own defaults."""
    defaults, classes = shelf[key].info.defaults, shelf.classes(key)
    return {
        "class_name": FIRST_CLASS if FIRST_CLASS in classes else classes[-1],
        "steps": defaults["steps"],
        "sampler": defaults["sampler"],
        "guidance": defaults["guidance_scale"] if shelf[key].classes else 1,
    }


def start(shelf: Shelf, model: str, class_name: str | None, steps, sampler: str, guidance, seed, count) -> Lane:
    """A checked run of these settings; RequestError says which of them is wrong."""
    seeds = validate.consecutive_seeds(seed, count, MOST_IMAGES)
    return Lane.start(shelf[model], class_name, steps, sampler, guidance, seeds)


def first_run(shelf: Shelf) -> dict:
    """The finished run that is on display before the first click."""
    settings, model = first_settings(shelf), shelf.pick(FAVOURITE)
    # A network's first evaluation takes longer, and the times on display should be those of any other run.
    next(start(shelf, model, **settings, seed=FIRST_SEED, count=FIRST_COUNT).steps)
    return whole(stream([start(shelf, model, **settings, seed=FIRST_SEED, count=FIRST_COUNT)]))


def connect(page: gr.Blocks, shelf: Shelf, stops: Stops, controls: Controls) -> None:
    """Wire the tab; `page` shows the first run when it loads."""

    def run(model, class_name, steps, sampler, guidance, seed, count, request: gr.Request) -> Iterator[dict]:
        with wiring.toasts(), stops.listening(wiring.visitor(request, "generate")) as halted:
            lane = start(shelf, model, class_name, steps, sampler, guidance, seed, count)
            yield from stream([lane], halted, wiring.time_limit())

    def choose(key: str) -> list:
        settings, has_classes = first_settings_of(shelf, key), bool(shelf[key].classes)
        return [
            wiring.plain(about(shelf[key])),
            gr.update(choices=shelf.classes(key), value=settings["class_name"], visible=has_classes),
            settings["steps"],
            settings["sampler"],
            gr.update(value=settings["guidance"], visible=has_classes),
        ]

    going = controls.run.click(
        run, controls.inputs(), controls.viewer, **wiring.progress_on(controls.model), **wiring.QUEUE, **wiring.PRIVATE
    )
    wiring.connect_stop(controls.stop, going, controls.viewer, stops, "generate")
    follow = [controls.about, controls.class_name, controls.steps, controls.sampler, controls.guidance]
    controls.model.input(choose, controls.model, follow, queue=False, show_progress="hidden", **wiring.PRIVATE)
    showcase = wiring.Showcase(lambda: first_run(shelf))
    page.load(showcase, outputs=controls.viewer, queue=False, show_progress="hidden", **wiring.PRIVATE)
