"""What every sampler promises: its records, its noise, the right distribution, and its order of convergence."""

from itertools import pairwise
from math import erf, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentences import refused

from diffdemo.errors import RequestError
from diffdemo.process.samplers import SAMPLERS, SeededNoise
from diffdemo.process.schedule import SPACINGS, NoiseSchedule

SCHEDULE = NoiseSchedule()
samplers = pytest.mark.parametrize("sampler", SAMPLERS)


class GaussianMixture:
    """Numbers from weighted normal densities, with the exact guess of x0: the posterior mean."""

    def __init__(self, weights, means, deviations, schedule=SCHEDULE):
        self.schedule = schedule
        self.weights, self.means, self.deviations = (
            torch.tensor(values, dtype=torch.float64) for values in (weights, means, deviations)
        )
        self.mean = float((self.weights * self.means).sum())
        self.variance = float((self.weights * (self.deviations**2 + self.means**2)).sum()) - self.mean**2
        self.calls = 0

    def predict(self, x, t):
        self.calls += 1
        a = float(self.schedule.alpha_bar[t])
        variances = a * self.deviations**2 + 1 - a  # of x_t in each component
        away = x[:, None] - sqrt(a) * self.means  # (N, components)
        belongs = torch.softmax(self.weights.log() - variances.log() / 2 - away**2 / (2 * variances), 1)
        x0 = (belongs * (self.means + sqrt(a) * self.deviations**2 / variances * away)).sum(1)
        return x0, (x - sqrt(a) * x0) / sqrt(1 - a)

    def below(self, x: float) -> float:
        """The probability of a number below x."""
        return sum(
            w * 0.5 * (1 + erf((x - m) / (s * sqrt(2))))
            for w, m, s in zip(self.weights.tolist(), self.means.tolist(), self.deviations.tolist(), strict=True)
        )


def two_modes() -> GaussianMixture:
    return GaussianMixture((0.3, 0.7), (-0.6, 0.5), (0.2, 0.15))


def noise_of(count: int, seed: int = 1):
    generator = np.random.default_rng(seed)
    return lambda: torch.from_numpy(generator.standard_normal(count))


@samplers
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_records_say_where_the_run_stands(sampler, steps, spacing):
    mixture, noise = two_modes(), noise_of(5)
    x_T = noise()
    run = []
    for step in SAMPLERS[sampler](mixture.predict, x_T, SCHEDULE, steps, noise, spacing=spacing):
        assert step.nfe == mixture.calls  # counted when it is yielded: a caller may stop here
        run.append(step)
    assert [step.index for step in run] == list(range(steps))
    assert [step.t for step in run] == SCHEDULE.timesteps(steps, spacing=spacing)
    assert [step.snr for step in run] == pytest.approx([SCHEDULE.snr[step.t] for step in run])
    assert run[0].x_t is x_T
    for step, following in pairwise(run):
        assert following.x_t is step.x_prev
    for step in run:
        assert step.x_t.shape == step.x0.shape == step.x_prev.shape == x_T.shape
        assert torch.equal(step.x0, mixture.predict(step.x_t, step.t)[0])
        assert step.x_prev.dtype == torch.float64
    assert torch.equal(run[-1].x_prev, run[-1].x0)


@samplers
@pytest.mark.parametrize("steps", [1, 10, 50])
def test_a_step_takes_one_evaluation_and_heun_two_but_in_the_last(sampler, steps):
    mixture, noise = two_modes(), noise_of(2)
    *_, last = SAMPLERS[sampler](mixture.predict, noise(), SCHEDULE, steps, noise)
    assert mixture.calls == last.nfe == (2 * steps - 1 if sampler == "heun" else steps)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp", "heun"])
@pytest.mark.parametrize("steps", [5, 10, 20])
def test_few_steps_from_pure_noise_come_near_many(sampler, steps):
    """On the cosine schedule sigma begins at 20,000: correcting Heun's first step would throw x far away."""
    mixture = GaussianMixture((0.3, 0.7), (-0.6, 0.5), (0.2, 0.15), NoiseSchedule.cosine())
    x_T = noise_of(2000)()
    *_, fine = SAMPLERS["ddim"](mixture.predict, x_T, mixture.schedule, 1000, None)
    *_, coarse = SAMPLERS[sampler](mixture.predict, x_T, mixture.schedule, steps, None)
    assert (coarse.x_prev - fine.x_prev).abs().mean() < 0.6 / steps


@pytest.mark.parametrize("sampler", ["dpmpp", "heun"])
def test_karras_spacing_comes_nearer_where_there_is_fine_detail(sampler):
    """Modes a hundredth wide: with even strides of t, twenty steps decide at once what needs small noise."""
    mixture, x_T = GaussianMixture((0.3, 0.7), (-0.6, 0.5), (0.01, 0.02)), noise_of(2000)()
    *_, fine = SAMPLERS[sampler](mixture.predict, x_T, SCHEDULE, 1000, None)
    errors = {}
    for spacing in SPACINGS:
        *_, coarse = SAMPLERS[sampler](mixture.predict, x_T, SCHEDULE, 20, None, spacing=spacing)
        errors[spacing] = float((coarse.x_prev - fine.x_prev).abs().mean())
    assert errors["karras"] < 0.7 * errors["trailing"]


@samplers
def test_a_sampler_does_nothing_before_it_is_asked(sampler):
    mixture, noise = two_modes(), noise_of(2)
    run = SAMPLERS[sampler](mixture.predict, noise(), SCHEDULE, 10, noise)
    assert mixture.calls == 0
    next(run)
    assert mixture.calls == (2 if sampler == "heun" else 1)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp", "heun"])
