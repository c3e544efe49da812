"""Training scripts in processes of their own."""

import subprocess
import sys
import time
from pathlib import Path

from safetensors.numpy import load_file

ROOT = Path(__file__).parent.parent


class Script:
    """A training script such as train.unet, on one CPU thread."""

    def __init__(self, module: str):
        self.module = module

    def start(self, *flags: object) -> subprocess.Popen:
        """Start the script; its output can be read from the process."""
        command = [sys.executable, "-m", self.module, "--threads", "1", "--device", "cpu", *map(str, flags)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, *flags: object, code: int = 0) -> tuple[str, str]:
        """Run the script to its end; stdout and stderr."""
        process = self.start(*flags)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, err
        return out, err


def wait_for(path: Path, process: subprocess.Popen) -> None:
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
    assert {"history.csv", "loss.png", "samples/final.png"} <= set(names)
    for name in [*names, "model.safetensors"]:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
