"""Forward process, prediction types and the loss: one change of variables, written once.

Whatever a network is trained to output, its guess of the clean picture has the form

    x0 = c_skip * x_t + c_out * network(c_in * x_t, t)

(the preconditioning of Karras et al. 2022, https://arxiv.org/abs/2206.00364, in DDPM's variables). A prediction type is
therefore three functions of alpha_bar and nothing more; samplers see only x0 and eps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffdemo import validate
from diffdemo.errors import RequestError
from diffdemo.process.schedule import NoiseSchedule

SIGMA_DATA = 0.5  # standard deviation of pictures in [-1, 1], Karras et al. 2022, table 1


def _noise(a):
    """Noise prediction: x0 = (x_t - sqrt(1 - a) * output) / sqrt(a), Ho et al. 2020."""
    return torch.ones_like(a), a.rsqrt(), -((1 - a) / a).sqrt()


def _clean(a):
    """Clean prediction: x0 = output."""
    return torch.ones_like(a), torch.zeros_like(a), torch.ones_like(a)


def _velocity(a):
    """Velocity, v = sqrt(a) * eps - sqrt(1 - a) * x0: Salimans and Ho 2022, https://arxiv.org/abs/2202.00512."""
    return torch.ones_like(a), a.sqrt(), -(1 - a).sqrt()


def _edm(a):
    """Table 1 of Karras et al. 2022 with sigma^2 = (1 - a) / a: input and target both have variance one."""
    variance = 1 - a + SIGMA_DATA**2 * a  # of x_t, if pictures have variance SIGMA_DATA^2
    return variance.rsqrt(), SIGMA_DATA**2 * a.sqrt() / variance, SIGMA_DATA * ((1 - a) / variance).sqrt()


PREDICTIONS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "noise": _noise,
    "clean": _clean,
    "velocity": _velocity,
    "edm": _edm,
}
WEIGHTINGS = ("flat", "min_snr")
NOISE_LEVELS = ("uniform", "lognormal")


