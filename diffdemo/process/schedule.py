"""The noise schedule: how much of the picture is left at each of the T training steps."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from diffdemo.errors import RequestError

KINDS = ("linear", "cosine")
SPACINGS = ("trailing", "karras")
MOST_STEPS = 100_000  # more would only fill the memory
RHO, LAST_SIGMA = 7.0, 0.03  # of the spacing of Karras et al.; theirs ends at 0.002, which no short run needs


@dataclass(frozen=True)
class NoiseSchedule:
    """Gaussian diffusion in T discrete steps, t = 0 (nearly clean) to T - 1 (nearly pure noise).

    Every array is (T,) float64. The linear schedule is that of Ho et al. 2020 (https://arxiv.org/abs/2006.11239), the
    cosine schedule equation 17 of Nichol and Dhariwal 2021 (https://arxiv.org/abs/2102.09672), for which `beta_start`
    and `beta_end` are the bounds within which betas are kept.

    Raises:
        RequestError: unknown kind, fewer than two steps or more than 100,000, or betas outside 0 < beta_start <=
            beta_end < 1.
    """

    kind: str = "linear"
    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02

    def __post_init__(self):
        if self.kind not in KINDS:
            raise RequestError(f"There is no noise schedule {self.kind!r}; choose one of: {', '.join(KINDS)}.")
        if self.steps < 2:
            raise RequestError(f"A noise schedule needs at least 2 steps, not {self.steps}.")
        if not _is_whole(self.steps, 2, MOST_STEPS):
            raise RequestError(
                f"A noise schedule has a whole number of steps, {MOST_STEPS:,} at most, not {self.steps}."
            )
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise RequestError(
                f"Betas must satisfy 0 < beta_start <= beta_end < 1, not {self.beta_start} and {self.beta_end}."
            )

    @classmethod
    def cosine(cls, steps: int = 1000) -> "NoiseSchedule":
        """The cosine schedule with its usual bound: no beta above 0.999."""
        return cls(kind="cosine", steps=steps, beta_start=1e-8, beta_end=0.999)

    @cached_property
    def betas(self) -> np.ndarray:
        """Variance added in each step, beta_t."""
        if self.kind == "linear":
            return np.linspace(self.beta_start, self.beta_end, self.steps)
        edges = np.arange(self.steps + 1) / self.steps
        f = np.cos((edges + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.clip(1 - f[1:] / f[:-1], self.beta_start, self.beta_end)

    @cached_property
    def alpha_bar(self) -> np.ndarray:
        """alpha_bar_t = prod_{s <= t} (1 - beta_s): the share of the picture's variance that is left at step t."""
        return np.cumprod(1 - self.betas)

    @cached_property
    def sigma(self) -> np.ndarray:
        """Noise relative to the picture, sigma_t = sqrt((1 - alpha_bar_t) / alpha_bar_t), as Karras et al. count it."""
        return np.sqrt((1 - self.alpha_bar) / self.alpha_bar)

    @cached_property
    def snr(self) -> np.ndarray:
        """Signal-to-noise ratio, snr_t = alpha_bar_t / (1 - alpha_bar_t)."""
        return self.alpha_bar / (1 - self.alpha_bar)

    def timesteps(self, steps: int, first: int | None = None, spacing: str = "trailing") -> list[int]:
        """The training steps a run of `steps` steps visits, descending from `first`, which is T - 1 unless given.

        A run of pure noise always begins at the noisiest step, because that is where it belongs; the last update goes
        from the last visited step to clean. A run that begins with a picture noised to step `first` (SDEdit, Meng et
        al. 2022, https://arxiv.org/abs/2108.01073) begins at just that step.

        "trailing" spacing (Lin et al. 2024, https://arxiv.org/abs/2305.08891) has even strides. "karras" (Karras et al.
        2022, https://arxiv.org/abs/2206.00364, equation 5) strides evenly in sigma^(1/7), from the first sigma to 0.03,
        and takes the nearest steps that are still free: a short run then ends with small strides, where details arise.

        Raises:
            RequestError: `first` is not a whole number from 0 to T - 1, `steps` is not one from 1 to first + 1, or no
                spacing is called so.
        """
        if spacing not in SPACINGS:
            raise RequestError(f"There is no spacing {spacing!r}; choose one of: {', '.join(SPACINGS)}.")
        if first is not None and not _is_whole(first, 0, self.steps - 1):
            raise RequestError(f"The first step must be a whole number from 0 to {self.steps - 1}, not {first!r}.")
        most = self.steps if first is None else first + 1
        if not _is_whole(steps, 1, most):
            start = "" if most == self.steps else f" when a run starts at t = {first}"
            raise RequestError(f"steps must be a whole number from 1 to {most}{start}, not {steps!r}.")
        if spacing == "karras":
            return self._karras(steps, most)
        visited = np.round(most - np.arange(steps) * (most / steps)) - 1
        return visited.astype(int).tolist()

    def _karras(self, steps: int, most: int) -> list[int]:
        """Equation 5 of Karras et al. from step most - 1 down, each time the nearest step that leaves room for all."""
        high = self.sigma[most - 1]
        ramp = np.linspace(high ** (1 / RHO), min(LAST_SIGMA, high) ** (1 / RHO), steps)
        wanted = np.interp(RHO * np.log(ramp), np.log(self.sigma), np.arange(self.steps)).round().astype(int)
        visited, free = [], most - 1
        for left, t in zip(range(steps - 1, -1, -1), wanted.tolist(), strict=True):
            visited.append(max(min(t, free), left))
            free = visited[-1] - 1
        return visited


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and low <= value <= high
