"""The page's actions as named endpoints, which return pictures: the viewer's pixels would suit no client."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import gradio as gr

from diffdemo.errors import RequestError
from diffdemo.ui.parts import wiring
from diffdemo.ui.runs import reproduce
from diffdemo.ui.runs.lane import Lane
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.settings import FAVOURITE, FIRST_SEED, filled_in, link, start
from diffdemo.ui.runs.shelf import Shelf
from diffdemo.ui.runs.stream import shown_steps

SECONDS_BETWEEN_REPORTS = 0.5


def connect(shelf: Shelf, recordings: Recordings) -> None:
    """Add `/generate` and `/save` to the page that is being built.

    `/generate` (model, class_name, steps, seed, n, sampler, guidance, interval, guide) returns a gallery of the
    finished pictures as PNG files, in the order of their seeds, and the settings with what the run took and how to
    repeat it. `/save` (format: "png", "gif" or "mp4") returns a file of the client's last `/generate`, made of the
    frames of that run. Seeds beyond 2^53 must be sent as text; what is left out of the others is the model's own. Wrong
    settings raise the package's sentence. While a run goes on, the settings alone are sent now and then, so that a
    client can cancel it.
    """
    last = gr.State()

    def run(
        model,
        class_name=None,
        steps=None,
        seed=None,
        n=None,
        sampler=None,
        guidance=None,
        interval=None,
        guide=None,
    ) -> Iterator[tuple]:
        with wiring.toasts():
            asked = filled_in(shelf, model, class_name, steps, sampler, guidance, interval, guide)
            lane = start(shelf, model, **asked, seed=seed, count=n)
            for reports in finish([lane]):
                yield gr.skip(), reports[0], gr.skip()
            name = uuid.uuid4().hex
            recordings.keep(name, [lane])
            again = {"command": reproduce.command(lane, shelf.folder), "link": link(lane)}
            yield gallery(lane), lane.report() | again, name

    inputs = [
        text("model", shelf.pick(FAVOURITE)),
        text("class_name"),
        value("steps"),
        text("seed", FIRST_SEED),
        value("n", 1),
        text("sampler"),
        value("guidance"),
        text("interval"),
        text("guide"),
    ]
    endpoint("generate", run, inputs, [pictures("pictures"), gr.JSON(visible=False, label="settings"), last])

    def save(kind: str, name: str | None) -> str:
        with wiring.toasts():
            if name is None:
                raise RequestError("There is no run to save yet; call /generate first.")
            return str(recordings.file(name, kind))

    endpoint("save", save, [text("format", "gif"), last], [gr.File(visible=False, label="file")])


def text(name: str, default: str | None = None) -> gr.Textbox:
    """An input that takes text; without a default it may be left out if the function has None there."""
    return gr.Textbox(default, visible=False, label=name)


def value(name: str, default: object = None) -> gr.Number:
    """An input that takes a number; for a default see `text`."""
    # Without limits of its own, a Number lets through whatever was sent, and our checks answer in one sentence.
    return gr.Number(default, visible=False, label=name)


def picture_file() -> gr.File:
    """An input that takes a picture of any size and kind."""
    return gr.File(visible=False, label="picture", type="filepath")


def image(name: str) -> gr.Image:
    """An output of one picture as a PNG file."""
    return gr.Image(visible=False, label=name, format="png")


def pictures(name: str) -> gr.Gallery:
    """An output of pictures as PNG files."""
    return gr.Gallery(visible=False, label=name, format="png")


def endpoint(name: str, run: Callable, inputs: list, outputs: list) -> None:
    """Let clients call `run` as `/name`."""
    gr.Button(visible=False).click(run, inputs, outputs, api_name=name, **wiring.QUEUE)


def finish(lanes: Sequence[Lane]) -> Iterator[list[dict]]:
    """Run the lanes to their end, one after the other, and report now and then."""
    limit, began = wiring.time_limit(), time.perf_counter()
    reported = began
    for lane in lanes:
        shown = shown_steps([lane])
        for index in range(lane.total):
            lane.advance(index in shown)
            now = time.perf_counter()
            if limit is not None and now - began > limit:
                raise RequestError(f"A run may take {limit:g} seconds here; ask for fewer steps or images.")
            if now - reported > SECONDS_BETWEEN_REPORTS:
                reported = now
                yield [lane.report() for lane in lanes]


def gallery(lane: Lane) -> list[tuple]:
    """A finished run's pictures and their captions, as Gradio's Gallery takes them."""
    return [(picture, f"seed {seed}") for picture, seed in zip(lane.pictures, lane.seeds, strict=True)]
