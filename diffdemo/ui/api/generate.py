"""The Generate tab's actions as named endpoints."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import gradio as gr

from diffdemo.errors import RequestError
from diffdemo.ui.api import endpoint as api
from diffdemo.ui.parts import wiring
from diffdemo.ui.runs import reproduce
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.settings import FAVOURITE, FIRST_SEED, Settings, link
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs.generate import start


def connect(zoo: ModelZoo, recordings: Recordings) -> None:
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
            how = {"sampler": sampler, "guidance": guidance, "interval": interval, "guide": guide}
            asked = Settings.of(zoo, model, class_name=class_name, steps=steps, **how)
            lane = start(zoo, replace(asked, seed=seed, count=n))
            for reports in api.finish([lane]):
                yield None, reports[0], gr.skip()
            name = uuid.uuid4().hex
            recordings.keep(name, [lane])
            again = {"command": reproduce.command(lane, zoo.folder), "link": link(lane.settings)}
            yield api.gallery(lane), lane.report() | again, name

    inputs = [
        api.text("model", zoo.pick(FAVOURITE)),
        api.text("class_name"),
        api.value("steps"),
        api.text("seed", FIRST_SEED),
        api.value("n", 1),
        api.text("sampler"),
        api.value("guidance"),
        api.text("interval"),
        api.text("guide"),
    ]
    api.endpoint("generate", run, inputs, [api.pictures("pictures"), gr.JSON(visible=False, label="settings"), last])

    def save(kind: str, name: str | None) -> str:
        with wiring.toasts():
            if name is None:
                raise RequestError("There is no run to save yet; call /generate first.")
            return str(recordings.file(name, kind))

    api.endpoint("save", save, [api.text("format", "gif"), last], [gr.File(visible=False, label="file")])
