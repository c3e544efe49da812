"""The newest runs, kept for a while: files are made of the frames that were shown, never of a new run."""

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffdemo import validate
from diffdemo.errors import RequestError
from diffdemo.figures.raster import image_grid, save_animation, save_png
from diffdemo.ui.runs.reproduce import file_name
from diffdemo.ui.runs.sampling_run import SamplingRun

MOST_BYTES = 96 * 2**20  # of frames in memory, about forty of the largest runs
SCALE = 4  # as the command line draws this many pictures
FPS, MOST_SECONDS = 12, 6  # longer animations are faster
KINDS = ("png", "gif", "mp4")


class Recordings:
    """Runs by their names: some for ever, of the others the newest within a bound on memory.

    Args:
        most_bytes: when all frames together hold more, the oldest runs are forgotten; the newest never is.
    """

    def __init__(self, most_bytes: int = MOST_BYTES):
        self._most = most_bytes
        self._lasting: dict[str, list[SamplingRun]] = {}
        self._passing: dict[str, list[SamplingRun]] = {}
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="diffdemo-")

    def keep(self, name: str, lanes: Sequence[SamplingRun], for_ever: bool = False) -> None:
        """Keep a run; called at its start, so that what a stopped one has shown is there too."""
        with self._lock:
            (self._lasting if for_ever else self._passing)[name] = list(lanes)
            while len(self._passing) > 1 and sum(map(_bytes, self._passing.values())) > self._most:
                oldest = next(iter(self._passing))
                del self._passing[oldest]
                shutil.rmtree(Path(self._folder.name, oldest), ignore_errors=True)

    def lanes(self, name: str | None) -> list[SamplingRun]:
        """The lanes of a run.

        Raises:
            RequestError: it is forgotten, or has shown nothing yet.
        """
        with self._lock:
            lanes = self._lasting.get(name) or self._passing.get(name)
        if lanes is None:
            raise RequestError("The pictures of this run are no longer kept here; run it again to have them.")
        if any(lane.guess is None for lane in lanes):
            raise RequestError("This run has shown no picture yet; wait for its first step.")
        return lanes

    def file(self, name: str | None, kind: str) -> Path:
        """A run's first lane as a file: "png" of the finished pictures, "gif" or "mp4" of the frames and these.

        Of a run that did not come to its end, the pictures are the last guess of x0. Raises RequestError.
        """
        lane = self.lanes(name)[0]
        path = Path(self._folder.name, name, f"{file_name(lane)}.{validate.choice('format', kind, KINDS)}")
        if path.exists() and lane.finished:
            return path
        if kind == "png":
            return save_png(path, image_grid(finished(lane), scale=SCALE))
        film = np.stack([image_grid(frame, scale=SCALE) for frame in [*lane.film, finished(lane)]])
        enlarged_already = {"scale": 1} if kind == "mp4" else {}
        try:
            return save_animation(path, film, fps=max(FPS, len(film) / MOST_SECONDS), **enlarged_already)
        except RequestError as error:
            raise RequestError(str(error).replace(str(path), path.name)) from error  # a visitor's folders are others


def finished(lane: SamplingRun) -> np.ndarray:
    """The finished pictures, (N, H, W, 3) uint8; of a run that did not come to its end, its last guess."""
    return lane.pictures if lane.finished else lane.guess


def _bytes(lanes: Sequence[SamplingRun]) -> int:
    return sum(frame.nbytes for lane in lanes for frame in lane.film)
