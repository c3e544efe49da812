"""The forward process on pictures: how noise hides them, level by level, always with the same noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from diffdemo import validate
from diffdemo.process.diffusion import add_noise
from diffdemo.process.samplers import SeededNoise
from diffdemo.process.schedule import NoiseSchedule

if TYPE_CHECKING:
    from diffdemo.generator import Generator


@dataclass(frozen=True)
class Level:
    """The numbers of one noise level: x_t = signal * x0 + noise * eps (Ho et al. 2020, equation 4).

    Attributes:
        t: the training step, 0 (nearly clean) to T - 1 (nearly pure noise).
        signal: sqrt(alpha_bar_t).
        noise: sqrt(1 - alpha_bar_t).
        snr: alpha_bar_t / (1 - alpha_bar_t), the signal-to-noise ratio.
    """

    t: int
    signal: float
    noise: float
    snr: float


def curves(schedule: NoiseSchedule) -> np.ndarray:
    """(3, T) float32: signal, noise and snr of `Level` at every training step."""
    return np.stack([schedule.alpha_bar**0.5, (1 - schedule.alpha_bar) ** 0.5, schedule.snr]).astype(np.float32)


class Trajectory:
    """Pictures on their way into noise. Each has one noise of its own, so that its levels form one path.

    The noise of seed s is the one that `Generator.sample` starts with for seed s: at t = T - 1 a trajectory nearly
    meets the run of that seed. A model of latents adds its noise to the latents.

    Attributes:
        x0: (N, *shape) float32, the pictures in the model's own space.
        eps: (N, *shape) float32, their noise.

    Args:
        model: whose schedule and space these are.
        pictures: (N, H, W, 3) uint8 of the model's image size.
        seeds: one whole number from 0 to 2^64 - 1 for each picture.

    Raises:
        RequestError: a seed is out of range, or there is not one for each picture.
    """

    def __init__(self, model: "Generator", pictures: np.ndarray, seeds: Sequence[int]):
        seeds = validate.seeds(seeds)
        if len(seeds) != len(pictures):
            raise validate.RequestError(f"There must be one seed for each picture: {len(seeds)} for {len(pictures)}.")
        self.schedule = model.diffusion.schedule
        self.x0 = model.states(pictures)
        self.eps = SeededNoise(seeds, model.shape, model.device)()

    def level(self, t: object) -> Level:
        """The numbers at training step t, which RequestError refuses unless it is a whole number from 0 to T - 1."""
        t = validate.whole_number("t", t, 0, self.schedule.steps - 1)
        alpha_bar = float(self.schedule.alpha_bar[t])
        return Level(t, alpha_bar**0.5, (1 - alpha_bar) ** 0.5, float(self.schedule.snr[t]))

    def at(self, t: object) -> Tensor:
        """x_t, (N, *shape) float32, at training step t; errors as for `level`."""
        alpha_bar = self.schedule.alpha_bar[self.level(t).t]
        return add_noise(self.x0, self.eps, torch.tensor(alpha_bar, dtype=torch.float32, device=self.x0.device))

    def even_in_log_snr(self, count: int) -> list[int]:
        """`count` training steps, 0 and T - 1 among them, whose log SNR falls as evenly as whole steps allow."""
        falls = np.log(self.schedule.snr)
        return [int(np.abs(falls - level).argmin()) for level in np.linspace(falls[0], falls[-1], count)]

    def spread(self, count: int) -> list[int]:
        """`count` training steps spread evenly from 0 to T - 1, both among them."""
        return np.linspace(0, self.schedule.steps - 1, count).round().astype(int).tolist()
