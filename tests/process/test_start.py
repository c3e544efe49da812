"""Runs that start on the way: with a picture noised to a training step, and not with pure noise."""

from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentences import refused
from test_samplers import SCHEDULE, GaussianMixture, noise_of, two_modes

import diffdemo
from diffdemo.errors import RequestError
from diffdemo.process.samplers import SAMPLERS, SeededNoise
from diffdemo.process.schedule import NoiseSchedule
from diffdemo.registry import SPECS
from diffdemo.trajectory import Trajectory

samplers = pytest.mark.parametrize("sampler", SAMPLERS)
PICTURES = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def load(all_checkpoints):
    kept = {}
    return lambda key: kept.setdefault(key, diffdemo.load(key, device="cpu", checkpoints=all_checkpoints))


@given(st.integers(2, 1000), st.data())
def test_a_run_visits_distinct_steps_from_its_start_down(total, data):
    schedule = NoiseSchedule(steps=total)
    first = data.draw(st.integers(0, total - 1))
    steps = data.draw(st.integers(1, first + 1))
    visited = schedule.timesteps(steps, first)
    assert len(visited) == steps and visited[0] == first and visited[-1] >= 0
    assert visited == sorted(set(visited), reverse=True)
    assert abs(-np.diff([*visited, -1]) - (first + 1) / steps).max() <= 1 + 1e-9
    assert schedule.timesteps(steps, total - 1) == schedule.timesteps(steps)


@pytest.mark.parametrize(
    ("steps", "first", "said"),
    [
        (1, -1, "from 0 to 999, not -1"),
        (1, 1000, "from 0 to 999, not 1000"),
        (1, 2.0, r"from 0 to 999, not 2\.0"),
        (1, True, "from 0 to 999, not True"),
        (101, 99, "from 1 to 100 when a run starts at t = 99, not 101"),
        (0, 99, "from 1 to 100 when a run starts at t = 99, not 0"),
    ],
)
def test_a_start_that_does_not_fit_is_refused_with_a_sentence(steps, first, said):
    with refused(RequestError, said):
        SCHEDULE.timesteps(steps, first)


@samplers
@given(first=st.integers(0, 999), data=st.data())
def test_every_sampler_starts_where_it_is_told_and_ends_clean(sampler, first, data):
    steps = data.draw(st.integers(1, min(first + 1, 12)))
    mixture, noise = two_modes(), noise_of(3)
    x_t = noise()
    run = list(SAMPLERS[sampler](mixture.predict, x_t, SCHEDULE, steps, noise, first))
    assert [step.t for step in run] == SCHEDULE.timesteps(steps, first)
    assert run[0].x_t is x_t and run[0].t == first
    assert torch.equal(run[-1].x_prev, run[-1].x0)
    assert run[-1].nfe == mixture.calls


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp", "heun"])
@pytest.mark.parametrize("first", [150, 400, 800])
def test_a_run_from_the_way_ends_where_the_flow_does(sampler, first):
    """On one normal density the flow is known: y - mean scales with the standard deviation of y."""
    normal = GaussianMixture((1.0,), (0.3,), (0.5,))
    x_t = torch.linspace(-2, 2, 9, dtype=torch.float64)
    *_, last = SAMPLERS[sampler](normal.predict, x_t, SCHEDULE, first + 1, None, first)
    deviation = sqrt(0.5**2 + SCHEDULE.sigma[first] ** 2)
    y = 0.3 + (x_t / sqrt(SCHEDULE.alpha_bar[first]) - 0.3) * 0.5 / deviation
    torch.testing.assert_close(last.x_prev, y, rtol=0, atol=0.02)


@samplers
@pytest.mark.parametrize("key", SPECS)
def test_starting_with_the_seeds_noise_at_the_noisiest_step_is_the_usual_run(load, key, sampler):
    model = load(key)
    name, settings = (model.classes[0] if model.classes else None), {"steps": 4, "sampler": sampler, "seeds": [5, 6]}
    x_T = SeededNoise([5, 6], model.shape)()
    usual, started = (list(model.denoise(name, **settings, **start)) for start in ({}, {"start": (x_T, 999)}))
    for one, other in zip(usual, started, strict=True):
        assert one.t == other.t
        assert torch.equal(one.x_prev, other.x_prev)


