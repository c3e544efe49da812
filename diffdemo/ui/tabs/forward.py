"""The Forward tab: how noise hides a picture, level by level, and what a model makes of it from there."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import gradio as gr
import numpy as np
import torch

from diffdemo import validate
from diffdemo.errors import RequestError
from diffdemo.trajectory import Trajectory, curves
from diffdemo.ui.components.block import block
from diffdemo.ui.components.viewer import pack, viewer
from diffdemo.ui.parts import exports, sources, wiring
from diffdemo.ui.parts.fields import Fields
from diffdemo.ui.parts.sources import Examples, Source
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import FAVOURITE, FIRST_SEED, Settings, link, linked
from diffdemo.ui.runs.stream import stream, whole
from diffdemo.ui.runs.zoo import ModelZoo

RUN_ID, TAB = "forward-run", "forward"
FIRST_LEVEL = 300
FILM, STOPS = 64, 8  # levels that the browser keeps, for an answer at once, and those in the strip
# The level on display when a button is pressed, if there is any yet: the browser knows it before the server does.
LEVEL = '[document.querySelector("#forward-view [data-asked]")?.dataset.asked].map((t) => t && Number(t))[0]'

LEAD = """Noise hides a picture a little more at every level $t$, and a model can denoise from the very state on
display: the more noise, the freer it is to turn the picture into the class you choose."""
EXPLANATION = """The seed fixes the noise, so that moving the slider shows one and the same trajectory."""
FORMULAS = r"""
The forward process jumps to any level $t$ at once (Ho et al. 2020, equation 4):
$$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon,\qquad \varepsilon \sim \mathcal N(0, 1),\qquad
\bar\alpha_t = \prod_{s \le t} (1 - \beta_s)$$

The signal-to-noise ratio falls with it: $\mathrm{SNR}_t = \bar\alpha_t / (1 - \bar\alpha_t)$.

Denoising from $x_t$ on, instead of from pure noise, is image to image as in SDEdit (Meng et al. 2022): the sampler
visits only levels from $t$ down. A model of latents does all of this with the picture's latent in place of $x_0$.
"""


@dataclass
class Controls:
    """The tab's components, in the order of the page."""

    run: gr.Button
    stop: gr.Button
    view: gr.HTML
    viewer: gr.HTML
    source: Source
    fields: Fields
    level: gr.Number
    link: gr.Textbox


def layout(zoo: ModelZoo) -> Controls:
    """Settings beside the forward process and, below that, the way back. The keyboard comes to the stage first."""
    fields = Fields(zoo, Settings.of(zoo, zoo.pick(FAVOURITE)))
    with gr.Row(elem_classes="tab-body"):
        run, stop = wiring.buttons("Denoise from here", RUN_ID)
        with gr.Column(elem_classes="stage"):
            gr.Markdown(LEAD, elem_classes="lead", latex_delimiters=wiring.LATEX)
            view = block("forward_view", "A picture on its way into noise and back", "forward-view")
            gr.Markdown("**The way back**, step by step: a model denoises the noisy picture, from its level down.")
            back = viewer("Denoising from the level above", "forward-viewer")
        with gr.Column(elem_classes="settings"):
            source = sources.layout("forward")
            fields.add_class("Toward")
            fields.add_seed("Seed of the noise")
            fields.add_steps_and_guidance()
            fields.add_model()
            fields.add_sampler()
            fields.add_guided_how()
            level = gr.Number(FIRST_LEVEL, visible=False)
        with gr.Column(elem_classes="words"):
            gr.Markdown(EXPLANATION, latex_delimiters=wiring.LATEX)
            link = exports.share()
            with gr.Accordion("The formulas", open=False):
                gr.Markdown(FORMULAS, latex_delimiters=wiring.LATEX)
    return Controls(run, stop, view, back, source, fields, level, link)


def path(zoo: ModelZoo, picture: np.ndarray | None, model: str, seed: object) -> Trajectory:
    """The forward process of one picture with the noise of one seed."""
    if picture is None:
        picture = sources.read(None)
    return Trajectory(zoo[model], picture[None], validate.seeds(seed))


def start(zoo: ModelZoo, picture: np.ndarray | None, settings: Settings, t: object) -> SamplingRun:
    """A checked run of one image from level t of that picture's trajectory on.

    It takes at most t + 1 steps, for there are no more.

    Raises:
        RequestError: there is no picture, or a setting is out of range or unknown.
    """
    trajectory, model = path(zoo, picture, settings.model, settings.seed), zoo[settings.model]
    t = trajectory.level(t).t
    asked = replace(settings, count=1).request(model)
    asked = replace(asked, steps=min(asked.steps, t + 1))
    origin = f"{name_of(picture, settings.model, settings.seed)}@{t}"
    return SamplingRun.start(model, asked, start=(trajectory.at(t), t), prefix=f"From t = {t}: ", origin=origin)


def name_of(picture: np.ndarray, model: str, seed: object) -> str:
    """What the page calls a trajectory."""
    return f"{hash(picture.tobytes()):x}/{model}/{seed}"


