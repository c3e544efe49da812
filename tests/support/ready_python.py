"""Python processes that begin with the large libraries imported, as `python -m MODULE` would import them itself.

Tests start many scripts, each of which spends four seconds on importing PyTorch and what it trains and draws with. Here
one process does that once and is forked for each script. All of the project's own modules are imported by the script.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

LIBRARIES = ["torch", "torch._dynamo", "matplotlib.pyplot", "sklearn.manifold", "typer", "tqdm", "PIL.Image"]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([*LIBRARIES, "pytest"])  # the last because multiprocessing imports the program again


class Started:
    """A script that runs, with what these tests need of `subprocess.Popen`.

    Args:
        module: of the script.
        arguments: what follows it.
        folder: the working folder.
    """

    def __init__(self, module: str, arguments: Sequence[str], folder: Path):
        self._said = tempfile.TemporaryDirectory(prefix="said-")
        self._files = [Path(self._said.name, name) for name in ("stdout", "stderr")]
        words = (module, list(arguments), str(folder), dict(os.environ), list(map(str, self._files)))
        self._process = _FORKS.Process(target=_run, args=words)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """The exit code, below 0 that of the signal that ended it, None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same, as a method."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if there is still somebody to receive it."""
        if self._process.is_alive():
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it said on stdout and stderr, once it is over."""
        self.wait(timeout)
        return tuple(file.read_text() if file.exists() else "" for file in self._files)


def _run(module: str, arguments: list[str], folder: str, environment: dict[str, str], files: list[str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(files, 1):
        with open(path, "wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    sys.argv, sys.path[:0] = [module, *arguments], [folder]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