def scalings(prediction: str, alpha_bar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(c_in, c_skip, c_out) of a prediction type, each shaped like `alpha_bar`, which lies in (0, 1)."""
    return PREDICTIONS[validate.choice("prediction type", prediction, list(PREDICTIONS))](alpha_bar)


def add_noise(x0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t = sqrt(alpha_bar) * x0 + sqrt(1 - alpha_bar) * eps (Ho et al. 2020, equation 4)."""
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps


def eps_from_x0(x_t: Tensor, x0: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noise that, with this x0, makes this x_t: the forward process solved for eps."""
    return (x_t - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()


def rescale_eps(x_t: Tensor, x0: Tensor, alpha_bar: Tensor, scale: float) -> Tensor:
    """The guess of x0, shaped like x_t, whose noise is that of `x0` over `scale`: epsilon scaling (exposure bias).

    In training a network sees noise added to real pictures, in a run what it has made itself, and there it guesses too
    much noise. Ning et al. 2024, https://arxiv.org/abs/2308.15321, therefore divide what it guesses by a constant
    a little above 1. In x0 that is

        x0' = x0 + (1 - 1 / scale) * sigma * eps,  sigma = sqrt((1 - alpha_bar) / alpha_bar)
    """
    return x0 + (1 - 1 / scale) * (x_t / alpha_bar.sqrt() - x0)


def x0_from_output(prediction: str, output: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """The guess of the clean picture that a network's output stands for; shapes broadcast."""
    _, c_skip, c_out = scalings(prediction, alpha_bar)
    return c_skip * x_t + c_out * output


def output_from_x0(prediction: str, x0: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """What a network must output to mean x0: the training target, and the inverse of `x0_from_output`."""
    _, c_skip, c_out = scalings(prediction, alpha_bar)
    return (x0 - c_skip * x_t) / c_out


def timestep_probabilities(schedule: NoiseSchedule, noise_levels: str = "uniform") -> np.ndarray:
    """(T,) probabilities with which training visits the steps of a schedule.

    "uniform" is Ho et al. 2020. "lognormal" is Karras et al. 2022 (ln sigma ~ N(-1.2, 1.2^2)), mixed with one quarter
    uniform, because every run here starts at t = T - 1, which the log-normal density alone would almost never visit.
    """
    if noise_levels not in NOISE_LEVELS:
        raise RequestError(
            f"There is no noise level distribution {noise_levels!r}; choose one of: {', '.join(NOISE_LEVELS)}."
        )
    uniform = np.full(schedule.steps, 1 / schedule.steps)
    if noise_levels == "uniform":
        return uniform
    log_sigma = np.log(schedule.sigma)
    density = np.exp(-0.5 * ((log_sigma + 1.2) / 1.2) ** 2) * np.gradient(log_sigma)
    return 0.75 * density / density.sum() + 0.25 * uniform


@dataclass
class Diffusion:
    """A schedule and a prediction type: what turns a network into a denoiser, and a denoiser into a loss.

    Args:
        schedule: the noise schedule of training; samplers visit a part of its steps.
        prediction: what the network outputs, a key of `PREDICTIONS`.
        weighting: "flat" is the mean squared error of the network's own output; "min_snr" weights the error of x0 with
            min(snr, 5) (Hang et al. 2023, https://arxiv.org/abs/2303.09556).
        noise_levels: how often training visits each step, see `timestep_probabilities`.
    """

    schedule: NoiseSchedule
    prediction: str = "noise"
    weighting: str = "flat"
    noise_levels: str = "uniform"

    def __post_init__(self):
        scalings(self.prediction, torch.ones(1) / 2)
        if self.weighting not in WEIGHTINGS:
            raise RequestError(
                f"There is no loss weighting {self.weighting!r}; choose one of: {', '.join(WEIGHTINGS)}."
            )
        cumulative = timestep_probabilities(self.schedule, self.noise_levels).cumsum()
        self._cumulative = torch.from_numpy(cumulative / cumulative[-1]).float()
        self._alpha_bar = torch.from_numpy(self.schedule.alpha_bar).float()

    def to(self, device: torch.device | str) -> "Diffusion":
        """Keep the tables on this device, so that training never waits for a copy."""
        self._cumulative, self._alpha_bar = self._cumulative.to(device), self._alpha_bar.to(device)
        return self

    def alpha_bar(self, t: Tensor, like: Tensor) -> Tensor:
        """alpha_bar at steps t, (N,) long, shaped to broadcast over `like`, (N, ...)."""
        return self._alpha_bar[t].reshape(-1, *[1] * (like.ndim - 1))

    def draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) long training steps, drawn from `noise_levels`."""
        uniform = torch.rand(count, generator=generator, device=generator.device)
        return torch.searchsorted(self._cumulative, uniform).clamp_(max=self.schedule.steps - 1)

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, *condition) -> Tensor:
        """The network's guess of x0, shaped like x_t, (N, ...); t is (N,) long in [0, T - 1]."""
        alpha_bar = self.alpha_bar(t, x_t)
        c_in, c_skip, c_out = scalings(self.prediction, alpha_bar)
        return c_skip * x_t + c_out * network(c_in * x_t, t, *condition).float()

    def loss(self, network: nn.Module, x0: Tensor, t: Tensor, eps: Tensor, *condition) -> Tensor:
        """Mean weighted squared error of the network's output over (N, ...) clean pictures in [-1, 1]; a scalar."""
        alpha_bar = self.alpha_bar(t, x0)
        x_t = add_noise(x0, eps, alpha_bar)
        c_in, _, c_out = scalings(self.prediction, alpha_bar)
        output = network(c_in * x_t, t, *condition).float()
        error = (output - output_from_x0(self.prediction, x0, x_t, alpha_bar)).square()
        if self.weighting == "min_snr":
            error = error * (alpha_bar / (1 - alpha_bar)).clamp(max=5) * c_out.square()
        return error.mean()
