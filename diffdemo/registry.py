"""The one table of architectures that everything else reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from diffdemo.data import CIFAR10_CLASSES
from diffdemo.errors import RequestError
from diffdemo.models.settings.latent_diffusion import LatentDiffusionConfig
from diffdemo.models.settings.patch_unet import PatchUNetConfig
from diffdemo.models.settings.unet import UNetConfig

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelSpec:
    """What an architecture is, before anything is trained.

    Attributes:
        key: its name on the command line, in the API and under `checkpoints/`.
        title: its name for people.
        what: what sets it apart from the others, in a few words.
        space: "pixels" or "latents": what it denoises.
        classes: names of the classes it is conditioned on; empty if unconditional.
        config_type: dataclass of its settings.
        network: class of the network, as a name that is imported when one is built: it needs PyTorch, whose import
            takes seconds, and this table is read by what only lists models.
        reference: the reference configuration.
        small: what differs from it in the configuration that two CPU cores can train.
        tiny: what differs from it in the smallest that is still the architecture, to see in seconds that all works.
        recipe: flags of its training script that the reference configuration changes, where they are not named.
        script: module that trains it, and what that must be told to train this one.
        shares: {plan of `train.all`: its share of the time}; in a plan that is missing it is not trained.
        gpu_flags: what the plan for a GPU tells the script besides.
        like: an architecture whose training time it gets to the second, because the two are compared.
        needs: a part of it that is trained before, by a script of its own.
        prediction: what the reference predicts, see `diffdemo.process.diffusion.PREDICTIONS`.
    """

    key: str
    title: str
    what: str
    space: str
    classes: tuple[str, ...]
    config_type: type
    network: str
    reference: Mapping[str, object]
    small: Mapping[str, object]
    tiny: Mapping[str, object]
    recipe: Mapping[str, object]
    script: str
    shares: Mapping[str, float] = field(default_factory=dict)
    gpu_flags: str = ""
    like: str = ""
    needs: str = ""
    prediction: str = "noise"

    def configure(self, size: str = "reference", **overrides) -> object:
        """The settings of one size, with some of them replaced."""
        changes = {"reference": {}, "small": self.small, "tiny": self.tiny}
        if size not in changes:
            raise RequestError(f"There is no size {size!r}; choose reference, small or tiny.")
        return self.config_type(**{**self.reference, **changes[size], **overrides})

    def build(self, config: object) -> "nn.Module":
        """A freshly initialised network of these settings, which `configure` gives."""
        module, _, name = self.network.rpartition(".")
        return getattr(import_module(module), name)(config)


# On a CPU, patches of 2x2 pixels and few channels give the most pictures, and so the best ones, per minute.
_SMALL_UNET = {"channels": (64, 128, 128), "patch_size": 2, "time_embedding_dim": 256}
_TINY_UNET = {"channels": (16, 16), "blocks_per_level": 1, "patch_size": 2, "time_embedding_dim": 32, "num_heads": 2}
# The classic recipe of Ho et al. 2020; the averages warm up, so that 0.9999 does no harm to a short run.
_CLASSIC = {"prediction": "noise", "noise_levels": "uniform", "ema_decay": 0.9999}
# For half an hour of one large GPU: the clock ends each training, and batches fill it. In the first 9,000 steps the
# averages' warm-up makes 0.999 and 0.9999 the same: the first is faster than both.
GPU_TIMED = "--images 1000000000 --patience 0"
_GPU = f"{GPU_TIMED} --ema-decay 0.998 --slow-ema-decay 0.9999"
_GPU_UNET = (
    f"{_GPU} --prediction edm --noise-levels lognormal --batch-size 256 --accumulate 1 --lr 1e-3 "
    "--warmup-images 100000 --draw-epochs 10 --spacing karras"
)

_TABLE = (
    ModelSpec(
        key="simple_unet",
        title="Simple UNet",
        what="plain UNet, no attention",
        space="pixels",
        classes=CIFAR10_CLASSES,
        config_type=UNetConfig,
        network="diffdemo.models.unet.UNet",
        reference={"channels": (96, 192, 192), "blocks_per_level": 2, "time_embedding_dim": 1024, "num_classes": 10},
        small=_SMALL_UNET,
        tiny=_TINY_UNET,
        recipe=_CLASSIC | {"batch_size": 200, "lr": 3e-4, "patience": 10, "epochs": 200},
        script="train.unet --model simple_unet",
        shares={"usual": 6, "gpu": 7},
        gpu_flags=_GPU_UNET,
        like="attention_unet",
    ),
    ModelSpec(
        key="attention_unet",
        title="Attention UNet",
        what="the same with attention",
        space="pixels",
        classes=CIFAR10_CLASSES,
        config_type=UNetConfig,
        network="diffdemo.models.unet.UNet",
        reference={
            **{"channels": (96, 192, 192), "blocks_per_level": 2, "time_embedding_dim": 1024, "num_classes": 10},
            **{"attention_levels": (1, 2), "middle_attention": True, "num_heads": 4},
        },
        small=_SMALL_UNET,
        tiny=_TINY_UNET | {"attention_levels": (1,)},
        recipe=_CLASSIC | {"batch_size": 200, "lr": 3e-4, "patience": 10, "epochs": 50},
        script="train.unet --model attention_unet",
        shares={"usual": 6, "gpu": 7},
        gpu_flags=_GPU_UNET,
    ),
    # 32.6 M parameters. Attention is where the picture is 16x16, on the way up; from 4x4 the way up begins with 8x8.
    ModelSpec(
        key="ddpm_unet",
        title="DDPM UNet",
        what="after Ho et al. 2020",
        space="pixels",
        classes=(),
        config_type=UNetConfig,
        network="diffdemo.models.unet.UNet",
        reference={
            **{"channels": (96, 192, 384, 384), "blocks_per_level": 1, "time_embedding_dim": 832, "dropout": 0.1},
            **{"attention_levels": (1,), "attention_side": "up", "num_heads": 8, "decode_bottom": False},
            "num_classes": 0,
        },
        small=_SMALL_UNET | {"blocks_per_level": 2, "dropout": 0.0},
        tiny=_TINY_UNET | {"attention_levels": (1,)},
        recipe=_CLASSIC | {"batch_size": 32, "accumulate": 4, "lr": 2e-4, "clip_norm": 1.0, "epochs": 600},
        script="train.unet --model ddpm_unet",
        shares={"usual": 5, "gpu": 5},
        gpu_flags=_GPU_UNET,
    ),
    ModelSpec(
        key="multihead_unet",
        title="Multi-head UNet",
        what="depth, attention and heads are settings",
        space="pixels",
        classes=(),
        config_type=UNetConfig,
        network="diffdemo.models.unet.UNet",
        reference={
            **{"channels": (64, 128, 256, 512), "blocks_per_level": 1, "time_embedding_dim": 256},
            **{"attention_levels": (1, 2), "num_heads": 4, "num_classes": 0},
        },
        small=_SMALL_UNET | {"channels": (64, 128, 128, 128)},
        tiny=_TINY_UNET | {"attention_levels": (1,)},
        recipe=_CLASSIC | {"batch_size": 128, "lr": 2e-4, "epochs": 200},
        script="train.unet --model multihead_unet",
        shares={"usual": 2, "gpu": 3},
        gpu_flags=_GPU_UNET,
    ),
    ModelSpec(
        key="patch_unet",
        title="Patch UNet",
        what="patches for pooling, linear attention",
        space="pixels",
        classes=("cat", "dog"),
        config_type=PatchUNetConfig,
        network="diffdemo.models.patch_unet.PatchUNet",
        reference={
            **{"channels": (96, 192, 384), "patch_sizes": (1, 2, 2), "time_embedding_dim": 512, "num_classes": 2},
        },
        small={
            **{"channels": (64, 128, 256), "patch_sizes": (2, 2, 2), "time_embedding_dim": 256},
            **{"refine_channels": 16, "refine_blocks": 1},
        },
        tiny={
            **{"channels": (8, 16), "patch_sizes": (4, 2), "time_embedding_dim": 32, "num_heads": 2},
            **{"refine_channels": 8, "refine_blocks": 1},
        },
        prediction="clean",
        # Warm-up and cosine over 100 epochs of the cats and dogs of CIFAR-10, about a million pictures.
        recipe={
            **{"warmup_images": 100_000, "decay": "cosine", "decay_start": 0.1, "epochs": 100},
            **{"batch_size": 64, "lr": 1.5e-4, "weight_decay": 0.02},
        },
        script="train.patch_unet",
        shares={"usual": 3, "gpu": 2},
        gpu_flags=f"{_GPU} --batch-size 256 --lr 5e-4 --draw-epochs 10",
    ),
    ModelSpec(
        key="latent_diffusion",
        title="Latent diffusion",
        what="denoises an autoencoder's 128 numbers",
        space="latents",
        classes=("cat", "dog"),
        config_type=LatentDiffusionConfig,
        network="diffdemo.models.latent_diffusion.LatentDiffusion",
        reference={"autoencoder": {}, "hidden": (256, 512, 256), "num_classes": 2},
        small={
            "autoencoder": {
                **{"channels": (32, 128, 192), "blocks_per_level": 1, "patch_size": 2, "linear_path": True},
            },
        },
        tiny={
            "autoencoder": {
                **{"channels": (8, 16), "blocks_per_level": 1, "patch_size": 4, "linear_path": True, "latent_dim": 16},
            },
            **{"hidden": (32, 48, 32), "embedding_dim": 32},
        },
        recipe={"ema_decay": 0.9999, "batch_size": 128, "epochs": 500},
        script="train.latent",
        shares={"usual": 1, "gpu": 1},  # done in a minute or two
        gpu_flags=f"{_GPU} --batch-size 1024 --draw-epochs 500",
        needs="autoencoder",
    ),
)
SPECS: dict[str, ModelSpec] = {spec.key: spec for spec in _TABLE}


def spec(key: str) -> ModelSpec:
    """The architecture of that name; RequestError names those there are."""
    if key not in SPECS:
        raise RequestError(f"There is no model {key!r}; choose one of: {', '.join(SPECS)}.")
    return SPECS[key]
