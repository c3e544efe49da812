"""Training scripts, in processes of their own or refusing their flags in this one."""

import importlib
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from ready_python import Started
from safetensors.numpy import load_file

from train.flags import run_command

ROOT = Path(__file__).parents[2]


class Script:
    """A training script such as train.unet, on one CPU thread."""

    def __init__(self, module: str):
        self.module = module

    def start(self, *flags: object) -> Started:
        """Start the script in a process of its own, of which much is imported already, see `ready_python`."""
        return Started(self.module, ["--threads", "1", "--device", "cpu", *map(str, flags)], ROOT)

    def finish(self, *flags: object, code: int = 0) -> tuple[str, str]:
        """Run the script to its end; stdout and stderr."""
        process = self.start(*flags)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, err
        return out, err

    def kill_and_resume(self, data: Path, folder: Path, *flags: object) -> str:
        """Run once at a stretch, and once killed at a random moment and resumed, to the same bits.

        The runs are `folder/whole` and `folder/killed`. Returns stdout of the resumed part.
        """
        whole, killed = folder / "whole", folder / "killed"
        self.finish("--data", data, *flags, "--out", whole)
        process = self.start("--data", data, *flags, "--out", killed, "--save-minutes", 0.001)
        wait_for(killed / "state.safetensors", process)
        delay = random.SystemRandom().uniform(0, 1.5)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"it was over after {delay} s already; train longer in this test"
        half_written = killed / f".{'0' * 32}-loss.png"  # which a kill leaves behind only now and then
        half_written.touch()
        out, _ = self.finish("--data", data, "--out", killed, "--resume")
        assert_same_run(whole, killed)
        assert not [*killed.rglob(".*-*")]
        return out

    def refusal(self, flags: str, folder: Path, monkeypatch, capsys) -> str:
        """What is said, in one sentence, of flags that must be refused before `folder`, the run's, holds any of it."""
        script = importlib.import_module(self.module)
        monkeypatch.chdir(folder.parent)
        standard = ["--out", str(folder), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", [self.module, *standard, *flags.split()])
        with pytest.raises(SystemExit) as exit_code:
            run_command(script.main, script.Options, script.Settings)
        assert exit_code.value.code in (1, 2)
        error = capsys.readouterr().err
        assert error.startswith("Error: ") and error.count("\n") == 1
        assert not (folder / "state.safetensors").exists()
        return error


def wait_for(path: Path, process: Started) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, moving average, optimizer, history and samples are equal to the last bit."""
    one, other = load_file(a / "state.safetensors"), load_file(b / "state.safetensors")
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), name
    names = sorted(str(path.relative_to(a)) for kind in ("csv", "png") for path in a.rglob(f"*.{kind}"))
    assert {"history.csv", "loss.png"} < set(names)  # and some drawing
    for name in [*names, "model.safetensors"]:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
