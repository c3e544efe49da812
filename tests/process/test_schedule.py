"""The noise schedule: its shape, its words for one thing, and the same numbers as diffusers."""

import numpy as np
import pytest
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from sentences import refused

from diffdemo.errors import RequestError
from diffdemo.process.schedule import LAST_SIGMA, SPACINGS, NoiseSchedule

schedules = st.one_of(
    st.builds(
        NoiseSchedule,
        steps=st.integers(2, 1000),
        beta_start=st.floats(1e-5, 1e-2),
        beta_end=st.floats(1e-2, 0.5),
    ),
    st.builds(NoiseSchedule.cosine, st.integers(2, 1000)),
)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("schedule", [NoiseSchedule(), NoiseSchedule.cosine(), NoiseSchedule(steps=37)])
def test_every_run_length_visits_distinct_steps_from_the_noisiest_down(schedule, spacing):
    total = schedule.steps
    for n in range(1, total + 1):
        visited = schedule.timesteps(n, spacing=spacing)
        assert len(visited) == n
        assert all(isinstance(t, int) for t in visited)
        assert visited[0] == total - 1 and visited[-1] >= 0
        assert visited == sorted(set(visited), reverse=True)


@settings(deadline=None)
@given(st.integers(2, 1000), st.data())
def test_strides_are_even(total, data):
    n = data.draw(st.integers(2, total))
    strides = -np.diff([*NoiseSchedule(steps=total).timesteps(n), -1])
    assert abs(strides - total / n).max() <= 1.0 + 1e-9


def test_a_whole_run_visits_every_step_and_a_run_of_one_only_the_noisiest():
    assert NoiseSchedule().timesteps(1000) == list(range(999, -1, -1))
    assert NoiseSchedule().timesteps(1) == [999]
    assert NoiseSchedule().timesteps(4) == [999, 749, 499, 249]
    assert NoiseSchedule().timesteps(np.int64(10)) == NoiseSchedule().timesteps(10)


@pytest.mark.parametrize("steps", [5, 10, 20, 50])
def test_karras_spacing_is_equation_5_of_the_paper_to_the_nearest_step(steps):
    schedule, i = NoiseSchedule(), np.arange(steps)
    high, low = schedule.sigma[-1], LAST_SIGMA
    sigmas = (high ** (1 / 7) + i / (steps - 1) * (low ** (1 / 7) - high ** (1 / 7))) ** 7
    nearest = [int(np.argmin(np.abs(np.log(schedule.sigma) - np.log(sigma)))) for sigma in sigmas]
    assert abs(np.subtract(schedule.timesteps(steps, spacing="karras"), nearest)).max() <= 1  # a tie, or one taken
    even = schedule.timesteps(steps)
    assert schedule.timesteps(steps, spacing="karras")[-1] < even[-1]


@settings(deadline=None)
@given(st.integers(2, 1000), st.data())
def test_karras_spacing_fits_any_start(total, data):
    first = data.draw(st.integers(0, total - 1))
    steps = data.draw(st.integers(1, first + 1))
    visited = NoiseSchedule(steps=total).timesteps(steps, first, "karras")
    assert len(visited) == steps and visited[0] == first and visited[-1] >= 0
    assert visited == sorted(set(visited), reverse=True)


def test_an_unknown_spacing_is_refused_with_a_sentence():
    with refused(RequestError, "trailing, karras"):
        NoiseSchedule().timesteps(10, spacing="leading")


@settings(deadline=None)
@given(schedules)
def test_alpha_bar_falls_and_its_other_names_agree(schedule):
    a = schedule.alpha_bar
    assert a.shape == schedule.betas.shape == schedule.sigma.shape == schedule.snr.shape == (schedule.steps,)
    assert a.dtype == np.float64
    assert (np.diff(a) < 0).all() and a[-1] > 0 and a[0] < 1
    assert (np.diff(schedule.sigma) > 0).all() and (np.diff(schedule.snr) < 0).all()
    np.testing.assert_allclose(schedule.snr * schedule.sigma**2, 1, rtol=1e-9)
    np.testing.assert_allclose(1 / (1 + schedule.sigma**2), a, rtol=1e-9)
    np.testing.assert_allclose(schedule.snr / (1 + schedule.snr), a, rtol=1e-9)


@pytest.mark.parametrize("steps", [100, 1000])
@pytest.mark.parametrize(("kind", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_tables_are_those_of_diffusers(kind, theirs, steps):
    ours = NoiseSchedule(steps=steps) if kind == "linear" else NoiseSchedule.cosine(steps)
    oracle = DDPMScheduler(steps, beta_start=1e-4, beta_end=0.02, beta_schedule=theirs)
    np.testing.assert_allclose(ours.betas, oracle.betas.numpy(), rtol=2e-6, atol=1e-9)
    # Theirs is a product of up to 1000 numbers in single precision.
    np.testing.assert_allclose(ours.alpha_bar, oracle.alphas_cumprod.numpy(), rtol=1e-4, atol=2e-7)


@pytest.mark.parametrize("schedule", [NoiseSchedule(), NoiseSchedule.cosine()])
def test_a_run_starts_where_nearly_nothing_of_the_picture_is_left(schedule):
    assert schedule.alpha_bar[-1] < 1e-4
    assert schedule.alpha_bar[0] > 0.999


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kind": "sigmoid"}, "linear, cosine"),
        ({"steps": 1}, "at least 2 steps"),
        ({"steps": -3}, "at least 2 steps"),
        ({"beta_start": 0.0}, "0 < beta_start"),
        ({"beta_start": 0.03}, "beta_start <= beta_end"),
        ({"beta_end": 1.0}, "beta_end < 1"),
        ({"beta_end": float("nan")}, "beta_end < 1"),
        ({"kind": "cosine", "beta_start": -1.0}, "0 < beta_start"),
    ],
)
def test_a_schedule_that_is_none_is_refused_with_a_sentence(arguments, said):
    with refused(RequestError, said):
        NoiseSchedule(**arguments)


@pytest.mark.parametrize("steps", [0, -1, 1001, 3.5, 10.0, "10", None, True])
def test_a_run_length_that_does_not_fit_is_refused_with_a_sentence(steps):
    with refused(RequestError, f"from 1 to 1000, not {steps!r}"):
        NoiseSchedule().timesteps(steps)
