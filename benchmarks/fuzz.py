"""The fuzz tests in full: python -m benchmarks.fuzz -n 20000

With as many examples of every property as are asked for, where the tests take 25: of what is typed on the command line,
sent to the endpoints, found as a checkpoint's files, or uploaded as a picture. Each test is a process of its own, so
that a crash or a hang is one of it alone.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from train.flags import run_app

ROOT = Path(__file__).parents[1]
TARGETS = {
    "command line": "tests/cli/test_cli_fuzz.py",
    "endpoints": "tests/ui/test_endpoint_fuzz.py",
    "checkpoint loader": "tests/checkpoints/test_checkpoint_fuzz.py",
    "picture decoder": "tests/data/test_picture_fuzz.py",
}
SECONDS = 5.0  # that an example may take on average before a target counts as hanging
PROPERTIES = 10  # at most, of one target


def main(
    count: Annotated[int, typer.Option("-n", min=1, help="Examples of each property.")] = 20000,
) -> None:
    """Print what became of each target, and the first example that fails; exits with 1 if one does."""
    failed = False
    for name, path in TARGETS.items():
        began = time.monotonic()
        command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-n", "0", "-q", "-x", "--tb=short", path]
        environment = os.environ | {"FUZZ": str(count)}
        try:
            limit = 120 + SECONDS * PROPERTIES * count
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit)
            said = {0: "passed", 1: "failed"}.get(done.returncode, f"crashed ({done.returncode})")
            output = done.stdout + done.stderr
        except subprocess.TimeoutExpired as hanging:
            said, output = "hangs", str(hanging)
        print(f"{name}: {said}, {count} examples of each property in {time.monotonic() - began:.0f} s", flush=True)
        if said != "passed":
            failed = True
            print(output)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    run_app(main)
