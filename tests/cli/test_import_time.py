"""Nobody waits for PyTorch to read a help text or what models there are, or to import the package in a notebook."""

import subprocess
import sys

import pytest

MEASURE = """
import sys, time
start = time.process_time()
{code}
print(time.process_time() - start, "torch" in sys.modules, file=sys.stderr)
"""


def measure(code: str) -> tuple[float, bool]:
    """Seconds of a core that `code` takes in a fresh interpreter, and whether it loaded torch."""
    command = [sys.executable, "-c", MEASURE.format(code=code)]
    seconds, with_torch = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split()
    return float(seconds), with_torch == "True"


def test_the_package_imports_in_under_three_seconds_without_torch():
    seconds, with_torch = measure("import diffdemo")
    assert seconds < 3
    assert not with_torch


def test_help_and_bad_requests_do_not_wait_for_torch():
    calls = [["--help"], ["sample", "--help"], ["sample", "--model", "simple_unet", "--out", "x.bmp"], ["sampel"]]
    code = "from diffdemo.__main__ import main\n" + "\n".join(f"assert main({call}) in (0, 2)" for call in calls)
    command = [sys.executable, "-c", MEASURE.format(code=code)]
    last_line = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()[-1]
    seconds, with_torch = last_line.split()
    assert float(seconds) < 3
    assert with_torch == "False"


@pytest.mark.parametrize("words", [["list"], ["list", "--json"]])
def test_models_are_listed_in_under_two_seconds_without_torch(words):
    seconds, with_torch = measure(f"from diffdemo.__main__ import main\nassert main({words}) == 0")
    assert seconds < 2
    assert not with_torch
