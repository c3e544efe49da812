"""Saving checkpoints: what is saved comes back, and what cannot be saved leaves the old one as it was."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentences import refused

from diffdemo import checkpoint, description
from diffdemo.checkpoint import load_network, load_weights, parameter_count, save_checkpoint
from diffdemo.description import CONFIG, read_info
from diffdemo.errors import CheckpointError
from diffdemo.weights import tensor_files
from diffdemo.weights.tensor_files import sha256

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_checkpoints, tmp_path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_checkpoints / "attention_unet", tmp_path / "attention_unet"))


def other_weights(info) -> dict[str, torch.Tensor]:
    torch.manual_seed(9)
    return {name: torch.randn_like(value) for name, value in info.build_network().state_dict().items()}


def assert_same(weights, expected) -> None:
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value.half().float()), name


def test_what_is_saved_comes_back_in_half_precision(tmp_path, tiny_checkpoints):
    info = read_info(tiny_checkpoints / "simple_unet")
    weights = other_weights(info)
    saved = save_checkpoint(tmp_path / "new" / "folder", replace(info, metrics={"fid": 12.5}), weights)
    network, loaded = load_network(tmp_path / "new" / "folder")
    assert_same(network.state_dict(), weights)
    assert loaded == saved and loaded.metrics == {"fid": 12.5}
    assert replace(loaded, files=info.files, metrics={}) == info
    assert loaded.parameters == parameter_count(network)
    assert loaded.files == {WEIGHTS: sha256(tmp_path / "new" / "folder" / WEIGHTS)}
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [CONFIG, WEIGHTS]
    assert all(value.dtype == torch.float16 for value in load_file(tmp_path / "new" / "folder" / WEIGHTS).values())


def test_weights_in_any_memory_layout_can_be_saved(folder):
    info = read_info(folder)
    network = info.build_network().to(memory_format=torch.channels_last)
    save_checkpoint(folder, info, network.state_dict())
    assert_same(load_weights(folder, read_info(folder)), network.state_dict())


def test_large_weights_are_saved_in_shards(folder, monkeypatch):
    info = read_info(folder)
    weights = other_weights(info)
    largest = max(2 * value.numel() for value in weights.values())
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", largest)
    saved = save_checkpoint(folder, info, weights)
    count = len(saved.files)
    assert list(saved.files) == [f"model-{k + 1:05}-of-{count:05}.safetensors" for k in range(count)] and count > 2
    for name in saved.files:
        shard = load_file(folder / name)
        assert sum(value.nbytes for value in shard.values()) <= largest
    assert_same(load_network(folder)[0].state_dict(), weights)


def test_a_checkpoint_replaces_another(folder, monkeypatch):
    info = read_info(folder)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "SHARD_BYTES", 2**16)
        save_checkpoint(folder, info, info.build_network().state_dict())
    weights = other_weights(info)
    save_checkpoint(folder, info, weights)
    assert_same(load_network(folder)[0].state_dict(), weights)


def test_the_description_is_moved_after_all_weights_it_vouches_for(folder, monkeypatch):
    info, move, moved = read_info(folder), os.replace, []

    def watched(source, target):
        move(source, target)
        if Path(target).parent == folder:
            moved.append(Path(target).name)

    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 2**14)
    monkeypatch.setattr(os, "replace", watched)
    saved = save_checkpoint(folder, info, other_weights(info))
    assert moved == [*saved.files, CONFIG]


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_a_file(tensors, path, metadata):
    Path(path).write_bytes(b"half")
    raise SafetensorError('I/O error: Os { code: 28, kind: StorageFull, message: "No space left on device" }')


@pytest.mark.parametrize(
    ("owner", "name", "failing"),
    [
        (tensor_files, "save_file", no_space),
        (tensor_files, "save_file", half_a_file),
        (description, "write_json", no_space),
        (Path, "write_text", no_space),
        (Path, "mkdir", no_space),
        (checkpoint, "hidden_folder", no_space),
    ],
    ids=["weights", "half the weights", "description", "description's file", "folder", "hidden folder"],
)
def test_without_space_the_previous_checkpoint_stays(folder, monkeypatch, owner, name, failing):
    info, weights = read_info(folder), load_weights(folder, read_info(folder))
    before = sorted(path.name for path in folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        with refused(CheckpointError, "there is no space left on the disk; what was there before is unchanged"):
            save_checkpoint(folder, info, other_weights(info))
    assert_same(load_network(folder)[0].state_dict(), weights)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_without_space_for_a_later_shard_the_previous_checkpoint_stays(folder, monkeypatch):
    info, weights = read_info(folder), load_weights(folder, read_info(folder))
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 2**14)
    written = []

    def fails_at_the_third(tensors, path, metadata):
        written.append(path)
        return no_space() if len(written) == 3 else save_file(tensors, path, metadata)

    monkeypatch.setattr(tensor_files, "save_file", fails_at_the_third)
    with refused(CheckpointError, "no space left"):
        save_checkpoint(folder, info, other_weights(info))
    assert len(written) == 3
    assert_same(load_network(folder)[0].state_dict(), weights)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, tiny_checkpoints):
    (tmp_path / "file").write_text("in the way")
    info = read_info(tiny_checkpoints / "simple_unet")
    with refused(CheckpointError, "file could not be written because .*exists"):
        save_checkpoint(tmp_path / "file", info, other_weights(info))
