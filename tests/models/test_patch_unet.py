"""The patch UNet: what goes in and out, what its settings change, and which of them are refused."""

from dataclasses import asdict, replace
from functools import partial

import network_helpers
import pytest
import torch
from network_helpers import inputs
from sentences import refused

from diffdemo.errors import RequestError
from diffdemo.models.patch_layers import LinearAttention
from diffdemo.models.patch_unet import PatchUNet
from diffdemo.models.settings.patch_unet import PatchUNetConfig
from diffdemo.registry import spec

TINY = PatchUNetConfig(
    channels=(8, 12), patch_sizes=(4, 2), blocks_per_level=1, num_heads=2, refine_channels=4, refine_blocks=1,
    time_embedding_dim=16, num_classes=3,
)  # fmt: skip
CONFIGS = {
    "tiny": TINY,
    "one level": replace(TINY, channels=(8,), patch_sizes=(4,)),
    "three levels": replace(TINY, channels=(8, 8, 12), patch_sizes=(2, 2, 2), blocks_per_level=2),
    "whole resolution": replace(TINY, patch_sizes=(1, 4)),
    "unconditional": replace(TINY, num_classes=0),
    "no refinement": replace(TINY, refine_blocks=0),
    "odd widths": replace(TINY, channels=(7, 9), num_heads=1, refine_channels=5),
    "grey, 16 pixels": replace(TINY, image_size=16, image_channels=1),
    "dropout": replace(TINY, dropout=0.3),
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


perturbed = partial(network_helpers.perturbed, PatchUNet)


@configs
def test_a_denoising_network_does_what_it_must(config):
    network_helpers.assert_starts_at_zero(PatchUNet, config)
    network_helpers.assert_every_parameter_learns(PatchUNet, config)
    network_helpers.assert_images_do_not_see_each_other(PatchUNet, config)


def test_noise_levels_and_classes_are_heard():
    network_helpers.assert_steps_and_classes_count(PatchUNet, TINY)


def test_the_network_sees_noise_levels_up_to_one_whatever_the_schedule():
    """Step t of T and step t' of T' with (t + 1) / T = (t' + 1) / T' are the same to it; the last step is level 1."""
    seen = []
    network = perturbed(TINY)
    network.time_embedding.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    x, _, label = inputs(TINY)
    with torch.no_grad():
        of_1000 = network(x, torch.tensor([99, 999]), label)
        network.config = replace(TINY, schedule_steps=10)
        of_10 = network(x, torch.tensor([0, 9]), label)
    assert torch.equal(of_1000, of_10)
    assert seen[0].tolist() == pytest.approx([100, 1000])


def test_attention_follows_every_level():
    network = PatchUNet(replace(TINY, channels=(8, 8, 12), patch_sizes=(2, 2, 2)))
    names = [name for name, module in network.named_modules() if isinstance(module, LinearAttention)]
    assert names == [f"down.{level}.attention" for level in range(3)] + [f"up.{level}.attention" for level in range(2)]


@pytest.mark.parametrize("attends", [True, False])
def test_attention_sees_the_whole_picture_and_nothing_else_does(attends):
    network = perturbed(replace(TINY, channels=(8,), patch_sizes=(1,))).double()
    for layer in network.modules():
        # The statistics of a norm would carry a change everywhere.
        if isinstance(layer, torch.nn.GroupNorm) or (isinstance(layer, LinearAttention) and not attends):
            layer.forward = lambda h: h
    x, t, label = inputs(network.config, count=1)
    changed = x.clone()
    changed[..., 0, 0] += 1e-2
    with torch.no_grad():
        difference = (network(x.double(), t, label) - network(changed.double(), t, label))[0, :, -1, -1].abs().max()
    assert (difference > 0) == attends


def test_dropout_is_for_training_only():
    network_helpers.assert_dropout_is_for_training_only(PatchUNet, CONFIGS["dropout"])


def test_half_precision_changes_little():
    network = perturbed(TINY)
    batch = inputs(TINY)
    with torch.no_grad():
        exact = network(*batch)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(*batch).float()
    assert (rough - exact).square().mean().sqrt() < 0.05 * exact.std()


def test_a_config_that_went_through_lists_is_the_same_config():
    as_json = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(TINY).items()}
    assert PatchUNetConfig(**as_json) == TINY


@pytest.mark.parametrize(("size", "low", "high"), [("reference", 10e6, 20e6), ("small", 5e6, 7e6), ("tiny", 0, 1e5)])
def test_sizes_of_the_registered_networks(size, low, high):
    with torch.device("meta"):
        network = PatchUNet(spec("patch_unet").configure(size))
    assert low < sum(parameter.numel() for parameter in network.parameters()) < high
    assert network.config.num_classes == len(spec("patch_unet").classes) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": ()}, "channels needs at least one positive number"),
        ({"channels": (8, 0)}, "channels needs at least one positive number"),
        ({"patch_sizes": (4, -2)}, "patch_sizes needs at least one positive number"),
        ({"channels": (8,)}, "there are 1 channels and 2 patch_sizes"),
        ({"patch_sizes": (4, 3)}, "Patches of 4, 3 do not fit 32 pixels one after the other"),
        ({"image_size": 30}, "Patches of 4, 2 do not fit 30 pixels"),
        ({"patch_sizes": (32, 2)}, "Patches of 32, 2 do not fit"),
        ({"blocks_per_level": 0}, "blocks_per_level must be at least 1"),
        ({"num_heads": 0}, "num_heads must be at least 1"),
        ({"num_heads": 8}, "num_heads 8 does not divide a level of 12 channels"),
        ({"refine_channels": 0}, "refine_channels must be at least 1"),
        ({"refine_blocks": -1}, "refine_blocks must be at least 0"),
        ({"time_embedding_dim": 0}, "time_embedding_dim must be at least 1"),
        ({"schedule_steps": 0}, "schedule_steps must be at least 1"),
        ({"image_size": 0}, "image_size must be at least 1"),
        ({"image_channels": 0}, "image_channels must be at least 1"),
        ({"num_classes": -1}, "num_classes must be 0"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"dropout": float("nan")}, "dropout must be"),
    ],
)
def test_a_config_that_makes_no_network_is_refused_with_a_sentence(change, said):
    with refused(RequestError, said):
        replace(TINY, **change)
