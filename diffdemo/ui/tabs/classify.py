"""The Classify tab: which class explains a picture best, by denoising it and by the autoencoder's classifier."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlencode

import gradio as gr
import numpy as np

from diffdemo import validate
from diffdemo.generator import Generator
from diffdemo.measure import explained
from diffdemo.measure.diffusion_classifier import DRAWS, Scores, refine
from diffdemo.ui.components.block import block
from diffdemo.ui.components.viewer import pack
from diffdemo.ui.parts import exports, sources, wiring
from diffdemo.ui.parts.sources import Examples, Source
from diffdemo.ui.runs.settings import FAVOURITE
from diffdemo.ui.runs.stream import SECONDS_BETWEEN_MESSAGES
from diffdemo.ui.runs.zoo import ModelZoo, title

RUN_ID, TAB = "classify-run", "classify"
AUTOENCODER = "latent_diffusion"
FIRST_DRAWS, MOST_DRAWS, FIRST_SEED = 16, 128, "0"

LEAD = """The picture is hidden in noise and the network asked to find that noise, once for each class: the class whose
condition does it best explains the picture best, though nobody trained the network to classify."""
EXPLANATION = """Every draw is another noise at another level $t$, the same for all classes; more draws make the answer
surer and slower. Where even the best class does worse than on real pictures, the answer is "none of these": that finds
noise and other patterns out, but not a photograph of something else."""
FORMULAS = r"""
For each class $c$, the error is the mean over draws of $t$ and $\varepsilon$ (Li et al. 2023):
$$E_c = \frac 1D\,\bigl\lVert \varepsilon - \hat\varepsilon\bigl(\sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,
\varepsilon,\ t,\ c\bigr)\bigr\rVert^2,\qquad p(c \mid x_0) = \operatorname{softmax}_c\,(-3\,D\,E_c)$$

$D$ is the number of values in a picture (or latent). The factor 3, where the paper has 1, was chosen because with it
the probabilities of the attention UNet mean what they say. The bars around an error are one standard error of its
difference from the mean over the classes: what all classes share in a draw tells none of them apart.
"""

_numbers = itertools.count(1)


@dataclass
class Controls:
    """The tab's components, in the order of the page."""

    run: gr.Button
    stop: gr.Button
    view: gr.HTML
    source: Source
    model: gr.Radio
    draws: gr.Slider
    cost: gr.Markdown
    seed: gr.Textbox
    link: gr.Textbox


class Pace:
    """How long an evaluation of each model takes on this machine: measured once, and again by every run."""

    def __init__(self):
        self._seconds: dict[str, float] = {}

    def note(self, model: Generator, seconds: float, evaluations: int) -> None:
        """Remember what a run took."""
        self._seconds[model.key] = seconds / evaluations

    def cost(self, model: Generator, draws: int) -> str:
        """What so many draws cost, in words."""
        if model.key not in self._seconds:
            empty = np.zeros((1, *model.image_size, 3), np.uint8)
            next(refine(model, empty, draws=1))  # a network's first evaluation takes longer
            began = time.perf_counter()
            scores = next(refine(model, empty, draws=1))
            self.note(model, time.perf_counter() - began, scores.evaluations)
        evaluations = draws * len(model.classes)
        seconds = evaluations * self._seconds[model.key]
        slow = "" if model.device.type != "cpu" or seconds < 5 else "; a GPU would be much faster"
        return (
            f"{draws} draws × {len(model.classes)} classes = **{evaluations:,} network evaluations**, "
            f"about {_in_words(seconds)} on this machine{slow}."
        )


def keys(zoo: ModelZoo) -> list[str]:
    """The models that have classes to tell apart."""
    return [key for key in zoo.keys if zoo[key].classes]


def first_model(zoo: ModelZoo) -> str:
    """The first of them, but the favourite only if there is no other: it may have drawn the examples."""
    return min(keys(zoo), key=lambda key: key == zoo.pick(FAVOURITE))


