"""A UNet of patches: it cuts and joins patches instead of pooling and upsampling, and attends at linear cost."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo.models.layers import ClassEmbedding, TimeEmbedding, group_norm, zero_init
from diffdemo.models.patch_layers import DoubleConvolution, LinearAttention, PatchConv, PatchExpand
from diffdemo.models.settings.patch_unet import PatchUNetConfig

NOISE_LEVEL_SCALE = 1000  # the sinusoids of the time embedding are spaced for numbers from 0 to 1000


class _Level(nn.Module):
    """(N, in, H, W) to (N, out, H, W): double convolutions, then linear attention."""

    def __init__(self, in_channels: int, out_channels: int, config: PatchUNetConfig):
        super().__init__()
        widths = [in_channels] + [out_channels] * config.blocks_per_level
        self.blocks = nn.ModuleList(
            DoubleConvolution(before, after, config.time_embedding_dim, config.dropout)
            for before, after in pairwise(widths)
        )
        self.attention = LinearAttention(out_channels, config.num_heads)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, embedding)
        return self.attention(x)


class PatchUNet(nn.Module):
    """Noisy pictures (N, 3, H, W), steps t (N,) long and class labels (N,) to an output shaped like the pictures.

    Made to predict clean pictures in few steps: the noisy picture takes part in the output directly, weighted by the
    noise level, as in the preconditioning of Karras et al. 2022 (https://arxiv.org/abs/2206.00364), but learned.
    """

    def __init__(self, config: PatchUNetConfig):
        super().__init__()
        self.config = config
        channels, patch_sizes, dim = config.channels, config.patch_sizes, config.time_embedding_dim
        self.time_embedding = TimeEmbedding(dim)
        self.class_embedding = ClassEmbedding(config.num_classes, dim) if config.num_classes else None

        widths = [config.image_channels, *channels]
        self.cut = nn.ModuleList(map(PatchConv, widths, channels, patch_sizes))
        self.down = nn.ModuleList(_Level(width, width, config) for width in channels)
        self.join = nn.ModuleList(map(PatchExpand, channels, [config.refine_channels, *channels], patch_sizes))
        self.up = nn.ModuleList(_Level(2 * width, width, config) for width in channels[:-1])

        refine = config.refine_channels
        self.refine = nn.ModuleList(DoubleConvolution(refine, refine, dim) for _ in range(config.refine_blocks))
        self.norm = group_norm(refine)
        self.head = zero_init(nn.Conv2d(refine, config.image_channels, 3, padding=1))
        self.picture_weight = zero_init(nn.Linear(dim, config.image_channels))

    def forward(self, x: Tensor, t: Tensor, class_label: Tensor | None = None) -> Tensor:
        """Shapes as for the class; no labels, or label num_classes, is the null class."""
        embedding = self._embed((t + 1) / self.config.schedule_steps, class_label)
        h, skips = x, []
        for cut, level in zip(self.cut, self.down, strict=True):
            h = level(cut(h), embedding)
            skips.append(h)
        for join, level, skip in zip(self.join[:0:-1], self.up[::-1], skips[-2::-1], strict=True):
            h = level(torch.cat([join(h), skip], dim=1), embedding)
        h = self.join[0](h)
        for block in self.refine:
            h = block(h, embedding)
        weight = self.picture_weight(embedding)[..., None, None]  # (N, 3, 1, 1)
        return self.head(F.gelu(self.norm(h))) + weight * x

    def _embed(self, noise_level: Tensor, class_label: Tensor | None) -> Tensor:
        """Noise levels in (0, 1], (N,), and labels to (N, time_embedding_dim)."""
        embedding = self.time_embedding(NOISE_LEVEL_SCALE * noise_level)
        if self.class_embedding is not None:
            if class_label is None:
                class_label = torch.full_like(noise_level, self.class_embedding.null, dtype=torch.long)
            embedding = embedding + self.class_embedding(class_label)
        return F.silu(embedding)
