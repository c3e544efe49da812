"""Who may read what is written, and what is said of a checkpoint that this user may not read."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from classifiers import save_classifier
from cli_helpers import complaint
from conftest import save_tiny_checkpoint
from permissions import forbid
from sentences import refused

from diffdemo.__main__ import main
from diffdemo.checkpoint import add_tensors
from diffdemo.description import GUIDE
from diffdemo.errors import CheckpointError
from diffdemo.measure.classifier import load_classifier
from diffdemo.ui.runs.zoo import ModelZoo
from train.install import add_guide, install, verified
from train.loop.state import save_state


@pytest.fixture
def shared(tmp_path, tiny_checkpoints) -> Path:
    """Checkpoints that a test may spoil; attention_unet has a guide."""
    folder = Path(shutil.copytree(tiny_checkpoints, tmp_path / "checkpoints"))
    add_guide(folder / "attention_unet", folder / "attention_unet", "fp16")
    return folder


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_whoever_may_read_one_file_of_a_run_may_read_its_weights(tmp_path, umask):
    before = os.umask(umask)
    try:
        save_tiny_checkpoint(tmp_path, "simple_unet")
        add_tensors(tmp_path / "simple_unet", "map.safetensors", {"x": torch.zeros(3)}, {})
        save_state(tmp_path / "simple_unet", {"averaged": {"x": torch.zeros(3)}})
        (tmp_path / "simple_unet" / "samples").mkdir()
        (tmp_path / "simple_unet" / "samples" / "final.png").touch(0o600)
        install(tmp_path / "simple_unet", tmp_path / "int8")
        (tmp_path / "simple_unet" / "model.safetensors").chmod(0o600)  # as it may be after an earlier version
        install(tmp_path / "simple_unet", tmp_path / "fp16", "fp16")
    finally:
        os.umask(before)
    (tmp_path / "simple_unet" / "model.safetensors").chmod(0o666 & ~umask)
    (tmp_path / "simple_unet" / "samples" / "final.png").chmod(0o666 & ~umask)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        *("config.json", "model.safetensors", "map.safetensors", "state.safetensors", "final.png")
    }
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {oct(0o666 & ~umask)}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", f"{GUIDE}/config.json", GUIDE, "."])
def test_a_model_that_may_not_be_read_is_left_out_of_the_page_with_a_sentence(shared, monkeypatch, capsys, name):
    forbid(shared / "attention_unet" / name, monkeypatch)
    zoo = ModelZoo.open(shared, "cpu")
    assert zoo.keys == ["simple_unet"]
    assert "Permission denied; let this user read it" in zoo.problems["attention_unet"]
    code = main(["sample", "--model", "attention_unet", "--checkpoints", str(shared), "--out", "never.png"])
    assert "Permission denied; let this user read it" in complaint(capsys, code, 1)
    if name != ".":
        with refused(CheckpointError, "cannot be read: Permission denied"):
            verified(shared / "attention_unet")


def test_a_folder_of_checkpoints_that_may_not_be_read_gets_a_sentence(shared, monkeypatch):
    forbid(shared, monkeypatch)
    with pytest.raises(CheckpointError, match="cannot be read: Permission denied"):
        ModelZoo.open(shared, "cpu")


def test_a_disk_that_fails_while_weights_are_read_gets_a_sentence(shared, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("diffdemo.weights.tensor_files.safe_open", fail)
    with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read: Input/output error"):
        ModelZoo.open(shared, "cpu")


def test_a_classifier_that_may_not_be_read_gets_a_sentence(tmp_path, monkeypatch):
    save_classifier(tmp_path)
    forbid(tmp_path / "model.safetensors", monkeypatch)
    with refused(CheckpointError, "model.safetensors cannot be read: Permission denied"):
        load_classifier(tmp_path, "cpu")
