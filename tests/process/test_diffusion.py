"""The change of variables between pictures, noise and network outputs, and the loss built on it."""

from math import log, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentences import refused

from diffdemo.errors import RequestError
from diffdemo.process.diffusion import (
    PREDICTIONS,
    WEIGHTINGS,
    Diffusion,
    add_noise,
    eps_from_x0,
    output_from_x0,
    rescale_eps,
    scalings,
    timestep_probabilities,
    x0_from_output,
)
from diffdemo.process.schedule import NoiseSchedule

predictions = pytest.mark.parametrize("prediction", PREDICTIONS)
alpha_bars = st.floats(1e-5, 1 - 1e-5)
values = st.floats(-4, 4)


def double(number: float) -> torch.Tensor:
    return torch.tensor(number, dtype=torch.float64)


def in_single_precision(number: float) -> torch.Tensor:
    """The number as training's tables hold it, so that what is left to compare is the arithmetic."""
    return double(float(np.float32(number)))


class Wavy(torch.nn.Module):
    """A network with an output worth comparing: it depends on all of its inputs."""

    def forward(self, x, t, label):
        return torch.sin(3 * x) + (t.to(x.dtype) / 700 + 0.1 * label)[:, None, None, None]


@predictions
@settings(deadline=None)
@given(a=alpha_bars, x0=values, eps=values, output=values)
def test_output_and_x0_are_two_names_for_one_thing(prediction, a, x0, eps, output):
    a, x0, eps, output = map(double, (a, x0, eps, output))
    x_t = add_noise(x0, eps, a)
    there = output_from_x0(prediction, x0, x_t, a)
    torch.testing.assert_close(x0_from_output(prediction, there, x_t, a), x0, rtol=1e-9, atol=1e-9)
    back = x0_from_output(prediction, output, x_t, a)
    torch.testing.assert_close(output_from_x0(prediction, back, x_t, a), output, rtol=1e-8, atol=1e-8)


@settings(deadline=None)
@given(a=alpha_bars, x0=values, eps=values)
def test_noise_that_was_added_is_found_again(a, x0, eps):
    a, x0, eps = map(double, (a, x0, eps))
    torch.testing.assert_close(eps_from_x0(add_noise(x0, eps, a), x0, a), eps, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(a=alpha_bars, x0=values, eps=values)
def test_targets_are_what_the_prediction_types_are_called(a, x0, eps):
    a, x0, eps = map(double, (a, x0, eps))
    x_t = add_noise(x0, eps, a)
    velocity = a.sqrt() * eps - (1 - a).sqrt() * x0  # Salimans and Ho 2022, section 4
    for prediction, target in {"noise": eps, "clean": x0, "velocity": velocity}.items():
        torch.testing.assert_close(output_from_x0(prediction, x0, x_t, a), target, rtol=1e-8, atol=1e-8)
        assert scalings(prediction, a)[0] == 1


@settings(deadline=None)
@given(a=alpha_bars, x_t=values)
def test_edm_is_table_1_of_karras(a, x_t):
    sigma, data = sqrt((1 - a) / a), 0.5
    y = x_t / sqrt(a)  # their picture with noise of standard deviation sigma added
    c_in, c_skip, c_out = (scale.item() for scale in scalings("edm", double(a)))
    assert c_in * x_t == pytest.approx(y / sqrt(sigma**2 + data**2), rel=1e-9)
    assert c_skip * x_t == pytest.approx(data**2 / (sigma**2 + data**2) * y, rel=1e-9)
    assert c_out == pytest.approx(sigma * data / sqrt(sigma**2 + data**2), rel=1e-9)


@pytest.mark.parametrize("t", [0, 100, 500, 999])
def test_edm_gives_the_network_inputs_and_targets_of_variance_one(t):
    generator = torch.Generator().manual_seed(t)
    x0, eps = torch.randn(2, 200_000, generator=generator, dtype=torch.float64)
    x0 = 0.5 * x0
    a = double(float(NoiseSchedule().alpha_bar[t]))
    x_t = add_noise(x0, eps, a)
    # The variance of n normal numbers is known to 1 +- sqrt(2 / n) = 0.003.
    assert (scalings("edm", a)[0] * x_t).var().item() == pytest.approx(1, abs=0.015)
    assert output_from_x0("edm", x0, x_t, a).var().item() == pytest.approx(1, abs=0.015)


def batch(count: int = 5):
    generator = torch.Generator().manual_seed(4)
    x0, eps = torch.randn(2, count, 3, 4, 4, generator=generator, dtype=torch.float64)
    return x0, eps, torch.tensor([0, 3, 250, 700, 999])[:count], torch.arange(count)


@predictions
def test_denoise_scales_the_input_and_reads_the_output(prediction):
    x_t, _, t, label = batch()
    ours = Diffusion(NoiseSchedule(), prediction).denoise(Wavy(), x_t, t, label)
    for k in range(len(x_t)):
        a = in_single_precision(NoiseSchedule().alpha_bar[t[k]])
        output = Wavy()(scalings(prediction, a)[0] * x_t[k : k + 1], t[k : k + 1], label[k : k + 1])
        expected = x0_from_output(prediction, output, x_t[k : k + 1], a)
        torch.testing.assert_close(ours[k : k + 1], expected, rtol=1e-5, atol=1e-5)


@predictions
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_loss_is_that_of_a_plain_loop(prediction, weighting):
    x0, eps, t, label = batch()
    errors = []
    for k in range(len(x0)):
        a = in_single_precision(NoiseSchedule().alpha_bar[t[k]])
        x_t = a.sqrt() * x0[k] + (1 - a).sqrt() * eps[k]
        c_in, c_skip, c_out = scalings(prediction, a)
        output = Wavy()(c_in * x_t[None], t[k : k + 1], label[k : k + 1])[0]
        if weighting == "flat":
            errors += ((output - (x0[k] - c_skip * x_t) / c_out) ** 2).flatten().tolist()
        else:
            errors += (min(a / (1 - a), 5) * (c_skip * x_t + c_out * output - x0[k]) ** 2).flatten().tolist()
    loss = Diffusion(NoiseSchedule(), prediction, weighting).loss(Wavy(), x0, t, eps, label)
    assert loss.ndim == 0
    assert loss.item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)


