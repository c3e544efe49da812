"""The precision of training and of evaluations, where a stand-in says what this CPU is fast at."""

import numpy as np
import pytest
import torch
from distributed_helpers import MirrorTask, forty_pictures, settings

from train.evaluate.options import MeasuringOptions
from train.loop.run import RunOptions, train
from train.loop.trainer import Trainer


@pytest.fixture
def bf16_takes(monkeypatch):
    """A function that sets how long bf16 takes, if fp32 takes 1."""

    def pretend(time: float) -> None:
        monkeypatch.setattr("diffdemo.device.relative_time", {"fp32": 1.0, "bf16": time}.__getitem__)

    return pretend


def trainer(out, resume=False, **changes) -> Trainer:
    data = forty_pictures()
    task = MirrorTask(lambda call: False)
    return Trainer(task, settings(out, **changes), data, data, torch.device("cpu"), resume)


def test_a_run_keeps_the_precision_that_was_measured_when_it_began(tmp_path, bf16_takes):
    bf16_takes(0.3)
    first = trainer(tmp_path, precision="auto", images=32)
    assert first.precision == "bf16"
    first.run()
    bf16_takes(3)
    assert trainer(tmp_path / "other", precision="auto").precision == "fp32"
    assert trainer(tmp_path, resume=True, precision="auto").precision == "bf16"
    assert trainer(tmp_path, resume=True, precision="fp32").precision == "fp32"


@pytest.mark.parametrize(("precision", "said"), [("bf16", True), ("fp32", False), ("auto", False)])
def test_training_and_measuring_in_the_slow_precision_is_said(
    tmp_path, all_checkpoints, bf16_takes, capsys, precision, said
):
    bf16_takes(3)
    sentence = "Note: bf16 takes 3 times as long as fp32 on this machine; --precision auto is fp32 here.\n"
    data, task = forty_pictures(), MirrorTask(lambda call: False)
    train(task, RunOptions(device="cpu"), settings(tmp_path, precision=precision, images=16), (data, data), {})
    assert (sentence in capsys.readouterr().err) == said
    _, model = MeasuringOptions(device="cpu", precision=precision, checkpoints=all_checkpoints).load("simple_unet")
    assert capsys.readouterr().err == sentence * said
    assert model.precision == ("bf16" if said else "fp32")
    assert np.isfinite(model.sample(steps=1)).all()
