"""Unfinished files: none is left behind, and those that a killed process left are known by their names."""

from pathlib import Path

import numpy as np
import pytest

from diffdemo import atomic, description
from diffdemo.checkpoint import save_checkpoint
from diffdemo.cli import sample as cli_sample
from diffdemo.description import read_info
from diffdemo.errors import DiffdemoError
from diffdemo.weights.tensor_files import save_tensors


def kill(*_arguments, **_keywords):
    raise OSError("killed here")


def a_file(folder: Path, _tiny) -> None:
    atomic.write_atomically(folder / "loss.png", lambda path: path.write_text("half") and kill())


def a_folder(folder: Path, _tiny) -> None:
    atomic.write_atomically(folder / "samples", lambda path: path.mkdir() or kill())


def a_checkpoint(folder: Path, tiny: Path) -> None:
    info = read_info(tiny / "simple_unet")
    save_checkpoint(folder, info, info.build_network().state_dict())


def weights(folder: Path, tiny: Path) -> None:
    network = read_info(tiny / "simple_unet").build_network()
    save_tensors(folder / "state.safetensors", network.state_dict(), {})


def pictures(folder: Path, _tiny) -> None:
    cli_sample._save_folder(folder, np.zeros((2, 32, 32, 3), np.uint8), [1, 2], 1)


@pytest.mark.parametrize("write", [a_file, a_folder, a_checkpoint, weights, pictures])
@pytest.mark.parametrize("killed", [True, False])
def test_what_a_killed_process_leaves_is_removed(tmp_path, tiny_checkpoints, monkeypatch, write, killed):
    for owner, name in ((description, "write_json"), (atomic.os, "replace"), (cli_sample, "save_png")):
        monkeypatch.setattr(owner, name, kill)
    (tmp_path / ".lock").touch()
    (tmp_path / ".git-that-is-not-ours").mkdir()
    with monkeypatch.context() as dead:
        if killed:  # a process that is killed tidies nothing up
            dead.setattr(atomic, "_remove", lambda path: None)
        with pytest.raises((OSError, DiffdemoError), match="killed here"):
            write(tmp_path, tiny_checkpoints)
    assert bool({path.name for path in tmp_path.iterdir()} - {".lock", ".git-that-is-not-ours"}) == killed
    atomic.remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", ".git-that-is-not-ours"}
