"""The one table of architectures that everything else reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from diffdemo.data import CIFAR10_CLASSES
from diffdemo.errors import RequestError
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
        prediction: what the reference predicts, see `diffdemo.diffusion.PREDICTIONS`.
    """

    key: str
    title: str
    space: str
    classes: tuple[str, ...]
    config_type: type
    build: Callable[..., nn.Module]
    reference: Mapping[str, object]
    small: Mapping[str, object]
    prediction: str = "noise"

    def configure(self, size: str = "reference", **overrides) -> object:
        """The settings of one size, with some of them replaced."""
        if size not in ("reference", "small"):
            raise RequestError(f"There is no size {size!r}; choose reference or small.")
        chosen = {**self.reference, **(self.small if size == "small" else {}), **overrides}
        return self.config_type(**chosen)


# On a CPU, patches of 2x2 pixels and few channels give the most pictures, and so the best ones, per minute.
_SMALL = {"channels": (64, 128, 128), "patch_size": 2, "time_embedding_dim": 256}
_REFERENCE = {"channels": (96, 192, 192), "blocks_per_level": 2, "time_embedding_dim": 1024}
_ATTENTION = {"attention_levels": (1, 2), "middle_attention": True, "num_heads": 4}

SPECS: dict[str, ModelSpec] = {
    spec.key: spec
    for spec in (
        ModelSpec("simple_unet", "Simple UNet", "pixels", CIFAR10_CLASSES, UNetConfig, UNet, _REFERENCE, _SMALL),
        ModelSpec(
            "attention_unet",
            "Attention UNet",
            "pixels",
            CIFAR10_CLASSES,
            UNetConfig,
            UNet,
            {**_REFERENCE, **_ATTENTION},
            _SMALL,
        ),
    )
}


def spec(key: str) -> ModelSpec:
    """The architecture of that name; RequestError names those there are."""
    if key not in SPECS:
        raise RequestError(f"There is no model {key!r}; choose one of: {', '.join(SPECS)}.")
    return SPECS[key]
