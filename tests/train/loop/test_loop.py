"""The training loop with tasks small enough to check by hand."""

import csv
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from diffdemo.data import Dataset
from diffdemo.errors import CheckpointError, TrainingError
from train.loop.history import BAD_STEPS_IN_A_ROW
from train.loop.settings import Settings
from train.loop.state import load_state
from train.loop.task import Task
from train.loop.trainer import Trainer


class MeanTask(Task):
    """Learn the mean colour of the pictures: a loss without randomness, of one layer."""

    def __init__(self, spoil=lambda call: False):
        self.network = nn.Linear(3, 1)
        nn.init.constant_(self.network.weight, 0.5)
        nn.init.zeros_(self.network.bias)
        self.spoil, self.calls, self.saved, self.drawn = spoil, 0, [], []

    def loss(self, network, images, labels, generator, train):
        loss = (network(images.mean((2, 3)))[:, 0] - labels.float()).square().mean()
        if train:
            self.calls += 1
            if self.spoil(self.calls):
                loss = loss * float("nan")
        return loss

    def save_checkpoint(self, folder, weights, training):
        self.saved.append(training)

    def draw(self, folder, network, name):
        self.drawn.append(name)


@pytest.fixture
def data() -> Dataset:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = (rng.integers(0, 100, (40, 32, 32, 3)) + 100 * labels[:, None, None, None]).astype(np.uint8)
    return Dataset(images, labels, ("dark", "light"), "forty pictures")


def trainer(task, data, out: Path, resume=False, **settings) -> Trainer:
    defaults = {"out": out, "images": 400, "batch_size": 8, "warmup_images": 0, "precision": "fp32", "lr": 0.01}
    return Trainer(task, Settings(**defaults | settings), data, data, torch.device("cpu"), resume)


def history(out: Path) -> list[dict]:
    with (out / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_learns_validates_each_epoch_and_draws_at_epochs_1_and_every_5th(tmp_path, data):
    task = MeanTask()
    trainer(task, data, tmp_path, images=480, lr=0.05).run()
    rows = [row for row in history(tmp_path) if row["val_loss"]]
    assert [float(row["epoch"]) for row in rows] == list(range(1, 13))
    assert float(rows[-1]["val_loss"]) < 0.5 * float(rows[0]["val_loss"])
    assert task.drawn == ["epoch_0001", "epoch_0005", "epoch_0010", "final"]
    assert task.saved[-1]["images_seen"] == 480
    assert float(history(tmp_path)[-1]["lr"]) == 0


def test_checkpoints_are_kept_each_time_so_many_images_were_seen(tmp_path, data):
    task, kept = MeanTask(), {}
    task.save_checkpoint = lambda folder, weights, training: kept.__setitem__(
        folder.relative_to(tmp_path).as_posix(), (training["images_seen"], weights["weight"].clone())
    )
    trainer(task, data, tmp_path, images=104, snapshot_every_images=50).run()
    names = ["snapshots/images_000000050", "snapshots/images_000000100", "."]
    assert [(name, images) for name, (images, _) in kept.items()] == list(zip(names, (56, 104, 104), strict=True))
    assert torch.equal(kept["."][1], kept[names[1]][1]) and not torch.equal(kept["."][1], kept[names[0]][1])


def test_a_run_that_goes_on_from_a_checkpoint_keeps_that_too_and_one_without_room_goes_on(tmp_path, data, capsys):
    task, kept = MeanTask(), []
    task.started_from = {"images_seen": 1000}
    trainer(task, data, tmp_path, images=16, snapshot_every_images=16).run()
    assert [training["images_seen"] for training in task.saved] == [0, 16, 16]

    def no_room(folder, weights, training):
        if "snapshots" in str(folder):
            raise CheckpointError("There is no space left in snapshots.")
        kept.append(folder)

    task = MeanTask()
    task.save_checkpoint = no_room
    trainer(task, data, tmp_path / "b", images=16, snapshot_every_images=8).run()
    assert kept == [tmp_path / "b"]
    assert "Not kept: There is no space left" in capsys.readouterr().err


def test_accumulated_steps_equal_one_large_batch(tmp_path, data):
    large, small = MeanTask(), MeanTask()
    trainer(large, data, tmp_path / "a", batch_size=32, images=320).run()
    trainer(small, data, tmp_path / "b", batch_size=8, accumulate=4, images=320).run()
    assert large.calls == 10
    assert small.calls == 40
    assert torch.allclose(large.network.weight, small.network.weight, atol=1e-5)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(tmp_path, data):
    task = MeanTask(spoil=lambda call: call == 5)
    run = trainer(task, data, tmp_path)
    weights = []
    original = run.optimizer.step

    def watched():
        original()
        weights.append([p.clone() for p in run.parameters] + [p.clone() for p in run.averaged.module.parameters()])

    run.optimizer.step = watched
    run.run()
    assert all(torch.equal(before, after) for before, after in zip(weights[3][:2], weights[4][:2], strict=True))
    assert not torch.equal(weights[4][0], weights[5][0])
    assert all(p.isfinite().all() for p in run.averaged.module.parameters())
    assert task.saved[-1]["skipped_steps"] == 1
    assert history(tmp_path)[-1]["skipped"] == "1"


def test_many_bad_steps_in_a_row_stop_the_run_with_a_sentence_and_finite_weights(tmp_path, data):
    run = trainer(MeanTask(spoil=lambda call: call > 7), data, tmp_path, images=100_000)
    with pytest.raises(
        TrainingError, match=r"steps had a loss or gradient that is not finite; resume with a lower --lr"
    ):
        run.run()
    assert run.step <= 7 + 2 * BAD_STEPS_IN_A_ROW
    assert all(p.isfinite().all() for p in run.parameters)


def test_gradients_are_clipped(tmp_path, data):
    run = trainer(MeanTask(), data, tmp_path, clip_norm=1e-3, images=8)
    norms = []
    original = run.optimizer.step

    def watched():
        norms.append(torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in run.parameters])).item())
        original()

    run.optimizer.step = watched
    run.run()
    assert norms == [pytest.approx(1e-3, rel=1e-3)]
    assert float(history(tmp_path)[0]["grad_norm"]) > 0.1  # the history has the norm before clipping


