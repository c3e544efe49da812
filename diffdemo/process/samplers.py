"""Samplers: each turns noise into a sample, step by step, and fits on a screen.

A sampler knows a schedule and a function `predict(x_t, t) -> (x0, eps)`, where t is one training step for the whole
batch. It has never heard of networks, classes or latents, and works in whatever dtype and shape x_T has. Each takes
`start`, the training step that its first state belongs to, T - 1 unless given, and `spacing`, how a run's steps lie
between that and clean (see `NoiseSchedule.timesteps`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
import torch
from torch import Tensor

from diffdemo.errors import RequestError
from diffdemo.process.schedule import NoiseSchedule

Predict = Callable[[Tensor, int], tuple[Tensor, Tensor]]
Noise = Callable[[], Tensor]


@dataclass(frozen=True)
class Step:
    """One step of a run: where it stood, what the model guessed, where it went.

    Attributes:
        index: 0 for the first step, steps - 1 for the last.
        t: the training step at which the network looked, falling from T - 1, or from where the run started.
        x_t: (N, ...) the state at t.
        x0: (N, ...) the guess of the clean sample from x_t.
        x_prev: (N, ...) the state after the step; after the last one it is the sample itself.
        snr: signal-to-noise ratio of x_t.
        nfe: network evaluations for each sample up to here.
        guide_nfe: those of them that were guidance's; a sampler alone has none.
    """

    index: int
    t: int
    x_t: Tensor
    x0: Tensor
    x_prev: Tensor
    snr: float
    nfe: int
    guide_nfe: int = 0


def _visits(
    schedule: NoiseSchedule, steps: int, start: int | None, spacing: str
) -> Iterator[tuple[int, int, float, float]]:
    """(index, t, alpha_bar at t, alpha_bar after the step) of each step; the last step ends clean, alpha_bar = 1."""
    visited = schedule.timesteps(steps, start, spacing)
    levels = [float(schedule.alpha_bar[t]) for t in visited] + [1.0]
    for index, t in enumerate(visited):
        yield index, t, levels[index], levels[index + 1]


def ddpm(
    predict: Predict,
    x: Tensor,
    schedule: NoiseSchedule,
    steps: int,
    noise: Noise,
    start: int | None = None,
    spacing: str = "trailing",
    variance: str = "small",
) -> Iterator[Step]:
    """Ancestral sampling, Ho et al. 2020, equations 6 and 7, over a part of the steps.

    With beta = 1 - a_t / a_prev the posterior mean is
    sqrt(a_prev) beta / (1 - a_t) x0 + sqrt(1 - beta) (1 - a_prev) / (1 - a_t) x_t; the variance is "small",
    beta (1 - a_prev) / (1 - a_t), or "large", beta. The last step adds no noise.
    """
    if variance not in ("small", "large"):
        raise RequestError(f"The variance of DDPM is small or large, not {variance!r}.")
    for index, t, a_t, a_prev in _visits(schedule, steps, start, spacing):
        x0, _ = predict(x, t)
        beta = 1 - a_t / a_prev
        mean = sqrt(a_prev) * beta / (1 - a_t) * x0 + sqrt(1 - beta) * (1 - a_prev) / (1 - a_t) * x
        share = (1 - a_prev) / (1 - a_t) if variance == "small" else 1.0
        x_prev = mean + sqrt(beta * share) * noise() if a_prev < 1 else x0
        yield Step(index, t, x, x0, x_prev, a_t / (1 - a_t), index + 1)
        x = x_prev


def ddim(
    predict: Predict,
    x: Tensor,
    schedule: NoiseSchedule,
    steps: int,
    noise: Noise,
    start: int | None = None,
    spacing: str = "trailing",
    eta: float = 0.0,
) -> Iterator[Step]:
    """Song et al. 2021, equations 12 and 16 (https://arxiv.org/abs/2010.02502); eta 0 is deterministic, 1 is DDPM."""
    if not 0 <= eta <= 1:
        raise RequestError(f"eta must lie between 0 (deterministic) and 1 (DDPM), not {eta}.")
    for index, t, a_t, a_prev in _visits(schedule, steps, start, spacing):
        x0, eps = predict(x, t)
        sigma = eta * sqrt((1 - a_prev) / (1 - a_t) * (1 - a_t / a_prev))
        x_prev = sqrt(a_prev) * x0 + sqrt(1 - a_prev - sigma**2) * eps if a_prev < 1 else x0
        if sigma > 0:
            x_prev = x_prev + sigma * noise()
        yield Step(index, t, x, x0, x_prev, a_t / (1 - a_t), index + 1)
        x = x_prev


def dpmpp(
    predict: Predict,
    x: Tensor,
    schedule: NoiseSchedule,
    steps: int,
    noise: Noise,
    start: int | None = None,
    spacing: str = "trailing",
) -> Iterator[Step]:
    """DPM-Solver++(2M), Lu et al. 2022, algorithm 2 (https://arxiv.org/abs/2211.01095).

    A multistep method of second order in the log signal-to-noise ratio, lambda = ln sqrt(a / (1 - a)). It needs one
    evaluation a step; its first and last steps are of first order.
    """
    previous_x0, previous_h = None, None
    for index, t, a_t, a_prev in _visits(schedule, steps, start, spacing):
        x0, _ = predict(x, t)
        if a_prev < 1:
            h = 0.5 * (log(a_prev / (1 - a_prev)) - log(a_t / (1 - a_t)))
            guess = x0 if previous_x0 is None else x0 + h / (2 * previous_h) * (x0 - previous_x0)
            x_prev = sqrt((1 - a_prev) / (1 - a_t)) * x - sqrt(a_prev) * (exp(-h) - 1) * guess
            previous_x0, previous_h = x0, h
        else:
            x_prev = x0
        yield Step(index, t, x, x0, x_prev, a_t / (1 - a_t), index + 1)
        x = x_prev


def heun(
    predict: Predict,
    x: Tensor,
    schedule: NoiseSchedule,
    steps: int,
    noise: Noise,
    start: int | None = None,
    spacing: str = "trailing",
) -> Iterator[Step]:
    """Karras et al. 2022, algorithm 1, on the schedule's own noise levels: two evaluations a step, one in the last.

    In y = x / sqrt(a) and sigma = sqrt((1 - a) / a) the probability flow is dy / dsigma = eps. A step in which sigma
    falls to less than a tenth stays Euler's: there eps changes so late that the mean of both ends is further off than
    the beginning. A cosine schedule's first steps are of that kind, for it begins at a sigma of 20,000.
    """
    next_t = [*schedule.timesteps(steps, start, spacing)[1:], None]
    nfe = 0
    for index, t, a_t, a_prev in _visits(schedule, steps, start, spacing):
        x0, eps = predict(x, t)
        nfe += 1
        if a_prev < 1:
            sigma, next_sigma = sqrt((1 - a_t) / a_t), sqrt((1 - a_prev) / a_prev)
            x_prev = sqrt(a_prev) * (x / sqrt(a_t) + (next_sigma - sigma) * eps)
            if next_sigma > sigma / 10:
                _, next_eps = predict(x_prev, next_t[index])
                nfe += 1
                x_prev = sqrt(a_prev) * (x / sqrt(a_t) + (next_sigma - sigma) * (eps + next_eps) / 2)
        else:
            x_prev = x0
        yield Step(index, t, x, x0, x_prev, a_t / (1 - a_t), nfe)
        x = x_prev


SAMPLERS: dict[str, Callable[..., Iterator[Step]]] = {"ddpm": ddpm, "ddim": ddim, "dpmpp": dpmpp, "heun": heun}


class SeededNoise:
    """Standard normal noise of which image k depends on its own seed alone: one seed is one image on any batch size.

    Calling it gives the next (N, *shape) float32 draw. Drawn on the CPU, so that a seed means the same on every device,
    and by NumPy, because torch's CPU generator keeps only the low 32 bits of a seed.

    Args:
        seeds: one whole number from 0 to 2^64 - 1 for each image.
        shape: of one image.
        device: where the noise is wanted.
    """

    def __init__(self, seeds: Sequence[int], shape: tuple[int, ...], device: torch.device | str = "cpu"):
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._shape, self._device = shape, device

    def __call__(self) -> Tensor:
        draws = [g.standard_normal(self._shape, dtype=np.float32) for g in self._generators]
        return torch.from_numpy(np.stack(draws)).to(self._device)
