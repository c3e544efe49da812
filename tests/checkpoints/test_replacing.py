"""Putting a file in the place of one that another program has open, which Windows refuses."""

import os

import pytest
from sentences import refused

from diffdemo import atomic
from diffdemo.checkpoint import load_network, save_checkpoint
from diffdemo.description import read_info
from diffdemo.errors import CheckpointError


@pytest.fixture
def held_open(monkeypatch):
    """A Windows, as far as replacing goes; give a list of the refusals still to come before a file is let go of."""
    refusals, replace = [], os.replace

    def refuse(source, target):
        if refusals:
            raise PermissionError(13, "Access is denied", str(target), refusals.pop())
        replace(source, target)

    monkeypatch.setattr(atomic.sys, "platform", "win32")
    monkeypatch.setattr(atomic.os, "replace", refuse)
    monkeypatch.setattr(atomic.time, "sleep", lambda seconds: None)
    return refusals


def test_a_file_that_is_open_for_a_moment_is_replaced_when_it_is_closed(tmp_path, held_open):
    (tmp_path / "loss.csv").write_text("before")
    held_open += [5, 32, 32]
    atomic.write_atomically(tmp_path / "loss.csv", lambda path: path.write_text("after"))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("loss.csv", "after")]


def test_a_checkpoint_that_stays_open_gets_a_sentence_and_is_as_it_was(tmp_path, tiny_checkpoints, held_open):
    info = read_info(tiny_checkpoints / "simple_unet")
    kept = save_checkpoint(tmp_path, info, info.build_network().state_dict())
    held_open += [32] * 99
    with refused(CheckpointError, "could not be written because .* has it open, such as the page; close that"):
        save_checkpoint(tmp_path, info, info.build_network().state_dict())
    assert load_network(tmp_path)[1] == kept
    assert len(held_open) == 99 - len(atomic.PATIENCE) - 1  # it was tried for a while
