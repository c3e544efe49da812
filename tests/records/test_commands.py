"""The commands on the Training tab make a checkpoint again, whatever folders it was made in."""

import itertools
import shlex
import sys

import pytest

from diffdemo import CHECKPOINTS
from diffdemo.records.commands import commands, install_command, shell_line, to_type
from diffdemo.records.run_folder import Record

AGAIN = "python -m train.unet --init-from"


def test_a_stage_begins_with_what_the_one_before_has_written():
    first = {"command": "python -m train.unet --out runs/a"}
    training = {"command": f"{AGAIN} checkpoints/a --out runs/more", "started_from": first}
    assert commands(training) == ["python -m train.unet --out runs/a", f"{AGAIN} runs/a --out runs/more"]


def test_no_stage_writes_a_folder_that_another_needs():
    stages: dict = {}
    for command in ("python -m x --out runs/x", "python -m x --init-from lost --out=runs/x --lr 1"):
        stages = {"command": command} | ({"started_from": stages} if stages else {})
    stages["command"] += " && python -m x --resume --out=runs/x"
    training = {"command": "python -m y --autoencoder elsewhere --out 'runs/y z'", "autoencoder": stages}
    training = {"command": "python -m y --init-from=here --out 'runs/y z'", "started_from": training}
    assert commands(training) == [
        "python -m x --out runs/x-1",
        "python -m x --init-from runs/x-1 --out=runs/x --lr 1 && python -m x --resume --out=runs/x",
        "python -m y --autoencoder runs/x --out 'runs/y z-3'",
        "python -m y '--init-from=runs/y z-3' --out 'runs/y z'",
    ]


@pytest.mark.parametrize("folder", sorted(CHECKPOINTS.glob("*/config.json")), ids=lambda path: path.parent.name)
def test_shipped_checkpoints_can_be_made_again(folder):
    """Everything that a command reads, an earlier one has written, and each writes a folder of its own."""
    made = set()
    for command in Record(folder.parent.name, folder.parent).command().split(" && "):
        words = shlex.split(command)
        flags = dict(itertools.pairwise(words))
        assert {flags[flag] for flag in ("--init-from", "--autoencoder") if flag in flags} <= made
        assert flags["--out"] not in made or "--resume" in words
        made.add(flags["--out"])
    assert made


def test_a_command_that_names_no_folder_is_left_alone():
    both = "python -m x --out 'my run' && python -m train.install 'my run'"
    assert install_command("python -m x --out 'my run'") == both
    assert install_command("python -m x") == "python -m x"
    assert install_command("it's") == "it's"


def test_on_windows_commands_are_quoted_for_its_own_shell(monkeypatch):
    stored = "python -m x --data 'my pictures' --out runs/it && python -m train.install runs/it"
    assert to_type(stored) == stored
    assert shell_line(["--out", "it's $5"]) == """--out 'it'"'"'s $5'"""
    monkeypatch.setattr(sys, "platform", "win32")
    assert to_type(stored) == 'python -m x --data "my pictures" --out runs/it && python -m train.install runs/it'
    assert shell_line(["--out", "it's $5"]) == '--out "it\'s $5"'
