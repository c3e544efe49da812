"""The parts networks are made of."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


def zero_init(layer: nn.Module) -> nn.Module:
    """Set a layer's weights to zero, so that the block it ends begins as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm with 32 groups (Ho et al. 2020), or fewer where channels are few: at least four channels a group."""
    groups = next(g for g in (32, 16, 8, 4, 2, 1) if channels % g == 0 and (channels // g >= 4 or g == 1))
    return nn.GroupNorm(groups, channels)


class SinusoidalEmbedding(nn.Module):
    """Embed steps t, (N,), as (N, dim) sines and cosines of geometrically spaced frequencies (Vaswani et al. 2017)."""

    def __init__(self, dim: int, max_period: float = 10_000.0):
        super().__init__()
        frequencies = torch.exp(-math.log(max_period) * torch.arange(dim // 2) / (dim // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        angles = t.float()[:, None] * self.frequencies[None]  # (N, dim / 2)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimeEmbedding(nn.Module):
    """Steps t, (N,), to (N, dim): sinusoids, then a two-layer perceptron (Ho et al. 2020)."""

    def __init__(self, dim: int, sinusoids: int = 128):
        super().__init__()
        self.layers = nn.Sequential(
            SinusoidalEmbedding(sinusoids), nn.Linear(sinusoids, dim), nn.SiLU(), nn.Linear(dim, dim)
        )

    def forward(self, t: Tensor) -> Tensor:
        return self.layers(t)


class ClassEmbedding(nn.Embedding):
    """Class labels, (N,) long in [0, num_classes], to (N, dim); label num_classes is the null class of guidance."""

    def __init__(self, num_classes: int, dim: int):
        super().__init__(num_classes + 1, dim)
        self.null = num_classes


class ResidualBlock(nn.Module):
    """(N, in, H, W) and an embedding (N, dim) to (N, out, H, W): norm, SiLU, convolution, twice.

    The embedding scales and shifts the second norm's output (Dhariwal and Nichol 2021, https://arxiv.org/abs/2105.05233).
    """

    def __init__(self, in_channels: int, out_channels: int, embedding_dim: int, dropout: float = 0.0):
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.modulation = nn.Linear(embedding_dim, 2 * out_channels)
        self.norm2 = group_norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)  # (N, out, 1, 1) each
        h = F.silu(self.norm2(h) * (1 + scale) + shift)
        return self.shortcut(x) + self.conv2(self.dropout(h))


def _fast_backward(x: Tensor) -> AbstractContextManager:
    """On a CPU the plain formula trains faster than the fused kernel, whose bf16 backward pass is slow.

    Measured on one core, 64 positions, 4 heads of 32 channels, batch 64: 8 ms instead of 36 ms forward and backward.
    """
    train_on_cpu = x.device.type == "cpu" and torch.is_grad_enabled()
    return sdpa_kernel(SDPBackend.MATH) if train_on_cpu else nullcontext()


class Attention(nn.Module):
    """Residual self-attention over all H * W positions of (N, C, H, W), with `num_heads` heads.

    Which kind of attention it is, a subclass says in `attend`.
    """

    def __init__(self, channels: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = zero_init(nn.Conv2d(channels, channels, 1))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries, keys and values, (N, heads, H W, C / heads) each, to something of the same shape."""
        raise NotImplementedError

    def weights(self, q: Tensor, k: Tensor) -> Tensor:
        """What `attend` weighs the values with: (N, heads, L, H W) for q (N, heads, L, d) and k (N, heads, H W, d).

        They are at least 0, and those of a query add up to 1. `attend` itself never needs all of them at once.
        """
        raise NotImplementedError

    def heads(self, x: Tensor) -> Tensor:
        """Queries, keys and values of (N, C, H, W): (3, N, heads, H W, C / heads)."""
        n, c, height, width = x.shape
        # Positions before channels: free in channels_last memory, and the layout fused attention kernels ask for.
        qkv = self.qkv(self.norm(x)).permute(0, 2, 3, 1)  # (N, H, W, 3 C)
        return qkv.reshape(n, height * width, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        attended = self.attend(*self.heads(x)).transpose(1, 2)  # (N, H W, heads, C / heads)
        return x + self.project(attended.reshape(n, height, width, c).permute(0, 3, 1, 2))


class SelfAttention(Attention):
    """Softmax attention (Vaswani et al. 2017)."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with _fast_backward(q):
            return F.scaled_dot_product_attention(q, k, v)

    def weights(self, q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)