@pytest.mark.parametrize("t", [5, 200, 400, 900])
def test_min_snr_weights_are_those_of_hang(t):
    snr = float(NoiseSchedule().snr[t])
    expected = {"noise": min(snr, 5) / snr, "clean": min(snr, 5), "velocity": min(snr, 5) / (snr + 1)}
    x0, eps, _, _ = batch()
    steps = torch.full((len(x0),), t)
    for prediction, weight in expected.items():
        diffusion = Diffusion(NoiseSchedule(), prediction, "min_snr")
        a = diffusion.alpha_bar(steps, x0)
        target = output_from_x0(prediction, x0, add_noise(x0, eps, a), a)
        loss = diffusion.loss(lambda *_, target=target: target + 1, x0, steps, eps)  # every error is 1
        assert loss.item() == pytest.approx(weight, rel=2e-3)


def test_output_in_half_precision_gives_a_loss_in_single():
    x0, eps, t, _ = batch()
    loss = Diffusion(NoiseSchedule(), "edm").loss(lambda x, _: x.bfloat16(), x0.float(), t, eps.float())
    assert loss.dtype == torch.float32 and loss.isfinite()


@pytest.mark.parametrize("levels", ["uniform", "lognormal"])
@pytest.mark.parametrize("schedule", [NoiseSchedule(), NoiseSchedule.cosine(), NoiseSchedule(steps=2)])
def test_timestep_probabilities_are_a_distribution_that_forgets_no_step(schedule, levels):
    p = timestep_probabilities(schedule, levels)
    assert p.shape == (schedule.steps,)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert p.min() >= 0.25 / schedule.steps


def test_three_quarters_of_lognormal_steps_are_karras_noise_levels():
    schedule = NoiseSchedule()
    p = (timestep_probabilities(schedule, "lognormal") - 0.25 / schedule.steps) / 0.75
    log_sigma = np.log(schedule.sigma)
    mean = (p * log_sigma).sum()
    assert mean == pytest.approx(-1.2, abs=0.05)  # the schedule's ends cut a little off the normal density
    assert sqrt((p * (log_sigma - mean) ** 2).sum()) == pytest.approx(1.2, abs=0.05)
    assert log(schedule.sigma[0]) < -1.2 - 2 * 1.2


@pytest.mark.parametrize("levels", ["uniform", "lognormal"])
def test_drawn_timesteps_follow_the_probabilities(levels):
    diffusion, count = Diffusion(NoiseSchedule(), noise_levels=levels), 200_000
    drawn = diffusion.draw_timesteps(count, torch.Generator().manual_seed(1))
    assert drawn.dtype == torch.long and drawn.min() >= 0 and drawn.max() <= 999
    expected = count * timestep_probabilities(diffusion.schedule, levels)
    seen = np.bincount(drawn.numpy(), minlength=1000)
    chi_square = ((seen - expected) ** 2 / expected).sum()
    assert abs(chi_square - 999) < 5 * sqrt(2 * 999)  # five standard deviations of a chi-square of 999
    again = diffusion.draw_timesteps(count, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)


def test_what_does_not_exist_is_refused_with_a_sentence():
    with refused(RequestError, "noise, clean, velocity, edm"):
        Diffusion(NoiseSchedule(), "score")
    with refused(RequestError, "flat, min_snr"):
        Diffusion(NoiseSchedule(), weighting="max_snr")
    with refused(RequestError, "uniform, lognormal"):
        Diffusion(NoiseSchedule(), noise_levels="cauchy")


@given(x_t=values, x0=values, alpha_bar=alpha_bars, scale=st.floats(0.9, 1.1))
def test_epsilon_scaling_divides_the_guessed_noise_and_leaves_x_t(x_t, x0, alpha_bar, scale):
    """As in Ning et al. 2024; with the new guess and the new noise the forward process makes the same x_t."""
    x_t, x0, alpha_bar = double(x_t), double(x0), double(alpha_bar)
    scaled = rescale_eps(x_t, x0, alpha_bar, scale)
    eps = eps_from_x0(x_t, x0, alpha_bar) / scale
    torch.testing.assert_close(add_noise(scaled, eps, alpha_bar), x_t, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(rescale_eps(x_t, x0, alpha_bar, 1.0), x0, rtol=0, atol=0)
