"""One UNet; the simple, attention, DDPM and multi-head UNets are settings of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo.models.layers import ClassEmbedding, ResidualBlock, SelfAttention, TimeEmbedding, group_norm, zero_init
from diffdemo.models.settings.unet import UNetConfig


class _Stage(nn.Module):
    """A residual block, and attention where the level has it."""

    def __init__(self, in_channels: int, out_channels: int, config: UNetConfig, attention: bool):
        super().__init__()
        self.block = ResidualBlock(in_channels, out_channels, config.time_embedding_dim, config.dropout)
        self.attention = SelfAttention(out_channels, config.num_heads) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.attention(self.block(x, embedding))


class Upsample(nn.Module):
    """(N, C, H, W) to (N, C, 2H, 2W): nearest neighbour, then a convolution, which leaves no checkerboard."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class UNet(nn.Module):
    """Noisy pictures (N, 3, H, W), steps t (N,) and class labels (N,) to an output shaped like the pictures.

    After Ho et al. 2020, with skips concatenated, the embedding of time plus class modulating every block, and the last
    convolution of every block and of the network starting at zero.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        channels, levels, attending = config.channels, len(config.channels), config.attention_levels
        self.time_embedding = TimeEmbedding(config.time_embedding_dim)
        self.class_embedding = (
            ClassEmbedding(config.num_classes, config.time_embedding_dim) if config.num_classes else None
        )

        patch_channels = config.image_channels * config.patch_size**2
        self.stem = nn.Conv2d(patch_channels, channels[0], 3, padding=1)
        width, skips = channels[0], [channels[0]]
        self.down = nn.ModuleList()
        for level, out in enumerate(channels):
            if level > 0:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
            for _ in range(config.blocks_per_level):
                self.down.append(_Stage(width, out, config, level in attending and config.attention_side == "both"))
                width = out
                skips.append(width)

        self.middle = nn.ModuleList(
            [_Stage(width, width, config, config.middle_attention), _Stage(width, width, config, False)]
        )

        self.up = nn.ModuleList()
        # The coarsest level leaves as many skips as any other; where it has no way up, nobody takes them.
        self.unused_skips = 0 if config.decode_bottom else config.blocks_per_level + 1
        skips = skips[: len(skips) - self.unused_skips]
        for level in reversed(range(levels)):
            for _ in range(config.blocks_per_level + 1 if config.decode_bottom or level < levels - 1 else 0):
                self.up.append(_Stage(width + skips.pop(), channels[level], config, level in attending))
                width = channels[level]
            if level > 0:
                self.up.append(Upsample(width))

        self.norm = group_norm(width)
        self.head = zero_init(nn.Conv2d(width, patch_channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, class_label: Tensor | None = None) -> Tensor:
        """Shapes as for the class; no labels, or label num_classes, is the null class."""
        embedding = self.time_embedding(t)  # (N, time_embedding_dim)
        if self.class_embedding is not None:
            if class_label is None:
                class_label = torch.full_like(t, self.class_embedding.null)
            embedding = embedding + self.class_embedding(class_label)
        embedding = F.silu(embedding)

        h = self.stem(F.pixel_unshuffle(x, self.config.patch_size))
        skips = [h]
        for layer in self.down:
            h = layer(h, embedding) if isinstance(layer, _Stage) else layer(h)
            skips.append(h)
        skips = skips[: len(skips) - self.unused_skips]
        for stage in self.middle:
            h = stage(h, embedding)
        for layer in self.up:
            h = layer(torch.cat([h, skips.pop()], dim=1), embedding) if isinstance(layer, _Stage) else layer(h)
        return F.pixel_shuffle(self.head(F.silu(self.norm(h))), self.config.patch_size)