def layout(zoo: ModelZoo) -> Controls:
    """Settings beside the chart; below it on a phone. The keyboard comes to the chart first."""
    choices = [(title(zoo[key]), key) for key in keys(zoo)]
    with gr.Row(elem_classes="tab-body"):
        run, stop = wiring.buttons("Classify", RUN_ID)
        with gr.Column(elem_classes="stage"):
            gr.Markdown(LEAD, elem_classes="lead")
            view = block("scores", "How much each class explains the picture", "classify-view", parts=("waiting.js",))
        with gr.Column(elem_classes="settings"):
            source = sources.layout("classify")
            model = gr.Radio(choices, value=first_model(zoo), label="Model", elem_classes="queue-place")
            draws = gr.Slider(1, MOST_DRAWS, FIRST_DRAWS, step=1, label="Noise draws", buttons=[])
            cost = gr.Markdown(elem_classes="about")
            seed = gr.Textbox(FIRST_SEED, label="Seed of the noises", max_lines=1)
        with gr.Column(elem_classes="words"):
            gr.Markdown(EXPLANATION, latex_delimiters=wiring.LATEX)
            link = exports.share()
            with gr.Accordion("The formulas", open=False):
                gr.Markdown(FORMULAS, latex_delimiters=wiring.LATEX)
    return Controls(run, stop, view, source, model, draws, cost, seed, link)


def blank(picture: np.ndarray) -> dict:
    """The message that shows a picture nobody has classified yet."""
    return {
        "run": f"{next(_numbers)}",
        "state": "waiting",
        "picture": pack(picture),
        "size": list(picture.shape[:2]),
    }


def start(zoo: ModelZoo, picture: np.ndarray | None, model: str, draws: object = DRAWS, seed: object = 0) -> tuple:
    """(picture, model, scores after every draw) of a checked run.

    Raises:
        RequestError: there is no picture, the model has no classes, or a number is out of range.
    """
    if picture is None:
        picture = sources.read(None)
    return picture, zoo[model], refine(zoo[model], picture[None], draws, seed)


def stream(
    zoo: ModelZoo,
    pace: Pace,
    picture: np.ndarray,
    model: Generator,
    scores: Iterator[Scores],
    total: int,
    halted: Callable[[], bool] = lambda: False,
    limit: float | None = None,
    examples: Examples | None = None,
) -> Iterator[dict]:
    """Messages for the chart, at most 20 a second, the last always; "stopped" and "late" as in `runs.stream`.

    If the model itself has drawn the picture, which is then one of the `examples`, they say that.
    """
    itself = bool(examples and examples.drawn_by_itself(model.key, picture))
    message = {
        **blank(picture),
        "state": "running",
        "title": f"Denoising by {title(model)}",
        "detail": f"{total} draws" + itself * ", of a picture that it drew itself: no wonder that it knows it",
        "total": total,
        "autoencoder": autoencoder(zoo, picture),
    }
    real = explained.load(zoo.folder / model.key, model.info)
    began, sent = time.perf_counter(), -SECONDS_BETWEEN_MESSAGES
    with closing(scores):
        for score in scores:
            seconds = time.perf_counter() - began
            pace.note(model, seconds, score.evaluations)
            late = limit is not None and seconds > limit
            state = "stopped" if halted() else "late" if late else "running" if score.draws < total else "done"
            if state != "running" or seconds - sent >= SECONDS_BETWEEN_MESSAGES:
                sent = seconds
                none = real.words if real and real.none_of(score)[0] else ""
                yield {**message, **_shown(score), "none": none, "seconds": seconds, "state": state}
            if state in ("stopped", "late"):
                return


def autoencoder(zoo: ModelZoo, picture: np.ndarray) -> dict | None:
    """What the classifier on the latents believes, if that model is there."""
    if AUTOENCODER not in zoo.keys:
        return None
    model = zoo[AUTOENCODER]
    return {
        "title": "The autoencoder's classifier",
        "detail": f"knows {' and '.join(model.classes)} only",
        "classes": list(model.classes),
        "probabilities": model.class_probabilities(picture[None])[0].tolist(),
    }


