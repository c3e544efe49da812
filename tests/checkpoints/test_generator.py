"""A loaded checkpoint: one seed is one image, guidance, classes, and steps that are made only when asked for."""

import weakref
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from sentences import refused

from diffdemo import generator as generator_module
from diffdemo.data.pixels import to_images, to_pixels
from diffdemo.errors import RequestError
from diffdemo.generator import EPS_SCALED_UP_TO, Generator
from diffdemo.loading import load_generator
from diffdemo.models.unet import UNet
from diffdemo.process.diffusion import add_noise, eps_from_x0, rescale_eps
from diffdemo.process.samplers import SAMPLERS, SeededNoise

# CPU kernels sum in another order when the batch is larger.
ONE_LEVEL = 1


@pytest.fixture(scope="module")
def model(tiny_checkpoints) -> Generator:
    return load_generator(tiny_checkpoints / "attention_unet", "cpu")


@pytest.fixture
def batches(model):
    """The sizes of the batches the network has been given."""
    sizes = []
    hook = model.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    yield sizes
    hook.remove()


@pytest.fixture(scope="module")
def unconditional(model) -> Generator:
    config = replace(model.info.build_network().config, num_classes=0)
    defaults = {"sampler": "ddim", "steps": 3, "guidance_scale": 1.0}
    return Generator(UNet(config), replace(model.info, model=asdict(config), classes=(), defaults=defaults), "cpu")


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(abs(a.astype(int) - b.astype(int)).max())


def test_the_checkpoint_says_how_steps_are_spaced_unless_someone_else_does(model):
    visited = [step.t for step in model.denoise(steps=6)]
    assert visited == model.diffusion.schedule.timesteps(6)
    karras = Generator(model.network, replace(model.info, defaults=model.info.defaults | {"spacing": "karras"}), "cpu")
    visited = [step.t for step in karras.denoise(steps=6)]
    assert visited == model.diffusion.schedule.timesteps(6, spacing="karras")
    assert [step.t for step in model.denoise(steps=6, spacing="karras")] == visited
    assert [step.t for step in karras.denoise(steps=6, spacing="trailing")] != visited


def test_guessed_noise_is_scaled_at_low_noise_levels_by_what_the_checkpoint_says_unless_someone_else_does(model):
    usual = {"steps": 6, "sampler": "ddim", "guidance_scale": 1}
    plain, scaled = (list(model.denoise(eps_scale=scale, **usual)) for scale in (None, 1.05))
    sigma = [float(model.diffusion.schedule.sigma[step.t]) for step in plain]
    assert min(sigma) < EPS_SCALED_UP_TO < max(sigma)
    alike = [torch.equal(one.x0, other.x0) for one, other in zip(plain, scaled, strict=True)]
    assert alike == [level > EPS_SCALED_UP_TO for level in sigma]
    first = alike.index(False)  # both stand at the same x_t there
    alpha_bar = torch.tensor(float(model.diffusion.schedule.alpha_bar[plain[first].t]))
    by_hand = rescale_eps(plain[first].x_t, plain[first].x0, alpha_bar, 1.05)
    assert (plain[first].x0.abs() < 0.9).any()
    within = plain[first].x0.abs() < 0.9  # and not at the bounds, which come after it
    torch.testing.assert_close(scaled[first].x0[within], by_hand.clamp(-1, 1)[within], rtol=0, atol=1e-5)
    own = Generator(model.network, replace(model.info, defaults=model.info.defaults | {"eps_scale": 1.05}), "cpu")
    assert np.array_equal(own.sample(**usual), model.sample(eps_scale=1.05, **usual))
    assert np.array_equal(own.sample(eps_scale=1, **usual), model.sample(**usual))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_seed_is_one_image_on_any_batch_size(model, sampler, monkeypatch):
    settings = {"steps": 4, "sampler": sampler, "guidance_scale": 2.0}
    seeds = [5, 0, 2**64 - 1, 6, 2**32 + 5]
    together = model.sample("horse", seeds=seeds, **settings)
    alone = np.concatenate([model.sample("horse", seeds=[seed], **settings) for seed in seeds])
    assert together.shape == (5, 32, 32, 3) and together.dtype == np.uint8
    assert difference(together, alone) <= ONE_LEVEL
    monkeypatch.setattr(generator_module, "BATCH", 2)
    assert difference(together, model.sample("horse", seeds=seeds, **settings)) <= ONE_LEVEL
    for k in range(1, 5):
        assert difference(together[0], together[k]) > 50


