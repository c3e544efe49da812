"""What is imported is what the requirement files install."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"diffdemo", "train", "benchmarks"}
INSTALLED_AS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def required(file: str) -> set[str]:
    """The names that a requirements file installs, those of the files it includes among them."""
    lines = (ROOT / file).read_text("utf-8").splitlines()
    named = [re.match(r"([\w-]+)(?:\[(\w+)\])?", line) for line in lines if re.match(r"\w", line)]
    # what an extra brings, such as imageio[ffmpeg], is called imageio-ffmpeg
    names = {"-".join(filter(None, found.groups())).lower() for found in named} | {f[1].lower() for f in named}
    return names.union(*(required(line.split()[1]) for line in lines if line.startswith("-r ")))


def imported(*folders: str) -> dict[str, str]:
    """{what must be installed: a file that imports it} of all Python files below these folders."""
    found, files = {}, [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    local = OURS | {path.stem for path in files} | {path.parent.name for path in files}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.append(node.module)
            for top in {name.split(".")[0] for name in names} - local - sys.stdlib_module_names:
                found[INSTALLED_AS.get(top, top).lower().replace("_", "-")] = str(path.relative_to(ROOT))
    return found


@pytest.mark.parametrize(
    ("folders", "file"),
    [(("diffdemo", "train"), "requirements.txt"), (("tests", "benchmarks"), "requirements-dev.txt")],
)
def test_every_import_is_in_the_requirements(folders, file):
    known = {name.replace("_", "-") for name in required(file)}
    missing = {name: path for name, path in imported(*folders).items() if name not in known}
    assert not missing


def test_nothing_is_required_that_nobody_imports():
    tools = {"ruff", "import-linter", "pytest-xdist", "pytest-fid", "axe-playwright-python"}  # run or read
    used = {*imported("diffdemo", "train", "tests", "benchmarks"), *tools}
    assert {name.replace("_", "-") for name in required("requirements-dev.txt")} <= used
