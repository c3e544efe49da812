"""The one table of architectures that everything else reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from diffdemo.data import CIFAR10_CLASSES
from diffdemo.errors import RequestError
from diffdemo.models.latent_diffusion import LatentDiffusion, LatentDiffusionConfig
from diffdemo.models.patch_unet import PatchUNet, PatchUNetConfig
from diffdemo.models.unet import UNet, UNetConfig


@dataclass(frozen=True)
class ModelSpec:
    """What an architecture is, before anything is trained.

    Attributes:
        key: its name on the command line, in the API and under `checkpoints/`.
        title: its name for people.
        space: "pixels" or "latents": what it denoises.
        classes: names of the classes it is conditioned on; empty if unconditional.
        config_type: dataclass of its settings.
        build: makes the network from such settings.
        reference: the reference configuration.
        small: what differs from it in the configuration that two CPU cores can train.
        tiny: what differs from it in the smallest that is still the architecture, to see in seconds that all works.
        prediction: what the reference predicts, see `diffdemo.process.diffusion.PREDICTIONS`.
    """

    key: str
    title: str
    space: str
    classes: tuple[str, ...]
    config_type: type
    build: Callable[..., nn.Module]
    reference: Mapping[str, object]
    small: Mapping[str, object]
    tiny: Mapping[str, object]
    prediction: str = "noise"

    def configure(self, size: str = "reference", **overrides) -> object:
        """The settings of one size, with some of them replaced."""
        changes = {"reference": {}, "small": self.small, "tiny": self.tiny}
        if size not in changes:
            raise RequestError(f"There is no size {size!r}; choose reference, small or tiny.")
        return self.config_type(**{**self.reference, **changes[size], **overrides})


# On a CPU, patches of 2x2 pixels and few channels give the most pictures, and so the best ones, per minute.
_SMALL = {"channels": (64, 128, 128), "patch_size": 2, "time_embedding_dim": 256}
_TINY = {"channels": (16, 16), "blocks_per_level": 1, "patch_size": 2, "time_embedding_dim": 32, "num_heads": 2}
_REFERENCE = {"channels": (96, 192, 192), "blocks_per_level": 2, "time_embedding_dim": 1024}
_ATTENTION = {"attention_levels": (1, 2), "middle_attention": True, "num_heads": 4}
# 32.6 M parameters. Attention is where the picture is 16x16, on the way up; from 4x4 the way up begins with 8x8.
_DDPM = {"channels": (96, 192, 384, 384), "blocks_per_level": 1, "time_embedding_dim": 832, "dropout": 0.1}
_DDPM |= {"attention_levels": (1,), "attention_side": "up", "num_heads": 8, "decode_bottom": False}
_MULTIHEAD = {"channels": (64, 128, 256, 512), "blocks_per_level": 1, "time_embedding_dim": 256}
_MULTIHEAD |= {"attention_levels": (1, 2), "num_heads": 4}
_PATCH = {"channels": (96, 192, 384), "patch_sizes": (1, 2, 2), "num_classes": 2, "time_embedding_dim": 512}
_PATCH_SMALL = {"channels": (64, 128, 256), "patch_sizes": (2, 2, 2), "refine_channels": 16, "refine_blocks": 1}
_PATCH_SMALL |= {"time_embedding_dim": 256}
_PATCH_TINY = {"channels": (8, 16), "patch_sizes": (4, 2), "refine_channels": 8, "refine_blocks": 1}
_PATCH_TINY |= {"time_embedding_dim": 32, "num_heads": 2}

_LATENT = {"autoencoder": {}, "hidden": (256, 512, 256), "num_classes": 2}
_LATENT_SMALL = {"channels": (32, 128, 192), "blocks_per_level": 1, "patch_size": 2, "linear_path": True}
_LATENT_TINY = {"channels": (8, 16), "blocks_per_level": 1, "patch_size": 4, "linear_path": True, "latent_dim": 16}


def _latent_diffusion() -> ModelSpec:
    small, tiny = (
        {"autoencoder": _LATENT_SMALL},
        {"autoencoder": _LATENT_TINY, "hidden": (32, 48, 32), "embedding_dim": 32},
    )
    return ModelSpec(
        "latent_diffusion",
        "Latent diffusion",
        "latents",
        ("cat", "dog"),
        LatentDiffusionConfig,
        LatentDiffusion,
        _LATENT,
        small,
        tiny,
    )


def _patch_unet() -> ModelSpec:
    classes = ("cat", "dog")
    return ModelSpec(
        "patch_unet",
        "Patch UNet",
        "pixels",
        classes,
        PatchUNetConfig,
        PatchUNet,
        _PATCH,
        _PATCH_SMALL,
        _PATCH_TINY,
        "clean",
    )


def _unet(key: str, title: str, classes: tuple[str, ...], reference: dict, small: dict) -> ModelSpec:
    shared = {"num_classes": len(classes)}
    tiny = _TINY | ({"attention_levels": (1,)} if reference.get("attention_levels") else {})
    return ModelSpec(key, title, "pixels", classes, UNetConfig, UNet, reference | shared, small, tiny)


SPECS: dict[str, ModelSpec] = {
    spec.key: spec
    for spec in (
        _unet("simple_unet", "Simple UNet", CIFAR10_CLASSES, _REFERENCE, _SMALL),
        _unet("attention_unet", "Attention UNet", CIFAR10_CLASSES, _REFERENCE | _ATTENTION, _SMALL),
        _unet("ddpm_unet", "DDPM UNet", (), _DDPM, _SMALL | {"blocks_per_level": 2, "dropout": 0.0}),
        _unet("multihead_unet", "Multi-head UNet", (), _MULTIHEAD, _SMALL | {"channels": (64, 128, 128, 128)}),
        _patch_unet(),
        _latent_diffusion(),
    )
}


def spec(key: str) -> ModelSpec:
    """The architecture of that name; RequestError names those there are."""
    if key not in SPECS:
        raise RequestError(f"There is no model {key!r}; choose one of: {', '.join(SPECS)}.")
    return SPECS[key]