@samplers
@pytest.mark.parametrize("key", SPECS)
def test_a_picture_is_denoised_from_the_state_it_was_noised_to(load, key, sampler):
    model = load(key)
    x_t = Trajectory(model, PICTURES, [7, 8]).at(300)
    run = list(model.denoise(steps=5, seeds=[7, 8], sampler=sampler, start=(x_t, 300)))
    assert torch.equal(run[0].x_t, x_t)
    assert [step.t for step in run] == [300, 240, 180, 119, 59]
    assert model.images(run[-1].x_prev).shape == PICTURES.shape


def test_fresh_noise_of_ddpm_is_not_the_noise_that_is_in_the_picture(load):
    model = load("attention_unet")
    trajectory = Trajectory(model, PICTURES, [7, 8])
    step = next(model.denoise(steps=2, seeds=[7, 8], sampler="ddpm", start=(trajectory.at(500), 500)))
    mean = next(model.denoise(steps=2, seeds=[9, 9], sampler="ddpm", start=(trajectory.at(500), 500)))
    added = (step.x_prev - mean.x_prev).flatten()  # the noise of seeds 7 and 8, less that of 9
    assert added.std() > 0.01
    assert abs(torch.corrcoef(torch.stack([added, trajectory.eps.flatten()]))[0, 1]) < 0.06


def test_steps_left_out_are_the_checkpoints_or_as_many_as_there_are(load):
    model = load("attention_unet")
    x_t = SeededNoise([0], model.shape)()
    assert [len(list(model.denoise(start=(x_t, t)))) for t in (999, 19, 3, 0)] == [20, 20, 4, 1]


@pytest.mark.parametrize(
    ("shape", "t", "steps", "said"),
    [
        ((1, 3, 32, 32), 9, 11, "steps must be a whole number from 1 to 10, not 11"),
        ((1, 3, 32, 32), 1000, 1, "t must be a whole number from 0 to 999, not 1000"),
        ((1, 3, 32, 32), "abc", 1, "t must be a whole number from 0 to 999, not 'abc'"),
        ((2, 3, 32, 32), 9, 1, r"states \(1, 3, 32, 32\), one a seed, not \(2, 3, 32, 32\)"),
        ((1, 128), 9, 1, r"states \(1, 3, 32, 32\), one a seed, not \(1, 128\)"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused_before_the_first_step(load, shape, t, steps, said):
    with refused(RequestError, said):
        load("attention_unet").denoise(steps=steps, start=(torch.zeros(shape), t))


@pytest.mark.parametrize("key", SPECS)
@given(t=st.integers(0, 999))
def test_a_trajectory_is_the_forward_process_with_one_noise(load, key, t):
    model = load(key)
    trajectory = Trajectory(model, PICTURES, [7, 2**64 - 1])
    level = trajectory.level(t)
    assert level.signal**2 + level.noise**2 == pytest.approx(1)
    assert level.snr == pytest.approx(level.signal**2 / level.noise**2)
    assert torch.equal(trajectory.eps, SeededNoise([7, 2**64 - 1], model.shape)())
    expected = level.signal * model.states(PICTURES) + level.noise * trajectory.eps
    torch.testing.assert_close(trajectory.at(t), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("key", SPECS)
def test_states_are_what_the_model_denoises_and_pictures_come_back(load, key):
    model = load(key)
    states = model.states(PICTURES)
    assert states.shape == (2, *model.shape) and states.dtype == torch.float32
    expected = model.reconstruct(PICTURES) if SPECS[key].space == "latents" else PICTURES
    assert np.array_equal(model.images(states), expected)


def test_levels_spread_from_clean_to_noise(load):
    trajectory = Trajectory(load("simple_unet"), PICTURES, [0, 1])
    assert trajectory.spread(8) == [0, 143, 285, 428, 571, 714, 856, 999]
    with refused(RequestError, "one seed for each picture: 1 for 2"):
        Trajectory(load("simple_unet"), PICTURES, [0])
