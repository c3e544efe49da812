"""docs/development.md's worked example of a new architecture: what it says to write works, to the last command."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diffdemo.data import make_toy_dataset

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^<!-- (file|row|commands)(?:: (\S+))? -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def blocks() -> list[tuple[str, str, str]]:
    return BLOCK.findall((ROOT / "docs" / "development.md").read_text("utf-8"))


@pytest.fixture(scope="module")
def project(tmp_path_factory, blocks) -> Path:
    """A copy of the project with the example's file, row and script in it."""
    folder = tmp_path_factory.mktemp("project")
    for room in ("diffdemo", "train"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for kind, path, text in blocks:
        if kind == "file":
            assert not (folder / path).exists()
            (folder / path).write_text(text, "utf-8")
        elif kind == "row":
            first, row = text.split("\n\n", 1)
            table = (folder / path).read_text("utf-8")
            after = "from diffdemo.models.settings.latent_diffusion"
            table = table.replace(after, f"{first}\n{after}", 1)
            table = table.replace(")\nSPECS:", f"{row})\nSPECS:", 1)
            (folder / path).write_text(table, "utf-8")
    return folder


def run(project: Path, command: str) -> str:
    program, *words = shlex.split(command)
    assert program == "python"
    done = subprocess.run([sys.executable, *words], cwd=project, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_is_two_files_one_row_one_script_and_its_commands(blocks):
    assert [(kind, path) for kind, path, _ in blocks] == [
        ("file", "diffdemo/models/settings/flat_net.py"),
        ("file", "diffdemo/models/flat_net.py"),
        ("row", "diffdemo/registry.py"),
        ("file", "train/flat_net.py"),
        ("commands", ""),
    ]


def test_what_the_example_writes_is_in_the_projects_own_style(project):
    ruff = [sys.executable, "-m", "ruff"]
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run([*ruff, *check, "."], cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_examples_commands_train_install_list_and_draw(project, blocks):
    commands = blocks[-1][2].splitlines()
    data = make_toy_dataset(project / "data", per_class=8)
    quick = f"--size tiny --images 64 --batch-size 16 --threads 1 --device cpu --data {shlex.quote(str(data))}"
    said = [run(project, command.replace("--max-minutes 30", quick)) for command in commands]
    assert "--model runs/flat" in said[0]
    assert "flat_net" in said[2]
    assert (project / "ship.png").is_file()
    assert "flat_net" in run(
        project, "python -c \"from train.plans import PLANS; print([p.name for p in PLANS['usual']])\""
    )
