"""Runs as the page sees them: models advance step by step in lockstep, and messages for the viewer come out."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import numpy as np

from diffdemo import validate
from diffdemo.generator import Generator
from diffdemo.samplers import Step
from diffdemo.ui.components.viewer import pack
from diffdemo.ui.shelf import ANY, title

MOST_IMAGES = 8
SAMPLER_TITLES = {"dpmpp": "DPM-Solver++", "ddim": "DDIM", "ddpm": "DDPM", "heun": "Heun"}
SECONDS_BETWEEN_MESSAGES = 0.05
KEPT_FRAMES = 100  # of a run with more steps every second, third, ... is shown, and always its first and last
REPEATED_MESSAGES = (
    3  # browsers may skip a message; the next ones still hold its frames, and Gradio sends them only once
)

_numbers = itertools.count(1)


@dataclass
class Lane:
    """One model at work on one batch.

    Attributes:
        model: the generator.
        settings: class_name, steps, sampler and guidance as asked for, checked.
        seeds: one for each image.
        steps: the run itself.
        prefix: put before the model's title on display.
        last: the latest step.
        seconds: time spent in steps so far, without what the page does around them.
    """

    model: Generator
    settings: dict
    seeds: list[int]
    steps: Iterator[Step]
    prefix: str = ""
    last: Step | None = None
    seconds: float = 0.0

    @classmethod
    def start(
        cls,
        model: Generator,
        class_name: str | None,
        steps: object,
        sampler: str,
        guidance: object,
        seeds: list[int],
        prefix: str = "",
    ) -> "Lane":
        """Check everything and start; RequestError says what is wrong."""
        settings = {
            "class_name": class_name or ANY,
            "steps": validate.steps(steps),
            "sampler": sampler,
            "guidance": validate.guidance_scale(guidance, model.classes, model.key),
        }
        run = model.denoise(
            settings["class_name"],
            steps=settings["steps"],
            sampler=sampler,
            guidance_scale=settings["guidance"],
            seeds=seeds,
        )
        return cls(model, settings, seeds, run, prefix)

    def advance(self, shown: bool) -> dict | None:
        """Take a step; its frame if it is to be shown and there was a step left."""
        began = time.perf_counter()
        step = next(self.steps, None)
        if step is None:
            return None
        self.last = step
        # Inside the measured time, because on a GPU this is where the step's work is waited for.
        pictures = [pack(self.model.images(state)) for state in (step.x_t, step.x0)] if shown else None
        self.seconds += time.perf_counter() - began
        return self._frame(step, *pictures) if shown else None

    def _frame(self, step: Step, x_t: str, x0: str) -> dict:
        return {
            "step": step.index + 1,
            "t": step.t,
            "snr": step.snr,
            "nfe": self.evaluations,
            "ms": self.ms_per_step,
            "x_t": x_t,
            "x0": x0,
        }

    @property
    def evaluations(self) -> int:
        """Network evaluations for each image so far; with guidance each of the sampler's takes two."""
        return self.last.nfe * (2 if self._guided else 1) if self.last else 0

    @property
    def _guided(self) -> bool:
        return self.settings["class_name"] != ANY and self.settings["guidance"] != 1

    @property
    def ms_per_step(self) -> float:
        """Mean milliseconds of a step so far."""
        return 1000 * self.seconds / (self.last.index + 1) if self.last else 0.0

    @property
    def total(self) -> int:
        """Number of steps of the whole run."""
        return self.settings["steps"]

    @property
    def pictures(self) -> np.ndarray:
        """The finished pictures, (N, H, W, 3) uint8."""
        return self.model.images(self.last.x_prev)

    def report(self) -> dict:
        """What was asked for and what it took, as the API returns it."""
        return {
            "model": self.model.key,
            **self.settings,
            "seeds": [str(seed) for seed in self.seeds],
            "parameters": self.model.info.parameters,
            "network_evaluations": self.evaluations,
            "ms_per_step": round(self.ms_per_step, 2),
            "seconds": round(self.seconds, 3),
        }

    def describe(self) -> dict:
        """What the viewer must know of the lane before its first frame."""
        return {
            "title": self.prefix + title(self.model),
            "detail": self._detail(),
            "seeds": [str(seed) for seed in self.seeds],  # text, because JavaScript's numbers end at 2^53
            "steps": self.total,
            "size": list(self.model.image_size),
        }

    def _detail(self) -> str:
        asked = self.settings
        parts = [asked["class_name"]] if asked["class_name"] != ANY else []
        parts += [SAMPLER_TITLES[asked["sampler"]], f"{asked['steps']} steps"]
        return ", ".join(parts + [f"guidance {asked['guidance']:g}"] * self._guided)


def stream(
    lanes: Sequence[Lane], halted: Callable[[], bool] = lambda: False, seconds: float | None = None
) -> Iterator[dict]:
    """Run the lanes in lockstep and yield messages for the viewer, at most 20 a second, the first and last always.

    A message is {"run", "state", "lanes", "frames"}: frames are those since the message before and some earlier ones,
    by step index, with one entry a lane (None where a lane had finished before). State is "running", and in the last
    message "done", "stopped" (`halted` said so) or "late" (`seconds` were over). Closing the iterator closes the runs.
    """
    total = max(lane.total for lane in lanes)
    every = -(-total // KEPT_FRAMES)
    ends = {lane.total - 1 for lane in lanes}
    message = {"run": f"{next(_numbers)}", "state": "running", "lanes": [lane.describe() for lane in lanes]}
    batches: list[dict] = [{}]
    began = time.perf_counter()
    sent = -SECONDS_BETWEEN_MESSAGES

    def packed(state: str) -> dict:
        frames = {index: frame for batch in batches[-REPEATED_MESSAGES:] for index, frame in batch.items()}
        return {**message, "state": state, "frames": frames}

    with ExitStack() as stack:
        for lane in lanes:
            stack.enter_context(closing(lane.steps))
        for index in range(total):
            elapsed = time.perf_counter() - began
            if index and (halted() or (seconds is not None and elapsed > seconds)):
                yield packed("stopped" if halted() else "late")
                return
            shown = index % every == 0 or index in ends
            frames = [lane.advance(shown) for lane in lanes]
            elapsed = time.perf_counter() - began
            if shown:
                batches[-1][str(index)] = [frame and {**frame, "seconds": elapsed} for frame in frames]
            if index < total - 1 and batches[-1] and elapsed - sent >= SECONDS_BETWEEN_MESSAGES:
                sent = elapsed
                yield packed("running")
                batches = [*batches[-REPEATED_MESSAGES + 1 :], {}]
        yield packed("done")


def whole(messages: Iterator[dict]) -> dict:
    """One message with all frames of a run."""
    frames: dict = {}
    for message in messages:
        frames |= message["frames"]
    return {**message, "frames": frames}


class Stops:
    """Lets a Stop button end the run of its own visitor before the next step, and no other."""

    def __init__(self):
        self._running: dict[str, threading.Event] = {}

    @contextmanager
    def listening(self, visitor: str) -> Iterator[Callable[[], bool]]:
        """Yields a function that says whether the visitor has pressed Stop since."""
        event = self._running[visitor] = threading.Event()
        try:
            yield event.is_set
        finally:
            if self._running.get(visitor) is event:
                del self._running[visitor]

    def stop(self, visitor: str) -> None:
        """End this visitor's run, if there is one."""
        if event := self._running.get(visitor):
            event.set()
