"""The newest runs, kept for a while: files are made of the frames that were shown, never of a new run."""

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from diffdemo import validate
from diffdemo.errors import RequestError
from diffdemo.figures.film import Moment, caption, save_film, spread
from diffdemo.figures.raster import image_grid, save_png
from diffdemo.ui.runs.reproduce import file_name
from diffdemo.ui.runs.sampling_run import SamplingRun

MOST_BYTES = 192 * 2**20  # of frames in memory, about forty of the largest runs
SCALE = 4  # as the command line draws this many pictures
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
        if not all(lane.film for lane in lanes):
            raise RequestError("This run has shown no picture yet; wait for its first step.")
        return lanes

    def file(self, name: str | None, kind: str, step: object = None) -> Path:
        """A run's first lane as a file: "png" of one step's pictures, "gif" or "mp4" of all that was shown.

        The pictures are the guess at that step, counted from 1, and at the last step the finished ones; the step is the
        last one unless given. Raises RequestError.
        """
        lane = self.lanes(name)[0]
        wanted = lane.shown if step is None or kind != "png" else validate.whole_number("step", step, 1, lane.total)
        moment = [moment for moment in lane.film if moment.step <= wanted][-1]
        title = file_name(lane, moment.step)
        path = Path(self._folder.name, name, f"{title}.{validate.choice('format', kind, KINDS)}")
        if path.exists():
            return path
        done = lane.finished and moment.step == lane.total
        if kind == "png":
            return save_png(path, image_grid(lane.pictures if done else moment.x0, scale=SCALE))
        film = [lane.film[place] for place in spread(len(lane.film))]
        film += [Moment(lane.total, lane.pictures, lane.pictures)] * done
        words = caption(lane.model.info.spec.title, lane.asked.class_name, lane.seeds)
        try:
            return save_film(path, film, words, lane.total)
        except RequestError as error:
            raise RequestError(str(error).replace(str(path), path.name)) from error  # a visitor's folders are others


def _bytes(lanes: Sequence[SamplingRun]) -> int:
    shown = sum(moment.x_t.nbytes + moment.x0.nbytes for lane in lanes for moment in lane.film)
    ends = [lane.last for lane in lanes if lane.last]
    return shown + sum(state.nbytes for end in ends for state in (end.x_t, end.x0, end.x_prev))
