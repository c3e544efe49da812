"""Who may import whom: the contracts in pyproject.toml, and that no room is overcrowded."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST = 16  # files of Python in one folder


def test_every_import_keeps_the_contracts():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", "pyproject.toml"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", ["diffdemo", "train", "benchmarks", "tests"])
def test_no_folder_is_overcrowded(name):
    folders = {path.parent for path in (ROOT / name).rglob("*.py")}
    crowded = {str(folder): count for folder in folders if (count := len(list(folder.glob("*.py")))) > MOST}
    assert crowded == {}