def test_patience_ends_a_run_that_no_longer_improves(tmp_path, data):
    run = trainer(MeanTask(), data, tmp_path, images=400_000, lr=0.5, patience=3)
    run.run()
    losses = [float(row["val_loss"]) for row in history(tmp_path) if row["val_loss"]]
    assert run.images_seen < 400_000
    assert min(losses) == min(losses[:-3])


def test_minutes_end_a_run_with_the_learning_rate_at_zero(tmp_path, data):
    run = trainer(MeanTask(), data, tmp_path, images=10**9, max_minutes=0.05)
    run.run()
    assert 3 <= run.seconds < 6
    assert float(history(tmp_path)[-1]["lr"]) < 0.01 * 0.02


def test_resuming_ends_where_the_uninterrupted_run_ends(tmp_path, data):
    whole = trainer(MeanTask(), data, tmp_path / "whole")
    whole.run()
    part = trainer(MeanTask(), data, tmp_path / "part", save_minutes=0)
    steps = 0

    def stop_after_17():
        nonlocal steps
        steps += 1
        if steps == 17:
            raise KeyboardInterrupt

    part.meter.check_finite = lambda: None
    part._after_epoch, after = (lambda: (after(), stop_after_17())), part._after_epoch
    with pytest.raises(KeyboardInterrupt):
        part.run()
    again = trainer(MeanTask(), data, tmp_path / "part", resume=True)
    assert 0 < again.step < 17
    again.run()
    assert torch.equal(whole.network.weight, again.network.weight)
    assert torch.equal(whole.averaged.module.weight, again.averaged.module.weight)
    assert (tmp_path / "whole/history.csv").read_bytes() == (tmp_path / "part/history.csv").read_bytes()


