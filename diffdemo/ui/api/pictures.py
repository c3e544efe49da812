"""The actions of the Forward and the Classify tab as named endpoints; each takes a picture file."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import gradio as gr

from diffdemo import validate
from diffdemo.cli import classify as cli_classify
from diffdemo.measure.diffusion_classifier import DRAWS, Scores
from diffdemo.ui.api import endpoint as api
from diffdemo.ui.parts import sources, wiring
from diffdemo.ui.runs.settings import FAVOURITE, FIRST_SEED, Settings
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs import classify, forward


def connect(zoo: ModelZoo) -> None:
    """Add `/forward`, `/denoise_from` and `/classify` to the page that is being built.

    `/forward` (picture, model, t, seed) returns x_t as a PNG file and its numbers: t, signal, noise and snr, as
    `diffdemo.trajectory.Level` has them. `/denoise_from` (picture, model, class_name, t, steps, seed, sampler,
    guidance, interval, guide) returns what the model makes of that x_t and the settings with what the run took; it
    takes at most t + 1 steps. `/classify` (picture, model, draws, seed) returns what `python -m diffdemo classify
    --json` prints. Pictures may be of any size and kind. For the rest see `diffdemo.ui.api.generate`.
    """
    _forward(zoo)
    _denoise_from(zoo)
    _classify(zoo)


def _forward(zoo: ModelZoo) -> None:
    def run(picture, model, t, seed) -> tuple:
        with wiring.toasts():
            trajectory = forward.path(zoo, sources.read(picture), model, seed)
            level = trajectory.level(t)
            return zoo[model].images(trajectory.at(t))[0], vars(level)

    inputs = [
        api.picture_file(),
        api.text("model", zoo.pick(FAVOURITE)),
        api.value("t", forward.FIRST_LEVEL),
        api.text("seed", FIRST_SEED),
    ]
    api.endpoint("forward", run, inputs, [api.image("x_t"), gr.JSON(visible=False, label="numbers")])


def _denoise_from(zoo: ModelZoo) -> None:
    def run(
        picture,
        model,
        class_name=None,
        t=None,
        steps=None,
        seed=None,
        sampler=None,
        guidance=None,
        interval=None,
        guide=None,
    ) -> Iterator[tuple]:
        with wiring.toasts():
            how = {"sampler": sampler, "guidance": guidance, "interval": interval, "guide": guide}
            asked = Settings.of(zoo, model, class_name=class_name, steps=steps, **how)
            lane = forward.start(zoo, sources.read(picture), replace(asked, seed=seed), t)
            for reports in api.finish([lane]):
                yield None, reports[0]
            yield lane.pictures[0], lane.report() | {"t": int(t)}

    inputs = [
        api.picture_file(),
        api.text("model", zoo.pick(FAVOURITE)),
        api.text("class_name"),
        api.value("t", forward.FIRST_LEVEL),
        api.value("steps"),
        api.text("seed", FIRST_SEED),
        api.text("sampler"),
        api.value("guidance"),
        api.text("interval"),
        api.text("guide"),
    ]
    api.endpoint("denoise_from", run, inputs, [api.image("denoised"), gr.JSON(visible=False, label="settings")])


def _classify(zoo: ModelZoo) -> None:
    def run(picture, model, draws, seed) -> Iterator[dict]:
        with wiring.toasts():
            pixels, of, scores = classify.start(zoo, sources.read(picture), model, draws, seed)
            newest: deque[Scores] = deque(maxlen=1)
            for _ in api.in_time((newest.append(one) for one in scores), "fewer draws"):
                yield None
            yield cli_classify.describe(of, pixels[None], newest[0], *validate.seeds(seed))

    first = classify.first_model(zoo) if classify.keys(zoo) else zoo.keys[0]
    inputs = [
        api.picture_file(),
        api.text("model", first),
        api.value("draws", DRAWS),
        api.text("seed", classify.FIRST_SEED),
    ]
    api.endpoint("classify", run, inputs, [gr.JSON(visible=False, label="scores")])
