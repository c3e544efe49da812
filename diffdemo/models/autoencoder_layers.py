"""The parts of the autoencoder, and its center loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo.models.layers import group_norm, zero_init


class ChannelAttention(nn.Module):
    """Weigh the channels of (N, C, H, W) by what is in the whole picture.

    Squeeze: global average pool; excite: a two-layer perceptron and a sigmoid (Hu et al. 2018, equations 2 to 4,
    https://arxiv.org/abs/1709.01507).
    """

    def __init__(self, channels: int, squeeze: int):
        super().__init__()
        hidden = max(1, channels // squeeze)
        self.excite = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.excite(x.mean(dim=(2, 3)))[:, :, None, None]


class ConvAttentionBlock(nn.Module):
    """Residual block on (N, C, H, W): norm, SiLU, convolution, twice, then channel attention. It begins as identity."""

    def __init__(self, channels: int, squeeze: int):
        super().__init__()
        self.layers = nn.Sequential(
            group_norm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            group_norm(channels),
            nn.SiLU(),
            zero_init(nn.Conv2d(channels, channels, 3, padding=1)),
            ChannelAttention(channels, squeeze),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ScaledLinear(nn.Module):
    """A linear layer whose weights are stored sqrt(in_features) times as large as they work.

    Adam moves every stored number by about the learning rate; principal components have entries of 1 / sqrt(3072) and
    would be lost in a few steps of an ordinary layer (equalised learning rate, Karras et al. 2018, section 4.1,
    https://arxiv.org/abs/1710.10196).
    """

    def __init__(self, in_features: int, out_features: int, scale: float):
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)

    @torch.no_grad()
    def set(self, weight: Tensor, bias: Tensor) -> None:
        """Make the layer compute `weight @ x + bias`."""
        self.weight.copy_(weight / self.scale)
        self.bias.copy_(bias)


class CenterLoss(nn.Module):
    """Pull the latents of a class together: half the squared distance to the centre of their class.

    Equation 2 of Wen et al. 2016 (A Discriminative Feature Learning Approach for Deep Face Recognition), as a mean over
    pictures and over the latent's numbers, with centres that are learned like every other weight.
    """

    def __init__(self, num_classes: int, latent_dim: int):
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(num_classes, latent_dim))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents (N, latent_dim) and labels (N,); a label that is no class has no centre and does not count.

        Returns a scalar, 0 if nothing counts.
        """
        known = labels < len(self.centers)
        distances = (latents.float() - self.centers[labels.clamp(max=len(self.centers) - 1)]).square().mean(dim=1)
        return 0.5 * (distances * known).sum() / known.sum().clamp(min=1)
