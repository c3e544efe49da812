"""Every sampler, number for number, against diffusers' schedulers and against the papers' own formulas."""

from math import exp, log, sqrt

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler

from diffdemo.process.samplers import SAMPLERS
from diffdemo.process.schedule import NoiseSchedule

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers

BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "timestep_spacing": "trailing"}
MIXING = torch.from_numpy(np.random.default_rng(0).normal(scale=0.5, size=(6, 6)))

# name of the case: (our sampler, its options, theirs)
CASES = {
    "ddpm small": ("ddpm", {}, lambda: DDPMScheduler(variance_type="fixed_small", clip_sample=False, **BETAS)),
    "ddpm large": (
        "ddpm",
        {"variance": "large"},
        lambda: DDPMScheduler(variance_type="fixed_large", clip_sample=False, **BETAS),
    ),
    "ddim": ("ddim", {}, lambda: DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **BETAS)),
    "ddim eta 0.5": ("ddim", {"eta": 0.5}, lambda: DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **BETAS)),
    "ddim eta 1": ("ddim", {"eta": 1.0}, lambda: DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **BETAS)),
    "dpmpp": (
        "dpmpp",
        {},
        lambda: DPMSolverMultistepScheduler(
            solver_order=2, algorithm_type="dpmsolver++", lower_order_final=False, final_sigmas_type="zero", **BETAS
        ),
    ),
    "heun": ("heun", {}, lambda: HeunDiscreteScheduler(**BETAS)),
}


def guess(x: torch.Tensor, t: float) -> torch.Tensor:
    """A smooth nonlinear "network" with outputs in [-1, 1]."""
    return torch.tanh(x @ MIXING + t / 500 - 1)


def eps_network(x: torch.Tensor, t: int, alpha_bar: np.ndarray) -> torch.Tensor:
    return (x - sqrt(alpha_bar[t]) * guess(x, t)) / sqrt(1 - alpha_bar[t])


class Noise:
    """The same float64 draws for both sides."""

    def __init__(self):
        self.generator = np.random.default_rng(3)

    def __call__(self) -> torch.Tensor:
        return torch.from_numpy(self.generator.standard_normal((4, 6)))


def our_states(sampler: str, schedule: NoiseSchedule, steps: int, options: dict) -> list[torch.Tensor]:
    """The state after each step, from the noise that `Noise` draws first."""

    def predict(x, t):
        eps = eps_network(x, t, schedule.alpha_bar)
        a = schedule.alpha_bar[t]
        return (x - sqrt(1 - a) * eps) / sqrt(a), eps

    noise = Noise()
    return [step.x_prev for step in SAMPLERS[sampler](predict, noise(), schedule, steps, noise, **options)]


