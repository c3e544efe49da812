"""What each of the six models must do, whatever it is inside."""

import numpy as np
import pytest

import diffdemo
from diffdemo.process.samplers import SAMPLERS
from diffdemo.registry import SPECS
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.stream import stream, whole
from diffdemo.ui.runs.zoo import ModelZoo, about
from diffdemo.ui.tabs.generate import start

models = pytest.mark.parametrize("key", SPECS)


@pytest.fixture(scope="module")
def load(all_checkpoints):
    kept = {}
    return lambda key: kept.setdefault(key, diffdemo.load(key, device="cpu", checkpoints=all_checkpoints))


@models
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 10, 50])
def test_every_sampler_draws_with_few_and_many_steps(load, key, sampler, steps):
    model = load(key)
    settings = {"steps": steps, "sampler": sampler, "seeds": [3, 4]}
    class_name = model.classes[-1] if model.classes else None
    images = model.sample(class_name, **settings)
    assert images.shape == (2, 32, 32, 3) and images.dtype == np.uint8
    assert not np.array_equal(images[0], images[1])
    np.testing.assert_array_equal(images, model.sample(class_name, **settings))


@models
def test_one_seed_is_one_image_on_any_batch_size(load, key):
    model = load(key)
    many = model.sample(steps=4, seeds=range(10, 16)).astype(int)
    alone = model.sample(steps=4, seeds=[13]).astype(int)
    assert abs(alone[0] - many[3]).max() <= 1
    assert abs(many[2] - many[3]).max() > 1


@models
def test_every_step_can_be_looked_at(load, key):
    model = load(key)
    steps = list(model.denoise(steps=5, seeds=[0, 1]))
    assert [step.t for step in steps] == [999, 799, 599, 399, 199]
    for step in steps:
        for state in (step.x_t, step.x0, step.x_prev):
            assert state.shape == (2, *model.shape)
            assert model.images(state).shape == (2, *model.image_size, 3)
    np.testing.assert_array_equal(model.images(steps[-1].x_prev), model.sample(steps=5, seeds=[0, 1]))


@models
def test_half_precision_changes_pictures_only_a_little(all_checkpoints, load, key):
    halves = diffdemo.load(key, device="cpu", precision="bf16", checkpoints=all_checkpoints)
    exact, rough = (model.sample(steps=3, seeds=[5]).astype(int) for model in (load(key), halves))
    assert abs(exact - rough).max() > 0 and abs(exact - rough).mean() < 8


@models
def test_classes_are_those_of_the_table(load, key):
    model = load(key)
    if SPECS[key].classes:
        first, second = (model.sample(name, steps=3, seeds=[0], guidance_scale=3) for name in model.classes[:2])
        assert not np.array_equal(first, second)
    else:
        with pytest.raises(diffdemo.RequestError, match=f"{key} is unconditional and takes no class, not 'cat'"):
            model.sample("cat")


def test_the_list_names_all_six(all_checkpoints):
    models = {model["key"]: model for model in diffdemo.list_models(all_checkpoints)}
    assert list(models) == list(SPECS)
    wanted = {"key", "space", "classes", "parameters", "images_seen", "hardware", "minutes"}
    wanted |= {"prediction", "sampler", "steps", "metrics"}
    assert all(set(model) == wanted for model in models.values())
    assert {key for key, model in models.items() if not model["classes"]} == {"ddpm_unet", "multihead_unet"}
    assert {key for key, model in models.items() if model["classes"] == ["cat", "dog"]} >= {"patch_unet"}
    assert {key for key, model in models.items() if model["space"] == "latents"} <= {"latent_diffusion"}


@models
def test_the_page_shows_a_run_of_it(all_checkpoints, key):
    zoo = ModelZoo.open(all_checkpoints, "cpu")
    message = whole(stream([start(zoo, Settings.of(zoo, key, steps=3, seed="5", count=2))]))
    assert message["state"] == "done" and message["lanes"][0]["size"] == [32, 32]
    frames = [message["frames"][str(index)][0] for index in range(3)]
    assert len({frame["x_t"] for frame in frames}) == 3
    assert SPECS[key].title in about(zoo[key])
