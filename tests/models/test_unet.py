"""The UNet: what goes in and out, what its settings change, and which of them are refused."""

from dataclasses import asdict, replace
from functools import partial

import network_helpers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from network_helpers import inputs
from sentences import refused

from diffdemo.checkpoint import parameter_count
from diffdemo.errors import RequestError
from diffdemo.models.settings.unet import UNetConfig
from diffdemo.models.unet import UNet, _Stage
from diffdemo.registry import SPECS, spec

TINY = UNetConfig(channels=(16, 24), blocks_per_level=1, time_embedding_dim=32, num_heads=4, num_classes=3)
CONFIGS = {
    "tiny": TINY,
    "one level": replace(TINY, channels=(16,)),
    "three levels": replace(TINY, channels=(8, 16, 24), blocks_per_level=2),
    "patches of 2": replace(TINY, patch_size=2),
    "patches of 4": replace(TINY, patch_size=4, channels=(16, 16, 16)),
    "unconditional": replace(TINY, num_classes=0),
    "attention": replace(TINY, attention_levels=(0, 1), middle_attention=True),
    "attention on the way up": replace(TINY, attention_levels=(0, 1), attention_side="up"),
    "no way up from the bottom": replace(TINY, channels=(8, 16, 24), blocks_per_level=2, decode_bottom=False),
    "one head": replace(TINY, attention_levels=(1,), num_heads=1),
    "odd widths": replace(TINY, channels=(7, 9)),
    "grey, 16 pixels": replace(TINY, image_size=16, image_channels=1),
    "dropout": replace(TINY, dropout=0.3),
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


perturbed = partial(network_helpers.perturbed, UNet)


@configs
def test_output_is_shaped_like_the_pictures_and_starts_at_zero(config):
    network_helpers.assert_starts_at_zero(UNet, config)


@configs
def test_every_parameter_learns(config):
    network_helpers.assert_every_parameter_learns(UNet, config)


@configs
def test_images_of_a_batch_do_not_see_each_other(config):
    network_helpers.assert_images_do_not_see_each_other(UNet, config)


def test_steps_and_classes_change_the_output_unless_the_network_has_no_classes():
    network_helpers.assert_steps_and_classes_count(UNet, TINY)


@pytest.mark.parametrize("size", ["reference", "small"])
def test_attention_unet_is_the_simple_unet_and_attention(size):
    simple, attention = spec("simple_unet").configure(size), spec("attention_unet").configure(size)
    differing = {name for name, value in asdict(simple).items() if asdict(attention)[name] != value}
    assert differing == {"attention_levels", "middle_attention"}
    with torch.device("meta"):
        without, with_it = (UNet(config).state_dict() for config in (simple, attention))
    assert {name for name in with_it if ".attention." not in name} == set(without)
    assert all(with_it[name].shape == value.shape for name, value in without.items())
    assert len(with_it) > len(without)


@pytest.mark.parametrize(
    ("key", "size", "millions"),
    [
        ("simple_unet", "small", 6.58),
        ("attention_unet", "small", 7.31),
        ("simple_unet", "reference", 19.3),
        ("attention_unet", "reference", 20.9),
        ("ddpm_unet", "reference", 32.6),
        ("multihead_unet", "reference", 40.7),
    ],
)
def test_networks_are_as_large_as_they_are_said_to_be(key, size, millions):
    with torch.device("meta"):
        network = UNet(spec(key).configure(size))
    assert parameter_count(network) == pytest.approx(1e6 * millions, rel=0.02 if key == "ddpm_unet" else 0.005)


def test_the_ddpm_unet_is_the_published_table():
    """Widths 96, 192, 384, 384 at 32, 16, 8 and 4 pixels; on the way up 384 at 8, 192 with 8 heads at 16, 96 at 32."""
    network = UNet(spec("ddpm_unet").configure()).eval()
    seen = []
    for side, stages in (("down", network.down), ("middle", network.middle), ("up", network.up)):
        for stage in stages:
            if isinstance(stage, _Stage):
                note = partial(_note, seen, side, stage)
                stage.register_forward_hook(note)
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32), torch.zeros(1, dtype=torch.long))
    down = [("down", 96, 32, 0), ("down", 192, 16, 0), ("down", 384, 8, 0), ("down", 384, 4, 0)]
    up = [("up", 384, 8, 0), ("up", 192, 16, 8), ("up", 96, 32, 0)]
    assert list(dict.fromkeys(seen)) == [*down, ("middle", 384, 4, 0), *up]
    assert {m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}


def _note(seen, side, stage, module, arguments, output):
    heads = getattr(stage.attention, "num_heads", 0)
    seen.append((side, output.shape[1], output.shape[2], heads))


