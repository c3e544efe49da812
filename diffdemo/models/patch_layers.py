"""The parts of the patch UNet: patches in place of pooling and upsampling, and attention whose cost is linear."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo.models.layers import Attention, group_norm, zero_init


def cut_patches(x: Tensor, patch_size: int) -> Tensor:
    """Space to depth: (N, C, H, W) to (N, C p^2, H / p, W / p), all values of a p x p patch at one position."""
    return F.pixel_unshuffle(x, patch_size)


def join_patches(x: Tensor, patch_size: int) -> Tensor:
    """Depth to space: (N, C p^2, H, W) to (N, C, H p, W p), the exact inverse of `cut_patches`."""
    return F.pixel_shuffle(x, patch_size)


class PatchConv(nn.Module):
    """(N, in, H, W) to (N, out, H / p, W / p): cut into p x p patches, then mix each with a 1x1 convolution.

    It stands where other networks pool, and loses nothing where out is at least in p^2.
    """

    def __init__(self, in_channels: int, out_channels: int, patch_size: int):
        super().__init__()
        self.patch_size = patch_size
        self.mix = nn.Conv2d(in_channels * patch_size**2, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(cut_patches(x, self.patch_size))


class PatchExpand(nn.Module):
    """(N, in, H, W) to (N, out, H p, W p): a 1x1 convolution, then each position becomes a p x p patch."""

    def __init__(self, in_channels: int, out_channels: int, patch_size: int):
        super().__init__()
        self.patch_size = patch_size
        self.mix = nn.Conv2d(in_channels, out_channels * patch_size**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return join_patches(self.mix(x), self.patch_size)


def feature_map(x: Tensor) -> Tensor:
    """phi(x) = elu(x) + 1 > 0: Katharopoulos et al. 2020, equation 7."""
    return F.elu(x) + 1


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention with weights phi(q_i) . phi(k_j) in place of exp(q_i . k_j), at a cost linear in the positions L.

    Katharopoulos et al. 2020, equation 5 (https://arxiv.org/abs/2006.16236): the sums over j are taken once for all i,
    out_i = phi(q_i) (sum_j phi(k_j) v_j^T) / phi(q_i) (sum_j phi(k_j)).

    Args:
        q, k: (..., L, d). v: (..., L, e).

    Returns:
        (..., L, e) in float32, or in the dtype of q if that is wider.
    """
    dtype = torch.promote_types(q.dtype, torch.float32)
    # Sums over all positions: fp16 would overflow and bf16 keeps three digits of them.
    with torch.autocast(q.device.type, enabled=False):
        q, k, v = feature_map(q.to(dtype)), feature_map(k.to(dtype)), v.to(dtype)
        sums = k.transpose(-2, -1) @ v  # (..., d, e)
        norms = q @ k.sum(dim=-2).unsqueeze(-1)  # (..., L, 1)
        return q @ sums / (norms + 1e-6)  # phi may underflow to zero


class LinearAttention(Attention):
    """Attention whose cost grows with the number of positions, not with its square."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return linear_attention(q, k, v)

    def weights(self, q: Tensor, k: Tensor) -> Tensor:
        """What the sums of `linear_attention` come to, were they not taken once for all queries."""
        products = feature_map(q.float()) @ feature_map(k.float()).transpose(-2, -1)
        return products / (products.sum(dim=-1, keepdim=True) + 1e-6)


class DoubleConvolution(nn.Module):
    """(N, in, H, W) and an embedding (N, dim) to (N, out, H, W): group norm, GELU and convolution, twice, residual.

    The embedding scales and shifts the second norm's output; the second convolution starts at zero.
    """

    def __init__(self, in_channels: int, out_channels: int, embedding_dim: int, dropout: float = 0.0):
        super().__init__()
        self.first = nn.Sequential(
            group_norm(in_channels), nn.GELU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.norm = group_norm(out_channels)
        self.modulation = nn.Linear(embedding_dim, 2 * out_channels)
        convolution = zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.second = nn.Sequential(nn.GELU(), nn.Dropout(dropout), convolution)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[..., None, None].chunk(2, dim=1)  # (N, out, 1, 1) each
        return self.shortcut(x) + self.second(self.norm(self.first(x)) * (1 + scale) + shift)
