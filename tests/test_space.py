"""The checkout as a Hugging Face Space: README's front matter, and the commands of docs/space.md."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub import Hub
from hub import hub as running_hub
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from PIL import Image

ROOT = Path(__file__).parents[1]
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
# What ZeroGPU takes; anything else is a configuration error there.
ZERO_PYTHONS = {"3.10", "3.10.13", "3.12", "3.12.12"}
ZERO_TORCH = {"2.8.0", "2.9.1", "2.10.0", "2.11.0", "2.12.1", "2.13.0"}
SPACE = "ada/diffdemo"
BLOCK = re.compile(r"^<!-- (both|paid|zero) -->\n```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def front_matter(readme: str) -> dict:
    assert readme.startswith("---\n")
    return yaml.safe_load(readme.split("---\n")[1])


def requirements(text: str) -> dict[str, Requirement]:
    found = [Requirement(line) for line in text.splitlines() if re.match(r"\w", line)]
    return {requirement.name: requirement for requirement in found}


@pytest.fixture(scope="module")
def described() -> dict:
    return front_matter((ROOT / "README.md").read_text("utf-8"))


def test_the_description_is_one_that_the_hub_takes(described):
    assert {described["colorFrom"], described["colorTo"]} <= COLOURS
    assert not described["emoji"].isascii() and len(described["emoji"]) <= 2
    assert described["title"] and 0 < len(described["short_description"]) <= 60
    assert described["sdk"] == "gradio" and described["suggested_hardware"] == "cpu-basic"
    assert all(re.fullmatch("[a-z0-9-]+", tag) for tag in described["tags"])
    assert all(isinstance(described[name], str) for name in ("sdk_version", "python_version"))  # 3.10 would be 3.1


def test_what_the_description_names_is_there(described):
    assert "serve(" in (ROOT / described["app_file"]).read_text("utf-8")
    with Image.open(ROOT / described["thumbnail"]) as picture:
        assert picture.width >= 600


def test_the_versions_are_ones_that_the_project_takes(described):
    known = requirements((ROOT / "requirements.txt").read_text("utf-8"))
    assert known["gradio"].specifier.contains(described["sdk_version"])
    python = re.search(r'requires-python = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"))[1]
    assert SpecifierSet(python).contains(described["python_version"])
    assert described["python_version"] in ZERO_PYTHONS


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    return dict(BLOCK.findall((ROOT / "docs" / "space.md").read_text("utf-8")))


@pytest.mark.parametrize("way", ["paid", "zero"])
def test_the_commands_make_a_space(blocks, way, tiny_checkpoints, tmp_path):
    """In a copy of the checkout with tiny checkpoints, against a hub of this machine's own."""
    for name in ("diffdemo", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("README.md", "app.py", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(tiny_checkpoints, tmp_path / "checkpoints")
    commands = blocks["both"].replace("hf auth login\n", "") + blocks[way]
    with running_hub() as hub:
        place = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_ada", "HF_HOME": str(tmp_path / "home")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            ["sh", "-e", "-c", commands], cwd=tmp_path, env=os.environ | place | {"PATH": path}, check=True, timeout=120
        )
        check_space(hub, way, tiny_checkpoints)


def check_space(hub: Hub, way: str, checkpoints: Path) -> None:
    asked = hub.created[SPACE]
    assert (asked["type"], asked["sdk"]) == ("space", "gradio")
    assert asked["hardware"] == {"paid": "cpu-basic", "zero": "zero-a10g"}[way]
    files = hub.repositories[SPACE][-1]
    assert files["app.py"] == (ROOT / "app.py").read_bytes()
    assert "diffdemo/ui/page.css" in files and not any("__pycache__" in path for path in files)
    weights = "simple_unet/model.safetensors"
    assert files[f"checkpoints/{weights}"] == (checkpoints / weights).read_bytes()
    thumbnail = front_matter(files["README.md"].decode())["thumbnail"]
    address, path = thumbnail.split("/resolve/main/")
    assert address == f"https://huggingface.co/spaces/{SPACE}" and files[path] == (ROOT / path).read_bytes()
    ours, theirs = ((ROOT / "requirements.txt").read_text("utf-8"), files["requirements.txt"].decode())
    if way == "paid":
        assert theirs == ours
        return
    ours, theirs = requirements(ours), requirements(theirs)
    assert theirs.keys() - ours.keys() == {"spaces"} and not ours.keys() - theirs.keys()
    assert str(theirs["torch"].specifier).removeprefix("==") in ZERO_TORCH
    assert {name for name in ours if str(theirs[name]) != str(ours[name])} == {"torch", "torchvision"}
    for name in ("torch", "torchvision"):
        assert ours[name].specifier.contains(str(theirs[name].specifier).removeprefix("=="))
