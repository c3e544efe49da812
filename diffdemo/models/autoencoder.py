"""An autoencoder to a flat latent, with a classifier on it; it can start out as principal component analysis."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo.errors import RequestError
from diffdemo.models.layers import group_norm, zero_init

DARKEST = 1 / 255  # the linear path's pixels are kept this far from 0 and 1, where a logit is infinite


@dataclass(frozen=True)
class AutoencoderConfig:
    """The settings of a `SimpleAutoencoder`.

    Attributes:
        latent_dim: numbers a picture is encoded as.
        channels: width of each level of the encoder, finest first; each has half the resolution of the one before. The
            decoder mirrors them.
        blocks_per_level: convolutional attention blocks of each level.
        patch_size: pictures enter as patches of so many pixels a side (space to depth) and leave the same way.
        squeeze: the channel attention's hidden layer is this many times narrower than its level.
        classifier_dim: width of the classifier's hidden layer.
        dropout: probability, in the classifier.
        linear_path: whether a linear map runs beside encoder and decoder, which `start_from_pca` fills.
        num_classes: classes that the classifier tells apart.
        image_size: height and width of the pictures in pixels.
        image_channels: colour channels of the pictures.
    """

    latent_dim: int = 128
    channels: tuple[int, ...] = (64, 128, 256, 512)
    blocks_per_level: int = 2
    patch_size: int = 1
    squeeze: int = 8
    classifier_dim: int = 256
    dropout: float = 0.2
    linear_path: bool = False
    num_classes: int = 2
    image_size: int = 32
    image_channels: int = 3

    def __post_init__(self):
        # JSON has lists only; a config that went through a file must equal the one that was saved.
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels or min(self.channels) < 1:
            raise RequestError(f"channels needs at least one positive width, not {self.channels}.")
        for name in ("latent_dim", "blocks_per_level", "patch_size", "squeeze", "classifier_dim", "num_classes"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise RequestError(f"dropout must be at least 0 and below 1, not {self.dropout}.")
        levels = len(self.channels)
        if self.image_size % (self.patch_size * 2 ** (levels - 1)):
            raise RequestError(
                f"{levels} levels after patches of {self.patch_size} do not fit {self.image_size} pixels; "
                "use fewer channels entries or a smaller patch_size."
            )

    @property
    def pixels(self) -> int:
        """Numbers in a picture."""
        return self.image_channels * self.image_size**2

    @property
    def bottom(self) -> tuple[int, int, int]:
        """(channels, height, width) of the encoder's last level."""
        side = self.image_size // (self.patch_size * 2 ** (len(self.channels) - 1))
        return self.channels[-1], side, side


class ChannelAttention(nn.Module):
    """Weigh the channels of (N, C, H, W) by what is in the whole picture.

    Squeeze: global average pool; excite: a two-layer perceptron and a sigmoid (Hu et al. 2018, equations 2 to 4,
    https://arxiv.org/abs/1709.01507).
    """

    def __init__(self, channels: int, squeeze: int):
        super().__init__()
        hidden = max(1, channels // squeeze)
        self.excite = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )

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


class SimpleAutoencoder(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1] to latents (N, latent_dim) and back, and latents to class logits.

    With a linear path, the encoder is that path plus convolutions that begin as nothing, and the decoder's output is

        sigmoid(logit(linear path, kept within [1/255, 254/255]) + convolutions)

    so that, filled with principal components, the network begins as PCA, and all it learns is what PCA lacks.
    """

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        channels, patch_channels = config.channels, config.image_channels * config.patch_size**2
        flat = math.prod(config.bottom)

        encoder = [nn.PixelUnshuffle(config.patch_size), nn.Conv2d(patch_channels, channels[0], 3, padding=1)]
        for level, width in enumerate(channels):
            if level > 0:
                encoder.append(nn.Conv2d(channels[level - 1], width, 2, stride=2))
            encoder += [ConvAttentionBlock(width, config.squeeze) for _ in range(config.blocks_per_level)]
        to_latent = nn.Linear(flat, config.latent_dim)
        self.encoder = nn.Sequential(*encoder, group_norm(channels[-1]), nn.SiLU(), nn.Flatten(), to_latent)

        decoder = [nn.Linear(config.latent_dim, flat), nn.Unflatten(1, config.bottom)]
        for level, width in reversed(list(enumerate(channels))):
            decoder += [ConvAttentionBlock(width, config.squeeze) for _ in range(config.blocks_per_level)]
            if level > 0:
                decoder.append(nn.ConvTranspose2d(width, channels[level - 1], 2, stride=2))
        to_patches = nn.Conv2d(channels[0], patch_channels, 3, padding=1)
        self.decoder = nn.Sequential(
            *decoder, group_norm(channels[0]), nn.SiLU(), to_patches, nn.PixelShuffle(config.patch_size)
        )
        if config.linear_path:
            zero_init(to_latent)
            zero_init(to_patches)
            scale = 1 / math.sqrt(config.pixels)
            self.linear_encoder = ScaledLinear(config.pixels, config.latent_dim, scale)
            self.linear_decoder = ScaledLinear(config.latent_dim, config.pixels, scale)

        self.classifier = nn.Sequential(
            nn.Linear(config.latent_dim, config.classifier_dim),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.classifier_dim, config.num_classes),
        )
        self.center_loss = CenterLoss(config.num_classes, config.latent_dim)

    def start_from_pca(self, mean: Tensor, components: Tensor, variances: Tensor) -> None:
        """Fill the linear path with principal components, scaled so that each latent has variance one.

        Args:
            mean: (3 H W,) of the pictures, in [0, 1], flattened channel first.
            components: (latent_dim, 3 H W), orthonormal rows.
            variances: (latent_dim,) of the pictures along the components.

        Raises:
            RequestError: the network has no linear path.
        """
        if not self.config.linear_path:
            raise RequestError("Only an autoencoder with linear_path can start from PCA; switch that setting on.")
        spread = variances.clamp(min=1e-8).sqrt()
        encode = components / spread[:, None]
        self.linear_encoder.set(encode, -encode @ mean)
        self.linear_decoder.set((components * spread[:, None]).T, mean)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [0, 1] to latents (N, latent_dim), as they come: not standardised."""
        latents = self.encoder(pixels).float()
        if self.config.linear_path:
            latents = latents + _exactly(self.linear_encoder, pixels.flatten(1))
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to pictures (N, 3, H, W) in [0, 1]."""
        logits = self.decoder(latents).float()
        if self.config.linear_path:
            linear = _exactly(self.linear_decoder, latents).reshape(logits.shape)
            logits = logits + torch.logit(linear, DARKEST)
        return logits.sigmoid()

    def classify(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to class logits (N, num_classes)."""
        return self.classifier(latents).float()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions shaped like the pictures, latents, and class logits."""
        latents = self.encode(pixels)
        return self.decode(latents), latents, self.classify(latents)


def _exactly(layer: nn.Module, x: Tensor) -> Tensor:
    """The layer in float32 under autocast too: bf16 has 8 bits, too few to subtract a mean picture with."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())
