"""Does it work with the oldest and the newest packages that it allows? `python -m benchmarks.versions`

Installs requirements.txt into fresh environments, once at its lower bounds and once as pip likes it, for each Python
that is named; in each it lists, samples, trains, and generates on the page. Prints the table that docs/versions.md has.
Needs a package index, minutes and gigabytes, so no test runs it.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from diffdemo.records.tables import markdown
from train.flags import run_app

REPOSITORY = Path(__file__).parents[1]
SETS = ("oldest", "newest")
NAMED = ("torch", "torchvision", "gradio", "numpy", "pillow", "typer")  # in the table
TOY = "import sys; from diffdemo.data import make_toy_dataset; make_toy_dataset(sys.argv[1], per_class=8)"
PAGE = """
import re, subprocess, sys
from gradio_client import Client
page = subprocess.Popen([sys.executable, "app.py", "--device", "cpu"], stdout=subprocess.PIPE, text=True)
try:
    address = re.search(r"http://[\\w.:]+", page.stdout.readline())[0]
    pictures, _ = Client(address, verbose=False).predict("simple_unet", "horse", 2, "7", 1, api_name="/generate")
    assert len(pictures) == 1
finally:
    page.terminate()
    page.wait(30)
"""


def lower_bounds(requirements: str) -> list[str]:
    """The requirements with each lower bound as the version itself: "gradio>=6.28,<7" becomes "gradio==6.28".

    What follows a semicolon, such as the Python it is for, stays.
    """
    found = re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)[^;\n]*(.*)", requirements, re.MULTILINE)
    return [f"{name}=={version}{condition}" for name, version, condition in found]


def checks(python: Path, folder: Path) -> dict[str, list[str | Path]]:
    """What must work, as commands, by the name of each."""
    data, run = folder / "toy", folder / "run"
    sizes = ["--size", "tiny", "--images", "64", "--batch-size", "16", "--device", "cpu"]
    return {
        "list": [python, "-m", "diffdemo", "list"],
        "sample": [
            python,
            "-m",
            "diffdemo",
            "sample",
            "--model",
            "simple_unet",
            "--steps",
            "2",
            "--out",
            folder / "a.png",
        ],
        "toy data": [python, "-c", TOY, data],
        "train": [python, "-m", "train.unet", *sizes, "--data", data, "--out", run],
        "page": [python, "-c", PAGE],
    }


def tried(interpreter: str, which: str) -> list[str]:
    """A row of the table: one set of packages, installed and tried."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        constraints = folder / "constraints.txt"
        bounds = lower_bounds((REPOSITORY / "requirements.txt").read_text()) if which == "oldest" else []
        constraints.write_text("\n".join(bounds))
        _run([interpreter, "-m", "venv", folder / "venv"])
        python = folder / "venv" / "bin" / "python"
        _run([python, "-m", "pip", "install", "-q", "-r", REPOSITORY / "requirements.txt", "-c", constraints])
        listed = _run([python, "-m", "pip", "list", "--format", "freeze"])
        versions = dict(line.lower().split("==", 1) for line in listed.splitlines() if "==" in line)
        size = sum(path.lstat().st_size for path in (folder / "venv").rglob("*") if path.is_file())
        version = _run([python, "-c", "import platform; print(platform.python_version())"])
        row = [which, version, *(versions.get(name, "-") for name in NAMED), f"{size / 1e9:.1f} GB"]
        for name, command in checks(python, folder).items():
            began = time.monotonic()
            try:
                _run(command)
                row.append(f"{time.monotonic() - began:.0f} s")
            except subprocess.CalledProcessError as error:
                print(f"{which}, {name}: {error.stderr}", file=sys.stderr)
                row.append("FAILED")
        return row


def _run(command: list) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def main(
    python: Annotated[list[str], typer.Option(help="Interpreters, such as python3.10.")] = [sys.executable],  # noqa: B006
    only: Annotated[str, typer.Option(help="oldest or newest; both unless named.")] = "",
) -> None:
    """Print a table with a row for each Python and set of packages."""
    rows = [tried(one, which) for one in python for which in SETS if only in ("", which)]
    heads = ["packages", "Python", *NAMED, "environment", *checks(Path(), Path())]
    print(markdown(heads, rows))
    if any("FAILED" in row for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_app(main)