def scene(zoo: ModelZoo, picture: np.ndarray | None, model: str, seed: object, t: object) -> dict:
    """Everything the view shows of a picture that is new on display."""
    trajectory, of = path(zoo, picture, model, seed), zoo[model]
    stops = trajectory.even_in_log_snr(STOPS)
    levels = sorted({*trajectory.spread(FILM), *stops})
    film = of.images(torch.cat([trajectory.at(level) for level in levels]))
    return {
        **moment(zoo, picture, model, seed, t),
        "x0": pack(of.images(trajectory.x0)),
        "eps": pack(of.images(trajectory.eps)),
        "film": {"t": levels, "pictures": pack(film)},
        "stops": stops,
        "curves": pack(curves(of.diffusion.schedule)),
        "size": list(of.image_size),
        "decoded": of.info.spec.space == "latents",
    }


def moment(zoo: ModelZoo, picture: np.ndarray | None, model: str, seed: object, t: object) -> dict:
    """What changes as the level does: x_t, and of which picture, model and seed it is."""
    trajectory = path(zoo, picture, model, seed)
    level = trajectory.level(t)
    return {"of": name_of(picture, model, seed), "t": level.t, "x_t": pack(zoo[model].images(trajectory.at(level.t)))}


def first_scene(zoo: ModelZoo, examples: Examples) -> tuple:
    """What is on display when the tab is opened: a picture, half hidden, and a model's way back to another class."""
    model, picture = zoo.pick(FAVOURITE), examples.pictures[0]
    lane = start(zoo, picture, Settings.of(zoo, model), FIRST_LEVEL)
    return picture, scene(zoo, picture, model, FIRST_SEED, FIRST_LEVEL), whole(stream([lane]))


def connect(tab: gr.Tab, around: wiring.Around, controls: Controls, examples: wiring.FirstView) -> None:
    """Wire the tab, which shows its first scene when it is opened, or runs what the page's address asks for."""
    zoo, stops, fields = around.zoo, around.stops, controls.fields
    first = around.first_views.add(lambda: first_scene(zoo, examples()))

    def run(halted: Callable[[], bool], *values) -> Iterator[dict]:
        values = iter(values)
        settings, asked, t = Settings(**fields.read(values)), *values
        lane = start(zoo, sources.picture_of(asked), settings, t)
        address = link(replace(settings, count=1).checked(zoo), tab=TAB, t=int(t))
        for message in stream([lane], halted, wiring.time_limit()):
            yield message, address

    def restore(query: Mapping[str, str]) -> dict | None:
        asked = linked(zoo, query, TAB, ("t",), count=1)
        if asked is None:
            return None
        last = zoo[asked.model].diffusion.schedule.steps - 1
        return fields.show(asked) | {controls.level: validate.whole_number("t", query.get("t", FIRST_LEVEL), 0, last)}

    def unless_refused(show: Callable) -> Callable:
        """Of what the seed's field may be wrong for, and that has said so when the field was left."""

        def shown(model, seed, asked, t) -> dict:
            try:
                return show(zoo, sources.picture_of(asked), model, seed, t)
            except RequestError:
                return gr.skip()

        return shown

    def redraw(model, seed, asked, t) -> dict:
        if asked is None:  # the first scene is still on its way
            return gr.skip()
        with wiring.toasts():
            return scene(zoo, sources.picture_of(asked), model, seed, t)

    def first_sight(model, seed, mine, t) -> tuple:
        """The first scene, or only its choice of pictures if there is one of the visitor's."""
        choices = sources.offered(examples())
        if mine is not None:
            return choices, *[gr.skip()] * 2
        picture, message, back = first()
        as_first = (model, seed, t) == (zoo.pick(FAVOURITE), FIRST_SEED, FIRST_LEVEL)
        with wiring.toasts():
            return choices, message if as_first else scene(zoo, picture, model, seed, t), back

    quiet = {"show_progress": "hidden", **wiring.AT_ONCE}
    of_scene = [fields["model"], fields["seed"], controls.source.picture, controls.level]
    off_page = (controls.source.off_page, LEVEL)
    chosen_on_page = wiring.reading(*off_page)
    inputs = [*fields.inputs(), controls.source.picture, controls.level]
    outputs = [controls.viewer, controls.link]
    going = wiring.connect_run(controls.run, run, inputs, outputs, fields["model"], stops, TAB, off_page)
    wiring.connect_stop(controls.stop.click, controls.viewer, stops, (going, controls.run, TAB))
    exports.connect_link(controls.link, going)
    restored = [*fields.outputs(), controls.level]
    exports.connect_restoring(around.page, TAB, restore, restored, RUN_ID, "#forward-picker [data-chosen]")
    sources.connect(controls.source)
    fields.connect_model(RUN_ID)
    fields.connect_guidance(fields["class_name"])
    fields.connect_run(RUN_ID)
    showing = {"inputs": of_scene, "outputs": controls.view, "js": chosen_on_page, "trigger_mode": "always_last"}
    controls.view.input(unless_refused(moment), **showing, **quiet)
    # One event for all that asks for another scene: two that are sent at once may reach the server in either order.
    others = [controls.source.picker.select, fields["model"].input, fields["seed"].submit, fields["seed"].blur]
    drawn = gr.on(others, redraw, **showing, **sources.TOASTING)
    # Gradio drops what was asked for while a request was on its way that is then refused.
    drawn.failure(unless_refused(scene), **showing, **quiet)
    shown = [controls.source.picker, controls.view, controls.viewer]
    wiring.show_first(tab, first, first_sight, of_scene, shown, js=chosen_on_page)