def test_attention_begins_as_nothing():
    """With the shared weights equal, the fresh attention UNet is the simple one: a controlled comparison."""
    simple = perturbed(TINY)
    attention = UNet(replace(TINY, attention_levels=(1,), middle_attention=True)).eval()
    missing, unexpected = attention.load_state_dict(simple.state_dict(), strict=False)
    assert missing and all(".attention." in name for name in missing) and not unexpected
    batch = inputs(TINY)
    with torch.no_grad():
        torch.testing.assert_close(attention(*batch), simple(*batch), rtol=1e-5, atol=1e-5)
        changed = perturbed(attention.config)
        changed.load_state_dict(simple.state_dict(), strict=False)
        assert (changed(*batch) - simple(*batch)).abs().max() > 1e-3


def test_attention_sees_the_whole_picture_and_convolutions_do_not():
    one_level = replace(TINY, channels=(16,), num_classes=0)
    x, t, _ = inputs(one_level, count=1)
    changed = x.clone()
    changed[..., 0, 0] += 1e-2
    for config, far in ((one_level, False), (replace(one_level, attention_levels=(0,)), True)):
        network = perturbed(config).double()
        for layer in network.modules():
            if isinstance(layer, torch.nn.GroupNorm):  # its statistics would carry the change everywhere
                layer.forward = lambda h: h
        with torch.no_grad():
            difference = (network(x.double(), t) - network(changed.double(), t))[0, :, -1, -1].abs().max()
        assert (difference > 0) == far


def test_dropout_is_for_training_only():
    network_helpers.assert_dropout_is_for_training_only(UNet, CONFIGS["dropout"])


def test_a_config_that_went_through_lists_is_the_same_config():
    attention = CONFIGS["attention"]
    as_json = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(attention).items()}
    assert UNetConfig(**as_json) == attention


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": ()}, "at least one positive number"),
        ({"channels": (16, 0)}, "at least one positive number"),
        ({"blocks_per_level": 0}, "blocks_per_level must be at least 1"),
        ({"num_heads": 0}, "num_heads must be at least 1"),
        ({"time_embedding_dim": 0}, "time_embedding_dim must be at least 1"),
        ({"patch_size": 0}, "patch_size must be at least 1"),
        ({"image_size": 0}, "image_size must be at least 1"),
        ({"image_channels": 0}, "image_channels must be at least 1"),
        ({"num_classes": -1}, "num_classes must be 0"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"dropout": -0.1}, "dropout must be"),
        ({"dropout": float("nan")}, "dropout must be"),
        ({"patch_size": 3}, "fewer channels entries or a smaller patch_size"),
        ({"image_size": 30, "channels": (8, 8, 8)}, "fewer channels entries or a smaller patch_size"),
        ({"channels": (8,) * 7}, "fewer channels entries or a smaller patch_size"),
        ({"attention_side": "down"}, "attention_side must be both or up"),
        ({"channels": (16,), "decode_bottom": False}, "at least two channels entries"),
        ({"attention_levels": (2,)}, "there are 2: 0 to 1"),
        ({"attention_levels": (-1,)}, "there are 2: 0 to 1"),
        ({"attention_levels": (1,), "num_heads": 5}, "num_heads 5 does not divide a level of 24"),
        ({"middle_attention": 2**32}, "middle_attention must be true or false, not 4294967296"),
        ({"middle_attention": True, "num_heads": 7}, "num_heads 7 does not divide a level of 24"),
    ],
)
def test_a_config_that_makes_no_network_is_refused_with_a_sentence(change, said):
    with refused(RequestError, said):
        replace(TINY, **change)


@given(
    channels=st.lists(st.sampled_from([4, 6, 8, 12]), min_size=1, max_size=4),
    blocks=st.integers(1, 2),
    levels=st.lists(st.integers(0, 3), max_size=3, unique=True),
    side=st.sampled_from(["both", "up"]),
    heads=st.sampled_from([1, 2, 4, 5]),
    width=st.sampled_from([8, 20]),
    bottom=st.booleans(),
    patch=st.sampled_from([1, 2, 4]),
)
@settings(max_examples=40)
def test_any_settings_make_a_network_that_learns_or_a_sentence(
    channels, blocks, levels, side, heads, width, bottom, patch
):
    chosen = {"channels": channels, "blocks_per_level": blocks, "attention_levels": levels, "attention_side": side}
    chosen |= {"num_heads": heads, "time_embedding_dim": width, "decode_bottom": bottom, "patch_size": patch}
    fits = all(level < len(channels) and channels[level] % heads == 0 for level in levels)
    fits = fits and (bottom or len(channels) > 1)
    if not fits:
        with pytest.raises(RequestError, match=r"levels|num_heads|channels"):
            UNetConfig(**chosen, image_size=32, num_classes=0)
        return
    config = UNetConfig(**chosen, image_size=32, num_classes=0)
    network = perturbed(config)
    x, t, _ = inputs(config)
    network(x, t).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_heads_need_not_divide_levels_without_attention():
    assert UNet(replace(TINY, channels=(18, 24), attention_levels=(1,), num_heads=4))


def test_an_architecture_or_size_that_does_not_exist_is_refused_with_a_sentence():
    with refused(RequestError, ", ".join(SPECS)):
        spec("transformer")
    with refused(RequestError, "reference, small or tiny"):
        spec("simple_unet").configure("huge")