class TorchInDouble:
    """The torch module, except that its float32 is float64."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def in_double_precision(scheduler, steps: int, monkeypatch) -> None:
    """Give a diffusers scheduler its tables in float64, as it would compute them itself if it did."""
    # DPM-Solver++ rounds every state to single precision, whatever it is given.
    monkeypatch.setattr("diffusers.schedulers.scheduling_dpmsolver_multistep.torch", TorchInDouble())
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    scheduler.alphas_cumprod = alpha_bar
    scheduler.one = scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "sigmas"):
        sigmas = ((1 - alpha_bar) / alpha_bar).sqrt()[scheduler.timesteps.long()]
        scheduler.sigmas = torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])


def their_states(scheduler, schedule: NoiseSchedule, eta: float, monkeypatch) -> list[torch.Tensor]:
    """The state after each step of diffusers, in our variables."""
    noise = Noise()
    x, states, last = noise(), [], len(scheduler.timesteps) - 1
    draw = {}
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: draw["noise"])
    in_sigma = isinstance(scheduler, HeunDiscreteScheduler)  # it works on y = x / sqrt(alpha_bar)
    if in_sigma:
        x = x * (1 + scheduler.sigmas[0] ** 2).sqrt()
    for index, t in enumerate(scheduler.timesteps):
        if not in_sigma:
            eps = eps_network(x, int(t), schedule.alpha_bar)
            # DDPMScheduler adds noise after its last step unless that is t = 0; a sample must end clean.
            wanted = index < last and (eta > 0 or isinstance(scheduler, DDPMScheduler))
            draw["noise"] = noise() if wanted else torch.zeros_like(x)
            options = {"eta": eta, "variance_noise": draw["noise"]} if isinstance(scheduler, DDIMScheduler) else {}
            x = scheduler.step(eps, int(t), x, **options).prev_sample
            states.append(x)
        else:
            eps = eps_network(scheduler.scale_model_input(x, float(t)), int(t), schedule.alpha_bar)
            x = scheduler.step(eps, float(t), x).prev_sample
            if scheduler.state_in_first_order or index == last:
                states.append(x / (1 + scheduler.sigmas[scheduler.step_index] ** 2).sqrt())
    return states


def largest_difference(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("steps", [10, 50, 1000])
@pytest.mark.parametrize("case", CASES)
def test_every_state_is_that_of_diffusers(case, steps, monkeypatch, record_property):
    sampler, options, make = CASES[case]
    schedule, scheduler = NoiseSchedule(), make()
    in_double_precision(scheduler, steps, monkeypatch)
    ours = our_states(sampler, schedule, steps, options)
    difference = largest_difference(ours, their_states(scheduler, schedule, options.get("eta", 0.0), monkeypatch))
    record_property("largest_difference", difference)
    print(f"{case}, {steps} steps: {difference:.1e}")
    assert difference < 1e-12


@pytest.mark.parametrize("steps", [10, 50])
@pytest.mark.parametrize("case", CASES)
def test_diffusers_as_it_comes_ends_at_the_same_sample(case, steps, monkeypatch, record_property):
    sampler, options, make = CASES[case]
    schedule, scheduler = NoiseSchedule(), make()
    scheduler.set_timesteps(steps)
    ours = our_states(sampler, schedule, steps, options)
    theirs = their_states(scheduler, schedule, options.get("eta", 0.0), monkeypatch)
    difference = largest_difference(ours[-1:], theirs[-1:])
    record_property("largest_difference", difference)
    print(f"{case}, {steps} steps, tables in single precision: {difference:.1e}")
    assert difference < 1e-5


# The papers' formulas, in NumPy. Each function takes the state x at noise level a to level b and is given the guess x0.


def bayes(x, x0, a, b, large, z):
    """Ho et al. 2020: the posterior of the state at b, a product of two normal densities, N(x0) and N(x | state)."""
    keep = a / b  # x = sqrt(keep) * state + sqrt(1 - keep) * noise, so its precision in the state is keep / (1 - keep)
    precision = 1 / (1 - b) + keep / (1 - keep)
    mean = (sqrt(b) * x0 / (1 - b) + sqrt(keep) * x / (1 - keep)) / precision
    return mean + sqrt(1 - keep if large else 1 / precision) * z


def song(x, x0, a, b, eta, z):
    """Song et al. 2021, equation 12 with the sigma of equation 16; its alpha is our alpha_bar."""
    sigma = eta * sqrt((1 - b) / (1 - a)) * sqrt(1 - a / b)
    eps = (x - sqrt(a) * x0) / sqrt(1 - a)
    return sqrt(b) * x0 + sqrt(1 - b - sigma**2) * eps + sigma * z


def lu(x, guesses, levels, i):
    """Lu et al. 2022, algorithm 2, from level i - 1 to level i; guesses[j] belongs to levels[j]."""
    alpha = [sqrt(level) for level in levels[: i + 1]]
    sigma = [sqrt(1 - level) for level in levels[: i + 1]]
    lam = [log(p / q) for p, q in zip(alpha, sigma, strict=True)]
    h, d = lam[i] - lam[i - 1], guesses[i - 1]
    if i > 1:
        r = (lam[i - 1] - lam[i - 2]) / h
        d = (1 + 1 / (2 * r)) * guesses[i - 1] - 1 / (2 * r) * guesses[i - 2]
    return sigma[i] / sigma[i - 1] * x - alpha[i] * (exp(-h) - 1) * d


def karras(x, denoise, a, b):
    """Karras et al. 2022, algorithm 1 without churn, lines 4 to 8; denoise takes their y and alpha_bar.

    Line 6 asks whether to correct the step; here it is not where sigma falls to less than a tenth.
    """
    t0, t1, y = sqrt(1 / a - 1), sqrt(1 / b - 1), x / sqrt(a)
    slope = (y - denoise(y, a)) / t0
    there = y + (t1 - t0) * slope
    if t1 <= t0 / 10:
        return sqrt(b) * there
    slope_there = (there - denoise(there, b)) / t1
    return sqrt(b) * (y + (t1 - t0) * (slope / 2 + slope_there / 2))


def paper_states(case: str, schedule: NoiseSchedule, steps: int, options: dict) -> list[torch.Tensor]:
    visited = schedule.timesteps(steps)
    levels = [float(schedule.alpha_bar[t]) for t in visited]
    noise = Noise()
    x, states, guesses = noise(), [], []
    for i, (t, a) in enumerate(zip(visited, levels, strict=True)):
        x0 = guess(x, t)
        guesses.append(x0)
        if i == steps - 1:
            x = x0  # every paper's last step ends without noise, where all of them reduce to the guess
        elif case.startswith("ddpm"):
            x = bayes(x, x0, a, levels[i + 1], options.get("variance") == "large", noise())
        elif case.startswith("ddim"):
            eta = options.get("eta", 0.0)
            x = song(x, x0, a, levels[i + 1], eta, noise() if eta else 0.0)
        elif case == "dpmpp":
            x = lu(x, guesses, levels, i + 1)
        else:
            step_of = {a: t, levels[i + 1]: visited[i + 1]}
            x = karras(x, lambda y, c, s=step_of: guess(sqrt(c) * y, s[c]), a, levels[i + 1])
        states.append(x)
    return states


@pytest.mark.parametrize("steps", [1, 2, 7, 13])
@pytest.mark.parametrize("schedule", [NoiseSchedule(), NoiseSchedule.cosine()], ids=lambda s: s.kind)
@pytest.mark.parametrize("case", CASES)
def test_every_state_is_that_of_the_paper(case, schedule, steps):
    """Step counts that do not divide 1000 too: there diffusers' DDIM visits the wrong steps."""
    sampler, options, _ = CASES[case]
    papers = paper_states(case, schedule, steps, options)
    assert largest_difference(our_states(sampler, schedule, steps, options), papers) < 1e-9
