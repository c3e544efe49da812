"""What a training run draws: sample grids while it trains, strips and the loss curve when it ends."""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from diffdemo import figures
from diffdemo.data import Dataset
from diffdemo.data.pixels import to_images, to_pixels
from diffdemo.description import CheckpointInfo
from diffdemo.generator import Generator
from diffdemo.loading import generator_for
from diffdemo.process.diffusion import add_noise
from diffdemo.process.samplers import SeededNoise
from diffdemo.records.files import BACKWARD, FORWARD, HISTORY, LOSS, SAMPLES, STRIP

PER_ROW, ROWS_WITHOUT_CLASS = 6, 4
STRIP_COLUMNS = 8


def draw_samples(folder: Path, network: nn.Module, info: CheckpointInfo, name: str, subfolder: str = SAMPLES) -> None:
    """`<subfolder>/<name>.png`: the same seeds at every moment of the run, one row for each class.

    Without classes there are a few rows of as many pictures with other seeds.
    """
    names = info.classes or [f"seeds {k} to {k + PER_ROW - 1}" for k in range(0, ROWS_WITHOUT_CLASS * PER_ROW, PER_ROW)]
    classes = [name for name in info.classes for _ in range(PER_ROW)] or None
    seeds = [*range(PER_ROW)] * len(names) if info.classes else range(len(names) * PER_ROW)
    # All rows at once: a batch of six leaves most of a processor idle.
    pictures = _generator(network, info).sample(classes, seeds=seeds)
    rows = dict(zip(names, np.split(pictures, len(names)), strict=True))
    figures.class_grid(rows, folder / subfolder / f"{name}.png", title=_title(name, info))


def draw_steps(folder: Path, network: nn.Module, info: CheckpointInfo, name: str, subfolder: str) -> None:
    """`<subfolder>/<name>_steps.png`: a sample of each class step by step, above the states, below the guesses."""
    generator = _generator(network, info)
    rows = []
    for class_name in info.classes or (None,):
        steps = list(generator.denoise(class_name, seeds=[0]))
        rows.append([*(step.x_t for step in steps), steps[-1].x_prev])
        rows.append([*(step.x0 for step in steps), steps[-1].x_prev])
    pictures = np.stack([to_images(torch.cat(row)) for row in rows])
    labels = [*(f"t = {step.t}" for step in steps), "sample"]
    title = f"{', '.join(info.classes) or 'any'}: {_title(name, info)}"
    figures.strip(pictures, labels, folder / subfolder / f"{name}{STRIP}.png", title=title)


def _title(name: str, info: CheckpointInfo) -> str:
    return f"{name.replace('_', ' ')}, guidance {info.defaults['guidance_scale']:g}"


def draw_summary(folder: Path, network: nn.Module, info: CheckpointInfo, data: Dataset) -> None:
    """`loss.png`, `forward.png` (a picture drowning in noise) and `backward.png` (noise becoming a picture)."""
    figures.loss_curve(folder / HISTORY, folder / LOSS, title=info.spec.title)
    generator = _generator(network, info)
    schedule = generator.diffusion.schedule
    visited = np.linspace(0, schedule.steps - 1, STRIP_COLUMNS).astype(int)
    x0 = to_pixels(np.array(data.images[:1]))
    eps = SeededNoise([0], generator.shape)()
    alpha_bar = torch.from_numpy(schedule.alpha_bar[visited]).float()[:, None, None, None]
    noisy = to_images(add_noise(x0, eps, alpha_bar))
    figures.strip(noisy, [f"t = {t}" for t in visited], folder / FORWARD, title="Forward process")

    class_name = info.classes[-1] if info.classes else None
    steps = list(generator.denoise(class_name, seeds=[0], steps=min(50, schedule.steps)))
    shown = [steps[i] for i in np.linspace(0, len(steps) - 1, STRIP_COLUMNS).astype(int)]
    frames = [to_images(step.x_t)[0] for step in shown] + [to_images(steps[-1].x_prev)[0]]
    labels = [f"t = {step.t}" for step in shown] + ["sample"]
    figures.strip(np.stack(frames), labels, folder / BACKWARD, title=f"Backward process: {class_name or 'any'}")


def _generator(network: nn.Module, info: CheckpointInfo) -> Generator:
    # a copy, because a generator switches its network to evaluation mode and may move it
    device = next(network.parameters()).device
    return generator_for(copy.deepcopy(network), info, device)
