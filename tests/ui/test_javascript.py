"""What the components compute in the browser, checked by node in milliseconds."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = sorted(Path(__file__).resolve().parents[1].joinpath("js").glob("*.test.js"))


def test_what_the_components_compute():
    node = shutil.which("node")
    if node is None and os.environ.get("CI"):
        pytest.fail("There is no node here, and where the tests run for everyone the scripts must be checked, too.")
    if node is None:
        pytest.skip("there is no node on this machine")
    result = subprocess.run([node, "--test", *map(str, SCRIPTS)], capture_output=True, text=True, encoding="utf-8")
    assert SCRIPTS and result.returncode == 0, result.stdout
