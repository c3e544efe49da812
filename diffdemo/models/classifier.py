"""A small classifier of pictures, whose features measure other networks' pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo.models.settings import checks

PATCH = 2  # the whitening layer looks at patches of so many pixels a side
SMALLEST = 1e-3  # added to variances before they are divided by, so that noise is not blown up


@dataclass(frozen=True)
class ClassifierConfig:
    """The settings of a `Classifier`.

    Attributes:
        channels: width of each level, finest first; each has half the resolution of the one before.
        num_classes: classes that it tells apart.
        image_size: height and width of the pictures in pixels.
        image_channels: colour channels of the pictures.
    """

    channels: tuple[int, ...] = (64, 256, 256)
    num_classes: int = 10
    image_size: int = 32
    image_channels: int = 3

    def __post_init__(self):
        checks.widths(self, "channels")
        checks.at_least(self, 2, "num_classes")
        checks.at_least(self, 1, "image_channels")
        checks.halves(self.image_size, 2, self.channels)


class Level(nn.Module):
    """Two convolutions, the first followed by max pooling: (N, C, H, W) to (N, width, H / 2, W / 2)."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        for layer in (self.first, self.second):
            nn.init.dirac_(layer.weight[: layer.in_channels])  # as far as it goes, a level begins by passing on

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.first_norm(F.max_pool2d(self.first(x), 2)))
        return F.gelu(self.second_norm(self.second(h)))


class Classifier(nn.Module):
    """Pictures (N, 3, H, W) in [-1, 1] to class logits (N, num_classes), by way of features (N, channels[-1]).

    The layout is that of Jordan 2024 (94 % on CIFAR-10 in 3.29 seconds, https://arxiv.org/abs/2404.00498), because it
    learns in few epochs: fixed whitening of 2x2 patches, then levels of two convolutions with batch normalisation.
    """

    def __init__(self, config: ClassifierConfig):
        super().__init__()
        self.config = config
        patch_dim = config.image_channels * PATCH**2
        self.whitening = nn.Conv2d(config.image_channels, 2 * patch_dim, PATCH)
        self.whitening.weight.requires_grad_(False)
        widths = (2 * patch_dim, *config.channels)
        self.levels = nn.Sequential(*map(Level, widths, widths[1:]))
        self.head = nn.Linear(config.channels[-1], config.num_classes)

    @torch.no_grad()
    def whiten(self, pixels: Tensor) -> None:
        """Fill the first layer with the principal components of the patches of pictures (N, 3, H, W) in [-1, 1].

        Each component is divided by its standard deviation, and there with both signs, because what follows cuts off
        the negative half.
        """
        patches = F.unfold(pixels, PATCH).transpose(1, 2).flatten(0, 1).cpu().double()  # MPS has no float64
        variances, components = torch.linalg.eigh(patches.T.cov())
        filters = (components / (variances + SMALLEST).sqrt()).T.reshape(-1, *self.whitening.weight.shape[1:])
        self.whitening.weight.copy_(torch.cat([filters, -filters]))

    def feature_maps(self, pixels: Tensor) -> list[Tensor]:
        """Pictures (N, 3, H, W) in [-1, 1] to what each level sees, finest first.

        Level i gives (N, channels[i], H / 2^(i+1), W / 2^(i+1)).
        """
        # Replicated by hand: compiled, the gradient of F.pad's own expects another memory format than it gets.
        wider = torch.cat([pixels, pixels[..., -1:]], dim=3)
        h = F.gelu(self.whitening(torch.cat([wider, wider[..., -1:, :]], dim=2)))
        maps = []
        for level in self.levels:
            h = level(h)
            maps.append(h)
        return maps

    def features(self, pixels: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1] to (N, channels[-1]): what the last level sees, as a mean over places."""
        return self.feature_maps(pixels)[-1].float().mean(dim=(2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels)).float()
