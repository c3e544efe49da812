"""What the components compute in the browser, checked by node in milliseconds."""

import shutil
import subprocess
from pathlib import Path

import playwright

SCRIPTS = sorted(Path(__file__).resolve().parents[1].joinpath("js").glob("*.test.js"))


def test_what_the_components_compute():
    node = shutil.which("node") or Path(playwright.__file__).parent / "driver" / "node"  # which drives the browser
    result = subprocess.run([node, "--test", *map(str, SCRIPTS)], capture_output=True, text=True, encoding="utf-8")
    assert SCRIPTS and result.returncode == 0, result.stdout
