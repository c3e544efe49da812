"""A small data set, classifier and commands, on which figures are measured."""

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from unittest import mock

import pytest
import torch

from diffdemo.checkpoint import load_network, parameter_count, save_checkpoint
from diffdemo.data import CIFAR10_CLASSES as CLASSES
from diffdemo.data import make_toy_dataset
from diffdemo.measure.classifier import ClassifierInfo
from diffdemo.models.classifier import Classifier, ClassifierConfig
from train.evaluate import __main__ as evaluate
from train.evaluate import draw as drawn
from train.flags import run_command


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """40 training pictures and 10 test pictures."""
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=4)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The checkpoint of a small classifier with random weights: its features are as good as any for arithmetic."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    config = ClassifierConfig((8, 16))
    network = Classifier(config)
    save_checkpoint(folder, ClassifierInfo(asdict(config), CLASSES, parameter_count(network)), network.state_dict())
    return folder


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory):
    """Weights of pytorch-fid's Inception, random ones of the right shape; large enough for signals to get through."""
    from pytorch_fid import inception

    torch.manual_seed(0)
    with (
        mock.patch.object(inception, "load_state_dict_from_url"),
        mock.patch.object(torch.nn.Module, "load_state_dict"),
    ):
        network = inception.fid_inception_v3()
    state = {name: 6**0.5 * value if value.ndim == 4 else value for name, value in network.state_dict().items()}
    torch.save(state, path := tmp_path_factory.mktemp("inception") / "inception.pth")
    return path


@pytest.fixture
def run(toy, classifier, all_checkpoints, tmp_path, monkeypatch, capsys):
    """A function that runs the command with these flags; its stdout, or its stderr if `code` is not 0."""

    def run_once(*flags: object, code: int = 0, command: Callable = evaluate.main) -> str:
        standard = ["--data", toy, "--classifier", classifier, "--device", "cpu"]
        if "--model" in flags:
            standard += ["--checkpoints", all_checkpoints, "--steps", 2]
        monkeypatch.setattr(sys, "argv", ["command", *map(str, [*standard, *flags])])
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(drawn, "SHARD", 10)  # nothing here asks for many more
        monkeypatch.setattr("diffdemo.device.relative_time", {"fp32": 1.0, "bf16": 3.0}.__getitem__)
        try:
            run_command(command, sys.modules[command.__module__].Options)
        except SystemExit as stopped:
            out, err = capsys.readouterr()
            assert (stopped.code, out) == (code, ""), err
            return err
        assert code == 0
        return capsys.readouterr().out

    return run_once


@pytest.fixture
def refusal(run):
    """A function that runs the command and gives the one sentence with which it must refuse."""

    def refuse(*flags: object, command: Callable = evaluate.main, code: int = 2) -> str:
        said = run(*flags, code=code, command=command)
        assert said.startswith("Error: ") and said.endswith(".\n") and said.count("\n") == 1 and len(said) < 500, said
        return said

    return refuse


@pytest.fixture
def trained(all_checkpoints, tmp_path):
    """A run of 300 images that went on from one of 1,000 and kept its weights at 100, 200 and at the end."""
    network, info = load_network(all_checkpoints / "attention_unet")
    before = {"images_seen": 1000}
    for name, images in (("snapshots/a", 100), ("snapshots/b", 200), ("snapshots/c", 300), (".", 300)):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=1e-5 * images)
        training = {"images_seen": images, "started_from": before}
        save_checkpoint(tmp_path / "run" / name, replace(info, training=training), network.state_dict())
    return tmp_path / "run"
