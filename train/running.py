"""A part of `train.all` in a process of its own, and what may run beside it where there is room for two."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from diffdemo.records.files import TRAINED

INTERRUPTED = 130  # exit code of a script that was stopped and has saved its run
LOOK_SECONDS, SAVE_SECONDS = 0.2, 120.0


class Running:
    """A script that trains into a folder.

    Args:
        command: of the script.
        out: its folder.
        seconds: after which it takes too long.
    """

    def __init__(self, command: Sequence[str], out: Path, seconds: float):
        with suppress(NotADirectoryError):  # something is in the way, which the script will say
            (out / TRAINED).unlink(missing_ok=True)  # of an earlier try
        self.out, self.began = out, time.monotonic()
        self._limit = self.began + seconds
        self._process = subprocess.Popen(command)

    @property
    def trained(self) -> bool:
        """Whether only drawing is left."""
        return (self.out / TRAINED).exists()

    def over(self) -> bool:
        """Whether it ended, or should have."""
        return self._process.poll() is not None or time.monotonic() > self._limit

    def outcome(self, interrupted: bool) -> str:
        """What became of it: "done", "failed", "took too long" or "interrupted"; if it still runs, it is stopped."""
        code = stop(self._process)
        late = time.monotonic() > self._limit
        if code == 0:
            return "done"
        if interrupted or (code == INTERRUPTED and not late):
            return "interrupted"
        return "took too long" if late else "failed"


class Warming:
    """A short run of a script that compiles its network, to be found in the compiler's cache when its turn comes.

    Its folder is gone when it ends; whether it went well shows in nothing but the time that its part takes.
    """

    def __init__(self, command: Sequence[str], out: Path):
        self._out = out
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def look(self) -> None:
        """End it if it has trained what it was to train: what would come next is drawing."""
        if (self._out / TRAINED).exists():
            self.end()

    def end(self) -> None:
        """Stop it, whatever it does."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._out, ignore_errors=True)


def watch(running: Running, enough: Callable[[], bool], look: Callable[[], None]) -> None:
    """Wait until a script is over or it is `enough`; `look` after others meanwhile."""
    while not running.over() and not enough():
        look()
        time.sleep(LOOK_SECONDS)


def stop(process: subprocess.Popen) -> int:
    """The exit code of a script; one that still runs is told to save and end first."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(SAVE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