@pytest.mark.parametrize("lr", [1e-4, 0.5])
def test_of_two_averages_the_better_on_held_out_pictures_becomes_the_checkpoint(tmp_path, data, lr):
    """With a low learning rate the fast one is ahead; where the weights jump about the slow one is calmer."""
    task = MeanTask()
    run = trainer(task, data, tmp_path, lr=lr, decay_start=1.0, ema_decay=0.1, slow_ema_decay=0.8)
    weights = []
    task.save_checkpoint = lambda folder, shipped, training: weights.append(shipped) or task.saved.append(training)
    run.run()
    losses = [run.held_out.loss(average.module) for average in (run.averaged, run.slow)]
    better = (run.averaged, run.slow)[losses[1] < losses[0]]
    assert (better is run.slow) == (lr == 0.5)
    assert all(torch.equal(weights[-1][name], value) for name, value in better.module.state_dict().items())
    assert task.saved[-1]["ema_decay"] == better.decay
    assert task.saved[-1]["average_losses"] == {"0.1": round(losses[0], 6), "0.8": round(losses[1], 6)}
    assert task.saved[-1]["val_loss"] == round(min(losses), 5)
    again = trainer(MeanTask(), data, tmp_path, lr=lr, decay_start=1.0, ema_decay=0.1, slow_ema_decay=0.8, resume=True)
    assert torch.equal(again.slow.module.weight, run.slow.module.weight)


def test_resuming_a_run_of_another_network_is_refused(tmp_path, data):
    trainer(MeanTask(), data, tmp_path).run()
    other = MeanTask()
    other.network = nn.Linear(3, 2)
    with pytest.raises(TrainingError, match="holds a run of another network"):
        trainer(other, data, tmp_path, resume=True)


def test_without_space_the_run_goes_on_keeps_the_last_state_and_says_so_at_the_end(tmp_path, data, monkeypatch, capsys):
    run = trainer(MeanTask(), data, tmp_path, save_minutes=0)
    real_replace, full = os.replace, []

    def replace(source, target):
        if full and str(target).endswith("state.safetensors"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    original = run.optimizer.step

    def step():
        original()
        if run.step == 20:
            full.append(True)

    run.optimizer.step = step
    with pytest.raises(CheckpointError, match="no space left on the disk; what was there before is unchanged"):
        run.run()
    assert run.images_seen == 400
    assert "Not saved" in capsys.readouterr().err
    state = load_state(tmp_path)
    assert 0 < state["step"] <= 20
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "trouble, said",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "Not drawn: [Errno 28] No space left on device"),
        (TypeError("incompatible function arguments"), "Not drawn: TypeError: incompatible function arguments"),
    ],
)
def test_a_picture_that_cannot_be_drawn_does_not_end_the_run(tmp_path, data, capsys, trouble, said):
    task = MeanTask()

    def draw(folder, network, name):
        raise trouble

    task.draw = draw
    run = trainer(task, data, tmp_path)
    run.run()
    assert run.images_seen == 400
    assert capsys.readouterr().err.count(said) == 4  # after each of three epochs, and at the end


def test_the_validation_loss_of_a_finished_checkpoint_is_that_of_its_weights(tmp_path, data):
    task = MeanTask()
    run = trainer(task, data, tmp_path, images=12 * len(data) // 10)
    run.run()
    assert float(history(tmp_path)[-1]["val_loss"]) == run.held_out.loss(run.averaged.module)
    assert task.saved[-1]["val_loss"] == round(run.held_out.loss(run.averaged.module), 5)


def test_a_run_goes_on_in_any_precision(tmp_path, data):
    for place, precision in enumerate(("fp32", "fp16", "bf16", "fp16")):
        task = MeanTask()
        trainer(task, data, tmp_path, resume=place > 0, images=80 * (place + 1), precision=precision).run()
    assert task.saved[-1]["images_seen"] == 320


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_to_finite_weights(tmp_path, data, precision):
    task = MeanTask()
    run = trainer(task, data, tmp_path, precision=precision, lr=0.05)
    run.run()
    losses = [float(row["val_loss"]) for row in history(tmp_path) if row["val_loss"]]
    assert losses[-1] < losses[0]
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in run.parameters)
