"""One run drawn again and again with one thing changed, on the same noise: what that does, in one table."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from diffdemo import validate
from diffdemo.errors import RequestError
from diffdemo.figures.plots import labelled_grid, save_figure
from diffdemo.loading import load_generator
from diffdemo.process.guidance import number
from diffdemo.process.names import SAMPLER_TITLES
from diffdemo.records.run_folder import images_seen, snapshots
from diffdemo.ui.components.sheet import rows_of
from diffdemo.ui.runs import zero_gpu
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import FIRST_COUNT, Settings
from diffdemo.ui.runs.stream import stream
from diffdemo.ui.runs.zoo import ANY, ModelZoo, title

SECONDS_BETWEEN_TABLES = 0.25  # of which each is sent, and drawn, whole
# What is changed: its setting, and its values by what they are called.
SWEEPS: dict[str, tuple[str, dict[str, object]]] = {
    "guidance": ("guidance", {f"guidance {number(value)}": value for value in (1.0, 1.5, 2.0, 4.0, 8.0)}),
    "steps": ("steps", {f"{value} steps": value for value in (2, 5, 10, 20, 50)}),
    "samplers": ("sampler", {name: key for key, name in SAMPLER_TITLES.items()}),
}


@zero_gpu.one_loan()
def sweep(zoo: ModelZoo, settings: Settings, over: str) -> list[tuple[str, SamplingRun]]:
    """Checked runs of these settings, one for each value that the sweep goes over, with what is different in it.

    Raises:
        RequestError: there is no such sweep, or one of the runs is impossible.
    """
    setting, values = SWEEPS[validate.choice("sweep", over, SWEEPS)]
    model = zoo[settings.model]
    asked = [replace(settings, **{setting: value}).request(model) for value in values.values()]
    if setting == "guidance" and not asked[-1].guided:
        raise RequestError("Without a class there is nothing to guide, so all would be the same; choose a class.")
    return [(name, SamplingRun.start(model, one)) for name, one in zip(values, asked, strict=True)]


def time_machine(folder: Path, device: str, seed: object) -> Iterator[tuple[str, SamplingRun]]:
    """Runs of the same seeds by every checkpoint that a training run has kept, with the pictures each had seen by then.

    Args:
        seed: of the first of four pictures; they are of the first class.

    Raises:
        RequestError: no seed. CheckpointError: one of the checkpoints is damaged.
    """
    seeds = validate.consecutive_seeds(seed, FIRST_COUNT, FIRST_COUNT)
    for path, info in snapshots(folder):
        model = load_generator(path, device)
        asked = model.request(model.classes[0] if model.classes else ANY, seeds=seeds)
        yield f"{images_seen(info):,} images", SamplingRun.start(model, asked)


def table(runs: Iterable[tuple[str, SamplingRun]], halted: Callable[[], bool], seconds: float | None) -> Iterator[dict]:
    """Make the runs one after another; messages for a `sheet`, each with all rows so far, the newest as it is guessed.

    It ends when `halted` says so, or when one run has taken `seconds`, with the rows that it has.
    """
    rows: dict[str, np.ndarray] = {}
    sent = 0.0
    for name, run in runs:
        for message in stream([run], halted, seconds):
            goes_on = message["state"] == "running"
            if goes_on and time.monotonic() - sent < SECONDS_BETWEEN_TABLES:
                continue
            sent = time.monotonic()
            rows[name] = run.film[-1].x0 if goes_on else run.pictures
            yield rows_of(run.seeds, rows) | {"begins": len(rows) == 1}
        if not run.finished:
            break
    if rows:
        yield rows_of(run.seeds, rows) | {"over": True}


def save(runs: list[tuple[str, SamplingRun]], path: Path) -> Path:
    """The table as one labelled picture, of the runs that have finished; RequestError if it cannot be written."""
    done = [(name, run) for name, run in runs if run.finished]
    first = done[0][1]
    words = f"{title(first.model)}, {first.asked.class_name}"
    columns = [f"seed {seed}" for seed in first.seeds]
    figure = labelled_grid([run.pictures for _, run in done], columns, [name for name, _ in done], words)
    return save_figure(figure, path, bbox_inches="tight")