def test_the_same_request_gives_the_same_bytes(model):
    first, second = (model.sample("cat", seeds=[1, 2], steps=5, sampler="ddpm") for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_sample_is_the_last_state_of_denoise(model):
    settings = {"steps": 4, "seeds": [3, 4], "sampler": "heun"}
    run = list(model.denoise("ship", **settings))
    assert len(run) == 4 and (run[-1].nfe, run[-1].guide_nfe) == (14, 7)
    assert torch.equal(run[0].x_t, SeededNoise([3, 4], (3, 32, 32))())
    assert np.array_equal(model.sample("ship", **settings), to_images(run[-1].x_prev))


def test_without_guidance_each_step_is_one_evaluation_of_one_batch(model, batches):
    model.sample("dog", seeds=[1, 2, 3], steps=4, sampler="ddim", guidance_scale=1)
    assert batches == [3] * 4
    batches.clear()
    model.sample("dog", seeds=[1, 2, 3], steps=4, sampler="ddim", guidance_scale=2)
    assert batches == [6] * 4
    batches.clear()
    model.sample("any", seeds=[1, 2, 3], steps=4, sampler="ddim", guidance_scale=2)
    assert batches == [3] * 4


@pytest.mark.parametrize("scale", [0, 0.5, 1, 3.0])
def test_guidance_is_the_formula_and_x0_is_clipped(model, scale):
    step = next(model.denoise("frog", seeds=[1, 2], steps=3, guidance_scale=scale))
    t = torch.full((2,), step.t)
    frog, nothing = torch.full((2,), model.classes.index("frog")), torch.full((2,), len(model.classes))
    with torch.no_grad():
        with_class = model.diffusion.denoise(model.network, step.x_t, t, frog)
        without = model.diffusion.denoise(model.network, step.x_t, t, nothing)
    assert (with_class - without).abs().max() > 1e-3
    expected = (without + scale * (with_class - without)).clamp(-1, 1)
    torch.testing.assert_close(step.x0, expected, rtol=1e-4, atol=1e-4)


def test_eps_belongs_to_the_clipped_x0(model):
    """What a sampler is given must add up to x_t; ddim's step then is the forward process at the next level."""
    step = next(model.denoise("frog", seeds=[1], steps=10, sampler="ddim", guidance_scale=20))
    assert (step.x0.abs() == 1).any()
    a, b = (torch.tensor(model.diffusion.schedule.alpha_bar[t]).float() for t in (999, 899))
    torch.testing.assert_close(step.x_prev, add_noise(step.x0, eps_from_x0(step.x_t, step.x0, a), b))


def test_each_image_may_have_its_own_class(model):
    names, seeds = ["cat", None, "truck", "any"], [1, 2, 3, 2]
    settings = {"steps": 4, "guidance_scale": 2.0}
    mixed = model.sample(names, seeds=seeds, **settings)
    for k in range(4):
        assert difference(mixed[k], model.sample(names[k], seeds=[seeds[k]], **settings)[0]) <= ONE_LEVEL
    assert difference(mixed[1], mixed[3]) <= ONE_LEVEL
    assert not np.array_equal(model.sample("cat", seeds=[1], **settings), model.sample("dog", seeds=[1], **settings))


def test_an_unconditional_model_samples_and_refuses_classes(unconditional):
    assert unconditional.sample(seeds=[1]).shape == unconditional.sample("any", seeds=[1]).shape == (1, 32, 32, 3)
    assert any(parameter.requires_grad for parameter in unconditional.network.parameters())
    assert not any(step.x0.requires_grad for step in unconditional.denoise())  # yet sampling builds no graph
    with refused(RequestError, "attention_unet is unconditional and takes no class, not 'cat'"):
        unconditional.denoise("cat")
    with refused(RequestError, "takes no guidance but 1, not 2"):
        unconditional.denoise(guidance_scale=2)


def test_steps_are_made_when_asked_for_and_closing_stops_at_once(model, batches):
    run = model.denoise("cat", steps=1000, seeds=[1], sampler="ddim", guidance_scale=1)
    assert batches == []
    next(run)
    assert batches == [1]
    next(run)
    assert batches == [1, 1]
    run.close()
    assert next(run, None) is None
    assert batches == [1, 1]


def test_two_runs_at_once_do_not_disturb_each_other(model):
    settings = {"steps": 4, "sampler": "ddpm", "guidance_scale": 1}
    apart = [list(model.denoise("cat", seeds=[seed], **settings))[-1].x_prev for seed in (1, 2)]
    both = zip(*(model.denoise("cat", seeds=[seed], **settings) for seed in (1, 2)), strict=True)
    *_, last = both
    assert all(torch.equal(step.x_prev, x) for step, x in zip(last, apart, strict=True))


def test_the_callers_gradients_are_left_alone(model):
    def is_usual():
        x = torch.ones(1, requires_grad=True)
        (x * x).backward()
        return torch.is_grad_enabled() and not torch.is_inference_mode_enabled() and x.grad.item() == 2

    for step in model.denoise("cat", steps=3, seeds=[1]):
        assert is_usual()
        assert not step.x0.requires_grad
    run = model.denoise("cat", steps=3, seeds=[1])
    next(run)
    run.close()
    assert is_usual()

    def fail(*_):
        raise RuntimeError("a broken network")

    hook = model.network.register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="a broken network"):
            model.sample("cat", steps=3, seeds=[1])
    finally:
        hook.remove()
    assert is_usual()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"class_name": "unicorn"}, "There is no class 'unicorn'; choose one of: airplane, automobile"),
        ({"class_name": ["cat", "dog"]}, "one class for each seed: 2 for 1"),
        ({"class_name": ["cat", "unicorn"], "seeds": [1, 2]}, "There is no class 'unicorn'"),
        ({"class_name": [["cat"]]}, r"There is no class \['cat'\]"),
        ({"steps": 0}, "from 1 to 1000, not 0"),
        ({"steps": 1001}, "from 1 to 1000, not 1001"),
        ({"steps": 3.5}, "from 1 to 1000, not 3.5"),
        ({"steps": "abc"}, "from 1 to 1000, not 'abc'"),
        ({"seeds": []}, "at least one seed"),
        ({"seeds": [2**64]}, "from 0 to 18446744073709551615"),
        ({"seeds": -1}, "from 0 to 18446744073709551615"),
        ({"sampler": "euler"}, "There is no sampler 'euler'; choose one of: ddpm, ddim, dpmpp, heun"),
        ({"guidance_scale": -1}, "guidance must be a number from 0 to 20"),
        ({"guidance_scale": "much"}, "guidance must be a number from 0 to 20"),
        ({"eps_scale": 2}, "eps_scale must be a number from 0.9 to 1.1, not 2"),
        ({"spacing": "leading"}, "choose one of: trailing, karras"),
        ({"sampler": "heun", "eta": 0.5}, "eta is a setting of the sampler ddim"),
        ({"sampler": "ddim", "eta": 2}, "eta must be a number from 0 to 1"),
        ({"sampler": "ddpm", "variance": "huge"}, "choose one of: small, large"),
        ({"temperature": 2}, "There is no setting 'temperature'"),
    ],
)
def test_a_wrong_setting_is_refused_before_the_first_step(model, batches, settings, said):
    with refused(RequestError, said):
        model.denoise(**settings)
    with refused(RequestError, said):
        model.sample(**settings)
    assert batches == []