def _shown(score: Scores) -> dict:
    errors, margins = score.errors[0], score.standard_errors[0]
    return {
        "draws": score.draws,
        "evaluations": score.evaluations,
        "classes": list(score.classes),
        "probabilities": score.probabilities[0].tolist(),
        "errors": (errors - errors.min()).tolist(),
        "margins": [float(margin) if score.draws > 1 else None for margin in margins],
    }


def _in_words(seconds: float) -> str:
    return (
        f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    )


def first_answer(zoo: ModelZoo, pace: Pace, examples: Examples) -> dict:
    """What is on display when the tab is opened: an example, classified."""
    picture, model, scores = start(zoo, examples.pictures[0], first_model(zoo), FIRST_DRAWS, FIRST_SEED)
    *_, last = stream(zoo, pace, picture, model, scores, FIRST_DRAWS, examples=examples)
    return last


def asked_for(zoo: ModelZoo, query: Mapping[str, str]) -> tuple | None:
    """The checked model, number of draws and seed of a link's query; None if it is for another tab or names none.

    Raises:
        RequestError: one of them is out of range or unknown.
    """
    if query.get("tab") != TAB or not any(name in query for name in ("model", "draws", "seed")):
        return None
    model = validate.choice("model", query.get("model", first_model(zoo)), keys(zoo))
    draws = validate.whole_number("draws", query.get("draws", FIRST_DRAWS), 1, MOST_DRAWS)
    return model, draws, str(*validate.seeds(query.get("seed", FIRST_SEED)))


def connect(tab: gr.Tab, around: wiring.Around, controls: Controls, examples: wiring.FirstView) -> None:
    """Wire the tab, which shows its first answer when it is opened, or runs what the page's address asks for."""
    zoo, stops, pace = around.zoo, around.stops, Pace()
    first = around.first_views.add(lambda: first_answer(zoo, pace, examples()))

    def run(halted: Callable[[], bool], model, draws, seed, asked) -> Iterator[tuple]:
        started = start(zoo, sources.picture_of(asked), model, draws, seed)
        address = "?" + urlencode({"tab": TAB, "model": model, "draws": int(draws), "seed": str(seed).strip()})
        for message in stream(zoo, pace, *started, int(draws), halted, wiring.time_limit(), examples()):
            yield message, address

    def cost(model: str, draws: float | None) -> str:
        """What a run costs; nothing new as long as the number of draws is being typed."""
        possible = draws in range(1, MOST_DRAWS + 1)
        with wiring.toasts():
            return pace.cost(zoo[model], int(draws)) if possible else gr.skip()

    def show(asked) -> dict:
        with wiring.toasts():
            return blank(sources.picture_of(asked))

    def first_sight(model, draws, mine) -> tuple:
        """The first answer, or only its choice of pictures if there is one of the visitor's; and what a run costs."""
        return sources.offered(examples()), first() if mine is None else gr.skip(), cost(model, draws)

    source = controls.source
    chosen_on_page = wiring.reading(source.off_page)
    inputs = [controls.model, controls.draws, controls.seed, source.picture]
    outputs = [controls.view, controls.link]
    going = wiring.connect_run(controls.run, run, inputs, outputs, controls.model, stops, TAB, (source.off_page,))
    wiring.connect_stop(controls.stop.click, controls.view, stops, (going, controls.run, TAB))
    exports.connect_link(controls.link, going)
    restored = [controls.model, controls.draws, controls.seed]
    exports.connect_restoring(
        around.page, TAB, lambda query: asked_for(zoo, query), restored, RUN_ID, "#classify-picker [data-chosen]"
    )
    sources.connect(source)
    newest = {"trigger_mode": "always_last", **sources.TOASTING}
    source.picker.select(show, source.picture, controls.view, js=chosen_on_page, **newest)
    wiring.connect_stop(source.picker.select, controls.view, stops, (going, controls.run, TAB))
    asked = [controls.model, controls.draws]
    # Without Gradio's checks, which fail at an empty field.
    gr.on([controls.model.input, controls.draws.input], cost, asked, controls.cost, preprocess=False, **newest)
    shown = [source.picker, controls.view, controls.cost]
    wiring.show_first(tab, first, first_sight, [*asked, source.picture], shown, js=chosen_on_page)
