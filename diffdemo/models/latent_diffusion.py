"""Latent diffusion: an autoencoder, and a denoiser of its latents (Rombach et al. 2022, https://arxiv.org/abs/2112.10752).

Diffusion wants examples of mean zero and variance one, which an autoencoder's latents are not: they are standardised,
number by number, with the mean and standard deviation of the training pictures' latents.
"""

import torch
from torch import Tensor, nn

from diffdemo.models.autoencoder import SimpleAutoencoder
from diffdemo.models.latent_denoiser import ConditionalUNet
from diffdemo.models.settings.latent_diffusion import LatentDiffusionConfig


class LatentDiffusion(nn.Module):
    """Pictures to standardised latents and back, and a denoiser of these latents.

    Attributes:
        autoencoder: `SimpleAutoencoder`; it works on pixels in [0, 1] and latents as they come.
        denoiser: `ConditionalUNet`.
        latent_mean, latent_std: (latent_dim,), of training pictures' latents as they come; 0 and 1 at first.
    """

    def __init__(self, config: LatentDiffusionConfig):
        super().__init__()
        self.config = config
        autoencoder = config.autoencoder_config
        self.latent_dim, self.image_size = autoencoder.latent_dim, autoencoder.image_size
        self.autoencoder = SimpleAutoencoder(autoencoder)
        self.denoiser = ConditionalUNet(
            self.latent_dim, config.num_classes, config.hidden, config.embedding_dim, config.dropout
        )
        self.register_buffer("latent_mean", torch.zeros(self.latent_dim))
        self.register_buffer("latent_std", torch.ones(self.latent_dim))

    @torch.no_grad()
    def standardise(self, latents: Tensor) -> None:
        """Take mean and deviation from latents (N, latent_dim) as they come, such as those of the training pictures."""
        self.latent_mean.copy_(latents.mean(dim=0))
        self.latent_std.copy_(latents.std(dim=0).clamp(min=1e-4))

    def encode(self, pixels: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1] to standardised latents (N, latent_dim)."""
        return (self.autoencoder.encode((pixels + 1) / 2) - self.latent_mean) / self.latent_std

    def decode(self, latents: Tensor) -> Tensor:
        """Standardised latents (N, latent_dim) to pictures (N, 3, H, W) in [-1, 1]."""
        return self.autoencoder.decode(latents * self.latent_std + self.latent_mean) * 2 - 1

    def classify(self, latents: Tensor) -> Tensor:
        """Standardised latents (N, latent_dim) to class logits (N, num_classes)."""
        return self.autoencoder.classify(latents * self.latent_std + self.latent_mean)

    def forward(self, x: Tensor, t: Tensor, class_label: Tensor | None = None) -> Tensor:
        """The denoiser's output for noisy standardised latents (N, latent_dim), steps t (N,) and labels (N,)."""
        return self.denoiser(x, t, class_label)