def test_every_class_of_a_long_list_is_checked_before_the_first_image(model, batches, monkeypatch):
    monkeypatch.setattr(generator_module, "BATCH", 2)
    with refused(RequestError, "unicorn"):
        model.sample(["cat", "dog", "unicorn"], seeds=[1, 2, 3], steps=2)
    assert batches == []


def test_a_long_list_of_states_is_denoised_in_parts(model, monkeypatch):
    settings = {"steps": 2, "seeds": [1, 2, 3], "start": (torch.randn(3, 3, 32, 32), 500)}
    whole = model.sample("cat", **settings)
    monkeypatch.setattr(generator_module, "BATCH", 2)
    assert difference(model.sample("cat", **settings), whole) <= 1
    with refused(RequestError, "one a seed, not"):
        model.sample("cat", **settings | {"seeds": [1, 2]})


def test_sampling_forgets_each_step_as_the_next_one_comes(model, monkeypatch):
    original, steps, kept = model.run, [], []

    def watched(*arguments, **settings):
        for step in original(*arguments, **settings):
            steps.append(weakref.ref(step))
            kept.append(sum(reference() is not None for reference in steps))
            yield step

    monkeypatch.setattr(model, "run", watched)
    model.sample("cat", seeds=[1], steps=30, sampler="ddim")
    assert len(kept) == 30 and max(kept) <= 3


def test_settings_left_out_are_the_checkpoints(model):
    assert model.info.defaults == {"sampler": "dpmpp", "steps": 20, "guidance_scale": 2.0}
    left_out, said = model.sample("cat"), model.sample("cat", seeds=[0], sampler="dpmpp", steps=20, guidance_scale=2)
    assert np.array_equal(left_out, said)


def test_what_a_generator_says_of_itself(model):
    assert model.key == "attention_unet" and model.shape == (3, 32, 32) and len(model.classes) == 10
    assert model.device.type == "cpu" and not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())


def test_a_device_that_does_not_exist_is_refused_before_anything_is_read(tmp_path):
    for name in ("abacus", "cpu:x"):
        with refused(RequestError, "auto, cpu, cuda, mps"):
            load_generator(tmp_path / "nothing here", name)


def test_pictures_go_in_and_out_exactly():
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    pixels = to_pixels(every)
    assert pixels.shape == (1, 3, 16, 16) and pixels.min() == -1 and pixels.max() == 1
    assert np.array_equal(to_images(pixels), every)
    assert np.array_equal(to_images(pixels * 3), to_images((pixels * 3).clamp(-1, 1)))
    assert np.array_equal(to_images(torch.full((1, 3, 1, 1), -9.0)), np.zeros((1, 1, 1, 3)))
