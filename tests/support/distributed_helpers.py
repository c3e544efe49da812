"""A run small enough for two processes on a CPU; this file is also the script that torchrun starts for it."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from diffdemo.data import Dataset
from diffdemo.errors import Interrupted
from train.loop import run
from train.loop.distributed import Group, join
from train.loop.resume import locked
from train.loop.run import RunOptions, resolve, set_up_process
from train.loop.settings import Settings
from train.loop.task import Task
from train.loop.trainer import Trainer

SPOILED_STEP, STEPS = 5, 40


class MirrorTask(Task):
    """Learn to mirror pictures out of some noise.

    Args:
        spoil: whether the loss of the k-th call in training is to be NaN.

    Attributes:
        labels, noise: what each call in training got: the labels, and the first number drawn for it.
    """

    def __init__(self, spoil: Callable[[int], bool]):
        torch.manual_seed(int(os.environ.get("RANK", 0)))  # the second process has to take over the first's weights
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 3, 3, padding=1))
        self.spoil, self.labels, self.noise = spoil, [], []

    def prepare(self, examples, random, train):
        pictures = super().prepare(examples, random, False)
        self.drawn = torch.randn(pictures.shape, generator=random)
        return pictures + 0.3 * self.drawn

    def loss(self, network, batch, labels, random, train):
        loss = (network(batch) - batch.flip(3)).square().mean()
        if train:
            self.labels.append(labels.tolist())
            self.noise.append(float(self.drawn.flatten()[0]))
            if self.spoil(len(self.labels)):
                loss = loss * float("nan")
        return loss

    def info(self, training):
        return SimpleNamespace(key="mirror")

    def save_checkpoint(self, folder, weights, training):
        pass

    def draw(self, folder, network, name):
        assert os.environ.get("RANK", "0") == "0"


def forty_pictures() -> Dataset:
    """Noise; the label of each picture is its own number."""
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    return Dataset(images, np.arange(40), tuple(map(str, range(40))), "forty pictures")


def settings(out: Path, **changes) -> Settings:
    """Of a run of 40 steps of 16 pictures, on two processes; fast averages, so that they differ."""
    chosen = {"images": 16 * STEPS, "batch_size": 8, "warmup_images": 0, "precision": "fp32", "lr": 0.01}
    return Settings(out=out, save_minutes=0, ema_decay=0.5, slow_ema_decay=0.7, **chosen | changes)


class Killed(Trainer):
    """Gets SIGTERM in the second process only after step 10, and SIGKILL in both after step 25."""

    def train_step(self):
        super().train_step()
        if self.step == 10 and self.group.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.step == 25:
            os.kill(os.getpid(), signal.SIGKILL)


def script(out: Path, resume: bool, group: Group | None = None) -> None:
    """What a training script does, in `out`; the processes may have met already."""
    options, chosen = resolve(RunOptions(device="cpu", resume=resume), settings(out), set(), {})
    group = group or set_up_process(options)
    with locked(out):
        run.train(new_task(resume), options, chosen, (forty_pictures(), forty_pictures()), {}, group)


def new_task(resumed: bool = False) -> MirrorTask:
    """A task that is spoiled once, in the second process only; once it is resumed, that is over."""
    return MirrorTask(lambda call: not resumed and os.environ["RANK"] == "1" and call == SPOILED_STEP)


def main(folder: Path) -> None:
    """Train in `folder/whole` at a stretch; then in `folder/killed`, interrupted, resumed and killed on the way."""
    group, task = join(torch.device("cpu")), new_task()
    whole = Trainer(task, settings(folder / "whole"), *[forty_pictures()] * 2, torch.device("cpu"), group=group)
    whole.run()
    states = [part.state_dict() for part in (task.network, whole.averaged, whole.slow)]
    facts = task.labels, task.noise, whole.meter.skipped, whole.seconds
    torch.save((states, facts), folder / f"rank{group.rank}.pt")

    run.Trainer = Killed
    try:
        script(folder / "killed", resume=False, group=group)
    except Interrupted as interrupted:
        assert "after 160 images" in str(interrupted)
        script(folder / "killed", resume=True, group=group)


if __name__ == "__main__":
    main(Path(sys.argv[1])) if sys.argv[2:] != ["resume"] else script(Path(sys.argv[1]), resume=True)