def test_deterministic_samplers_draw_no_noise(sampler):
    x = torch.zeros(3, dtype=torch.float64)
    *_, last = SAMPLERS[sampler](two_modes().predict, x, SCHEDULE, 10, None)
    assert last.x_prev.isfinite().all()


def test_ddim_with_eta_1_is_ddpm():
    runs = []
    for sampler, options in (("ddpm", {}), ("ddim", {"eta": 1.0})):
        noise = noise_of(6)
        runs.append([s.x_prev for s in SAMPLERS[sampler](two_modes().predict, noise(), SCHEDULE, 25, noise, **options)])
    torch.testing.assert_close(torch.stack(runs[0]), torch.stack(runs[1]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("variance", "steps"), [("small", 500), ("large", 250)])
def test_ancestral_samples_of_a_mixture_have_its_distribution(variance, steps):
    mixture, count = two_modes(), 5000
    noise = noise_of(count)
    *_, last = SAMPLERS["ddpm"](mixture.predict, noise(), SCHEDULE, steps, noise, variance=variance)
    x = last.x_prev
    weight = mixture.below(0)
    # Four standard errors of the estimate, and what so many steps may themselves be off.
    assert x.mean().item() == pytest.approx(mixture.mean, abs=4 * sqrt(mixture.variance / count) + 0.005)
    assert x.var().item() == pytest.approx(mixture.variance, abs=4 * mixture.variance * sqrt(2 / count) + 0.005)
    assert (x < 0).double().mean().item() == pytest.approx(weight, abs=4 * sqrt(weight * (1 - weight) / count) + 0.005)


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 250), ("dpmpp", 100), ("heun", 100)])
def test_deterministic_samplers_map_noise_onto_the_mixture(sampler, steps):
    mixture, count = two_modes(), 2000
    # The normal distribution's own quantiles in place of draws: what is left is the sampler's error.
    x_T = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    *_, last = SAMPLERS[sampler](mixture.predict, x_T, SCHEDULE, steps, None)
    x = last.x_prev
    assert (x.diff() > 0).all()  # the flow of a differential equation on a line keeps the order
    assert x.mean().item() == pytest.approx(mixture.mean, abs=0.01)
    assert x.var().item() == pytest.approx(mixture.variance, abs=0.01)
    for edge in (-0.8, -0.6, 0.0, 0.35, 0.5, 0.65):
        assert (x < edge).double().mean().item() == pytest.approx(mixture.below(edge), abs=0.015)


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("dpmpp", 2), ("heun", 2)])
def test_order_of_convergence(sampler, order, record_property):
    """On one normal density, where the flow is known: y - mean scales with the standard deviation of y."""
    normal = GaussianMixture((1.0,), (0.3,), (0.5,))
    x_T = torch.linspace(-2, 2, 9, dtype=torch.float64)
    deviation = np.sqrt(0.5**2 + SCHEDULE.sigma**2)  # of y at each t
    counts, watched = [20, 40, 50, 100], (499, 199)  # runs of these lengths pass through both
    errors = {t: [] for t in watched}
    for steps in counts:
        for step in SAMPLERS[sampler](normal.predict, x_T, SCHEDULE, steps, None):
            if step.t in watched:
                y = 0.3 + (x_T / sqrt(SCHEDULE.alpha_bar[-1]) - 0.3) * deviation[step.t] / deviation[-1]
                errors[step.t].append((step.x_t - sqrt(SCHEDULE.alpha_bar[step.t]) * y).abs().max().item())
    for t in watched:
        slope = -np.polyfit(np.log(counts), np.log(errors[t]), 1)[0]
        record_property(f"slope at {t}", float(slope))
        print(f"{sampler} at t = {t}: order {slope:.2f}, errors {errors[t][0]:.1e} to {errors[t][-1]:.1e}")
        assert slope == pytest.approx(order, abs=0.15)


def test_settings_that_do_not_exist_are_refused_with_a_sentence():
    x = torch.zeros(1)
    with refused(RequestError, "small or large"):
        next(SAMPLERS["ddpm"](None, x, SCHEDULE, 5, None, variance="huge"))
    for eta in (-0.1, 1.1, float("nan")):
        with refused(RequestError, "eta must lie between 0"):
            next(SAMPLERS["ddim"](None, x, SCHEDULE, 5, None, eta=eta))


@samplers
def test_run_lengths_that_do_not_fit_are_refused_with_a_sentence(sampler):
    for steps in (0, 1001, 2.5):
        with refused(RequestError, "from 1 to 1000"):
            next(SAMPLERS[sampler](None, torch.zeros(1), SCHEDULE, steps, None))


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6), st.data())
def test_noise_of_an_image_depends_on_its_own_seed_alone(seeds, data):
    k = data.draw(st.integers(0, len(seeds) - 1))
    together, alone = SeededNoise(seeds, (3, 4, 4)), SeededNoise([seeds[k]], (3, 4, 4))
    for _ in range(3):
        assert torch.equal(together()[k], alone()[0])


def test_noise_is_standard_normal_and_new_at_every_draw():
    noise = SeededNoise([0, 1, 2**32, 2**64 - 1], (3, 64, 64))
    first, second = noise(), noise()
    assert first.shape == (4, 3, 64, 64) and first.dtype == torch.float32
    every = torch.stack([first, second]).double().flatten(2).flatten(0, 1)  # (8, values)
    assert every.mean(1).abs().max() < 5 / sqrt(every.shape[1])
    assert (every.var(1) - 1).abs().max() < 5 * sqrt(2 / every.shape[1])
    # Draws and seeds, also seeds that agree in their low 32 bits, have nothing to do with each other.
    correlation = torch.corrcoef(every) - torch.eye(8, dtype=torch.float64)
    assert correlation.abs().max() < 5 / sqrt(every.shape[1])
