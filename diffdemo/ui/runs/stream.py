"""Runs as the page sees them: models advance step by step in lockstep, and messages for the viewer come out."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from diffdemo.ui.runs.sampling_run import SamplingRun

SECONDS_BETWEEN_MESSAGES = 0.05
MOST_REMEMBERED = 1000
KEPT_FRAMES = 100  # of a run with more steps every second, third, ... is shown, and always its first and last
REPEATED_MESSAGES = (
    3  # browsers may skip a message; the next ones still hold its frames, and Gradio sends them only once
)

# Of runs, in the order in which they began, also after a restart that a browser with an open page has outlived.
_numbers = itertools.count(int(1000 * time.time()))


def stream(
    lanes: Sequence[SamplingRun], halted: Callable[[], bool] = lambda: False, seconds: float | None = None
) -> Iterator[dict]:
    """Run the lanes in lockstep and yield messages for the viewer, at most 20 a second, the first and last always.

    A message is {"run", "state", "lanes", "frames"}: frames are those since the message before and some earlier ones,
    by step index, with one entry a lane (None where a lane had finished before). State is "running", and in the last
    message "done", "stopped" (`halted` said so) or "late" (`seconds` were over). Closing the iterator closes the runs.
    """
    total = max(lane.total for lane in lanes)
    steps_shown = shown_steps(lanes)
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
            shown = index in steps_shown
            frames = [lane.advance(shown) for lane in lanes]
            elapsed = time.perf_counter() - began
            if shown:
                batches[-1][str(index)] = [frame and {**frame, "seconds": elapsed} for frame in frames]
            if index < total - 1 and batches[-1] and elapsed - sent >= SECONDS_BETWEEN_MESSAGES:
                sent = elapsed
                yield packed("running")
                batches = [*batches[-REPEATED_MESSAGES + 1 :], {}]
        yield packed("done")


def shown_steps(lanes: Sequence[SamplingRun]) -> set[int]:
    """The indices of the steps of which there is a frame: about KEPT_FRAMES of them, the first and each last among."""
    total = max(lane.total for lane in lanes)
    return {*range(0, total, -(-total // KEPT_FRAMES)), *(lane.total - 1 for lane in lanes)}


def whole(messages: Iterator[dict]) -> dict:
    """One message with all frames of a run."""
    frames: dict = {}
    for message in messages:
        frames |= message["frames"]
    return {**message, "frames": frames}


class Stops:
    """Lets a Stop button, or a newer click on the button that runs, end the run of its own visitor, and no other."""

    def __init__(self):
        self._running: dict[str, tuple[int, threading.Event]] = {}
        self._newest: dict[str, int] = {}  # clicks for which a run of an older one has to make way

    @contextmanager
    def listening(self, visitor: str, click: int = 0) -> Iterator[Callable[[], bool]]:
        """Yields a function that says whether the visitor has ended since what this click, by its number, began."""
        running = self._running[visitor] = (click, threading.Event())
        if click < self._newest.get(visitor, 0):  # while it waited for its turn
            running[1].set()
        try:
            yield running[1].is_set
        finally:
            if self._running.get(visitor) is running:
                del self._running[visitor]
            if click >= self._newest.get(visitor, 0):
                self._newest.pop(visitor, None)

    def stop(self, visitor: str, click: int = 0) -> dict:
        """End what this click of the visitor's, or one before it, began or begins later: it may be on its way yet.

        Returns the viewer's message that no run up to now goes on.
        """
        self.end_older(visitor, click + 1)
        return {"stopped": next(_numbers)}

    def end_older(self, visitor: str, click: int) -> None:
        """End the visitor's run that a click before this one began, also if it waits for its turn yet."""
        running = self._running.get(visitor)
        if running and running[0] < click:
            running[1].set()
        if not running or running[0] < click:
            self._newest[visitor] = click
            while len(self._newest) > MOST_REMEMBERED:  # of visitors who have left before their turn
                self._newest.pop(next(iter(self._newest)), None)
