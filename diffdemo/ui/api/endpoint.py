"""What named endpoints are made of. They return pictures: the viewer's pixels would suit no client."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TypeVar

import gradio as gr

from diffdemo.errors import RequestError
from diffdemo.ui.parts import sources, wiring
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.stream import shown_steps

SECONDS_BETWEEN_REPORTS = 0.1  # and so long, or a step, a run goes on whose client has left
Part = TypeVar("Part")


def text(name: str, default: str | None = None) -> gr.Textbox:
    """An input that takes text; without a default it may be left out if the function has None there."""
    return gr.Textbox(default, visible=False, label=name)


def value(name: str, default: object = None) -> gr.Number:
    """An input that takes a number; for a default see `text`."""
    # Without limits of its own, a Number lets through whatever was sent, and our checks answer in one sentence.
    return gr.Number(default, visible=False, label=name)


def picture_file() -> gr.File:
    """An input that takes a picture of any size and kind."""
    return sources.giving_paths(gr.File(visible=False, label="picture", type="filepath"))


def image(name: str) -> gr.Image:
    """An output of one picture as a PNG file."""
    return gr.Image(visible=False, label=name, format="png")


def pictures(name: str) -> gr.Gallery:
    """An output of pictures as PNG files."""
    return gr.Gallery(visible=False, label=name, format="png")


def endpoint(name: str, run: Callable, inputs: list, outputs: list) -> None:
    """Let clients call `run` as `/name`."""
    gr.Button(visible=False).click(run, inputs, outputs, api_name=name, **wiring.QUEUE)


def finish(lanes: Sequence[SamplingRun]) -> Iterator[list[dict]]:
    """Run the lanes to their end, one after the other, and report now and then.

    Beside a report go outputs of None: for `gr.skip()` Gradio would make each component anew, and forget its files.
    """
    shown = [(lane, shown_steps([lane])) for lane in lanes]
    steps = (lane.advance(index in indices) for lane, indices in shown for index in range(lane.total))
    with ExitStack() as stack:
        for lane in lanes:
            stack.enter_context(closing(lane.steps))
        for _ in in_time(steps, "fewer steps or images"):
            yield [lane.report() for lane in lanes]


def in_time(parts: Iterable[Part], less: str) -> Iterator[Part]:
    """Work through `parts`, and yield now and then the newest, at which Gradio ends what nobody waits for any more.

    Raises:
        RequestError: it takes longer than a run may; `less` is what to ask for instead.
    """
    limit, began = wiring.time_limit(), time.perf_counter()
    reported = began
    for part in parts:
        now = time.perf_counter()
        if limit is not None and now - began > limit:
            raise RequestError(f"A run may take {limit:g} seconds here; ask for {less}.")
        if now - reported > SECONDS_BETWEEN_REPORTS:
            reported = now
            yield part


def gallery(lane: SamplingRun) -> list[tuple]:
    """A finished run's pictures and their captions, as Gradio's Gallery takes them."""
    return [(picture, f"seed {seed}") for picture, seed in zip(lane.pictures, lane.seeds, strict=True)]
