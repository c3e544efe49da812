"""The page's actions as named endpoints, which return pictures: the viewer's pixels would suit no client."""

import time
from collections.abc import Iterator, Sequence

import gradio as gr

from diffdemo.errors import RequestError
from diffdemo.ui import compare, generate, wiring
from diffdemo.ui.runs import Lane
from diffdemo.ui.shelf import Shelf

SECONDS_BETWEEN_REPORTS = 0.5


def connect(shelf: Shelf) -> None:
    """Add `/generate` and `/compare` to the page that is being built.

    `/generate` (model, class_name, steps, seed, n, sampler, guidance) returns a gallery of the finished pictures as PNG
    files, in the order of their seeds, and the settings with what the run took. `/compare` (model_a, model_b,
    class_name, steps_a, steps_b, seed, n, sampler_a, sampler_b, guidance_a, guidance_b, same_noise) returns two
    galleries and a list of two such settings. Seeds beyond 2^53 must be sent as text. Wrong settings raise the
    package's sentence. While a run goes on, the settings alone are sent now and then, so that a client can cancel it.
    """
    first, pair = shelf.pick(generate.FAVOURITE), [shelf.pick(key) for key in compare.PAIR]
    _generate(shelf, first)
    _compare(shelf, pair)


def _generate(shelf: Shelf, key: str) -> None:
    asked = generate.first_settings_of(shelf, key)

    def run(model, class_name, steps, seed, n, sampler, guidance) -> Iterator[tuple]:
        with wiring.toasts():
            lane = generate.start(shelf, model, class_name, steps, sampler, guidance, seed, n)
            for reports in _finish([lane]):
                yield gr.skip(), reports[0]
            yield _gallery(lane), lane.report()

    inputs = [
        _text("model", key),
        _text("class_name", asked["class_name"]),
        _value("steps", asked["steps"]),
        _text("seed", generate.FIRST_SEED),
        _value("n", 1),
        _text("sampler", asked["sampler"]),
        _value("guidance", asked["guidance"]),
    ]
    _endpoint("generate", run, inputs, [_pictures("pictures"), gr.JSON(visible=False, label="settings")])


def _compare(shelf: Shelf, keys: Sequence[str]) -> None:
    a, b = (generate.first_settings_of(shelf, key) for key in keys)

    def run(
        model_a,
        model_b,
        class_name,
        steps_a,
        steps_b,
        seed,
        n,
        sampler_a,
        sampler_b,
        guidance_a,
        guidance_b,
        same_noise,
    ) -> Iterator[tuple]:
        sides = (model_a, steps_a, sampler_a, guidance_a), (model_b, steps_b, sampler_b, guidance_b)
        with wiring.toasts():
            lanes = compare.start(shelf, class_name, seed, n, same_noise, *sides)
            for reports in _finish(lanes):
                yield gr.skip(), gr.skip(), reports
            yield *map(_gallery, lanes), [lane.report() for lane in lanes]

    inputs = [
        _text("model_a", keys[0]),
        _text("model_b", keys[1]),
        _text("class_name", b["class_name"]),
        _value("steps_a", a["steps"]),
        _value("steps_b", b["steps"]),
        _text("seed", generate.FIRST_SEED),
        _value("n", 1),
        _text("sampler_a", a["sampler"]),
        _text("sampler_b", b["sampler"]),
        _value("guidance_a", a["guidance"]),
        _value("guidance_b", b["guidance"]),
        gr.Checkbox(True, visible=False, label="same_noise"),
    ]
    outputs = [_pictures("pictures_a"), _pictures("pictures_b"), gr.JSON(visible=False, label="settings")]
    _endpoint("compare", run, inputs, outputs)


def _text(name: str, value: str) -> gr.Textbox:
    return gr.Textbox(value, visible=False, label=name)


def _value(name: str, value: object) -> gr.Number:
    # Without limits of its own, a Number lets through whatever was sent, and our checks answer in one sentence.
    return gr.Number(value, visible=False, label=name)


def _pictures(name: str) -> gr.Gallery:
    return gr.Gallery(visible=False, label=name, format="png")


def _endpoint(name: str, run, inputs: list, outputs: list) -> None:
    gr.Button(visible=False).click(run, inputs, outputs, api_name=name, **wiring.QUEUE)


def _finish(lanes: Sequence[Lane]) -> Iterator[list[dict]]:
    """Run the lanes to their end, one after the other, and report now and then."""
    limit, began = wiring.time_limit(), time.perf_counter()
    reported = began
    for lane in lanes:
        while lane.last is None or lane.last.index < lane.total - 1:
            lane.advance(shown=False)
            now = time.perf_counter()
            if limit is not None and now - began > limit:
                raise RequestError(f"A run may take {limit:g} seconds here; ask for fewer steps or images.")
            if now - reported > SECONDS_BETWEEN_REPORTS:
                reported = now
                yield [lane.report() for lane in lanes]


def _gallery(lane: Lane) -> list[tuple]:
    return [(picture, f"seed {seed}") for picture, seed in zip(lane.pictures, lane.seeds, strict=True)]
