"""The settings of the UNet of patches."""

import math
from dataclasses import dataclass

from diffdemo.errors import RequestError
from diffdemo.models.settings import checks


@dataclass(frozen=True)
class PatchUNetConfig:
    """The settings of a `PatchUNet`.

    Attributes:
        channels: width of each level, finest first.
        patch_sizes: side of the patches each level cuts what comes before it into, finest first: with (2, 2, 2) the
            levels of a picture of 32 pixels have 16, 8 and 4 positions a side.
        blocks_per_level: double convolutions of each level, on the way down and on the way up.
        num_heads: attention heads; they must divide the channels of every level.
        refine_channels: width of the refinement blocks at full resolution.
        refine_blocks: how many of them there are.
        time_embedding_dim: width of the embedding of noise level and class.
        dropout: probability, inside double convolutions.
        schedule_steps: steps T of the noise schedule; step t has the noise level (t + 1) / T.
        num_classes: 0 for an unconditional network.
        image_size: height and width of the pictures in pixels.
        image_channels: colour channels of the pictures.
    """

    channels: tuple[int, ...] = (64, 128, 256)
    patch_sizes: tuple[int, ...] = (2, 2, 2)
    blocks_per_level: int = 2
    num_heads: int = 4
    refine_channels: int = 32
    refine_blocks: int = 2
    time_embedding_dim: int = 256
    dropout: float = 0.0
    schedule_steps: int = 1000
    num_classes: int = 2
    image_size: int = 32
    image_channels: int = 3

    def __post_init__(self):
        checks.widths(self, "channels", "patch_sizes")
        sizes = ("refine_channels", "time_embedding_dim", "schedule_steps", "image_size", "image_channels")
        checks.at_least(self, 1, "blocks_per_level", "num_heads", *sizes)
        checks.at_least(self, 0, "refine_blocks")
        checks.classes(self)
        checks.dropout(self)
        checks.heads_divide(self.num_heads, self.channels)
        if len(self.channels) != len(self.patch_sizes):
            raise RequestError(
                f"Each level has a width and a patch size, but there are {len(self.channels)} channels and "
                f"{len(self.patch_sizes)} patch_sizes."
            )
        if self.image_size % math.prod(self.patch_sizes):
            raise RequestError(
                f"Patches of {', '.join(map(str, self.patch_sizes))} do not fit {self.image_size} pixels one after the "
                "other; use smaller ones."
            )
