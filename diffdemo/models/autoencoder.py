"""An autoencoder to a flat latent, with a classifier on it; it can start out as principal component analysis."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo.errors import RequestError
from diffdemo.models.autoencoder_layers import CenterLoss, ConvAttentionBlock, ScaledLinear
from diffdemo.models.layers import group_norm, zero_init
from diffdemo.models.settings.latent_diffusion import AutoencoderConfig

DARKEST = 1 / 255  # the linear path's pixels are kept this far from 0 and 1, where a logit is infinite


class Encoder(nn.Module):
    """Pictures (N, 3, H, W) to (N, latent_dim): blocks at each level, a strided convolution between levels."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        channels, patch = config.channels, config.patch_size
        layers = [nn.PixelUnshuffle(patch), nn.Conv2d(config.image_channels * patch**2, channels[0], 3, padding=1)]
        for level, width in enumerate(channels):
            if level > 0:
                layers.append(nn.Conv2d(channels[level - 1], width, 2, stride=2))
            layers += [ConvAttentionBlock(width, config.squeeze) for _ in range(config.blocks_per_level)]
        self.layers = nn.Sequential(*layers, group_norm(channels[-1]), nn.SiLU(), nn.Flatten())
        self.head = nn.Linear(math.prod(config.bottom), config.latent_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.layers(pixels))


class Decoder(nn.Module):
    """Latents (N, latent_dim) to (N, 3, H, W), the encoder mirrored.

    A picture that is known already, roughly, may be given too: every level then begins with its patches, so that the
    convolutions correct a picture that they see and do not have to draw it from nothing.
    """

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        channels, patch = config.channels, config.patch_size
        self.stem = nn.Sequential(
            nn.Linear(config.latent_dim, math.prod(config.bottom)), nn.Unflatten(1, config.bottom)
        )
        self.levels, self.guides = nn.ModuleList(), nn.ModuleList()
        for level, width in reversed(list(enumerate(channels))):
            up = [nn.ConvTranspose2d(channels[level + 1], width, 2, stride=2)] if level + 1 < len(channels) else []
            blocks = [ConvAttentionBlock(width, config.squeeze) for _ in range(config.blocks_per_level)]
            self.levels.append(nn.ModuleList([nn.Sequential(*up), nn.Sequential(*blocks)]))
            if config.linear_path:
                side = patch * 2**level
                patches = nn.Conv2d(config.image_channels * side**2, width, 3 if level == 0 else 1, padding="same")
                self.guides.append(nn.Sequential(nn.PixelUnshuffle(side), patches))
        self.norm = group_norm(channels[0])
        self.head = nn.Conv2d(channels[0], config.image_channels * patch**2, 3, padding=1)
        self.patch_size = patch

    def forward(self, latents: Tensor, rough: Tensor | None = None) -> Tensor:
        h = self.stem(latents)
        for index, (up, blocks) in enumerate(self.levels):
            h = up(h)
            if rough is not None:
                h = h + self.guides[index](rough)
            h = blocks(h)
        return F.pixel_shuffle(self.head(F.silu(self.norm(h))), self.patch_size)


class SimpleAutoencoder(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1] to latents (N, latent_dim) and back, and latents to class logits.

    With a linear path, the encoder is that path plus convolutions that begin as nothing, and the decoder's output is

        sigmoid(logit(linear path, kept within [1/255, 254/255]) + convolutions)

    so that, filled with principal components, the network begins as PCA, and all it learns is what PCA lacks.
    """

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        if config.linear_path:
            self._silence_convolutions()
            scale = 1 / math.sqrt(config.pixels)
            self.linear_encoder = ScaledLinear(config.pixels, config.latent_dim, scale)
            self.linear_decoder = ScaledLinear(config.latent_dim, config.pixels, scale)
        self.classifier = nn.Sequential(
            nn.Linear(config.latent_dim, config.classifier_dim),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.classifier_dim, config.num_classes + config.other_classes),
        )
        self.center_loss = CenterLoss(config.num_classes + config.other_classes, config.latent_dim)

    def start_from_pca(self, mean: Tensor, components: Tensor, variances: Tensor) -> None:
        """Fill the linear path with principal components, scaled so that each latent has variance one.

        What encoder and decoder add to it begins as nothing, whatever their convolutions have learned before.

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
        self._silence_convolutions()

    def _silence_convolutions(self) -> None:
        """Let them add nothing to the linear path, for now."""
        for head in (self.encoder.head, self.decoder.head):
            zero_init(head)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [0, 1] to latents (N, latent_dim), as they come: not standardised."""
        latents = self.encoder(pixels).float()
        if self.config.linear_path:
            latents = latents + _exactly(self.linear_encoder, pixels.flatten(1))
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to pictures (N, 3, H, W) in [0, 1]."""
        if not self.config.linear_path:
            return self.decoder(latents).float().sigmoid()
        shape = (-1, self.config.image_channels, self.config.image_size, self.config.image_size)
        rough = _exactly(self.linear_decoder, latents).reshape(shape).contiguous(memory_format=torch.channels_last)
        return (torch.logit(rough, DARKEST) + self.decoder(latents, rough).float()).sigmoid()

    def classify(self, latents: Tensor) -> Tensor:
        """Latents (N, latent_dim) to class logits (N, num_classes): those of the other classes are left out."""
        return self.classifier(latents).float()[:, : self.config.num_classes]

    def forward(self, pixels: Tensor, decode: bool = True) -> tuple[Tensor | None, Tensor, Tensor]:
        """Reconstructions shaped like the pictures, latents, and logits (N, num_classes + other_classes).

        Without `decode` there are no reconstructions, and half the time is saved.
        """
        latents = self.encode(pixels)
        return self.decode(latents) if decode else None, latents, self.classifier(latents).float()


def _exactly(layer: nn.Module, x: Tensor) -> Tensor:
    """The layer in float32 under autocast too: bf16 has 8 bits, too few to subtract a mean picture with."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())
