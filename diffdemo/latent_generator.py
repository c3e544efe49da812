"""A checkpoint that denoises latents: the same face as `Generator`, and the autoencoder behind it."""

import numpy as np
import torch
from torch import Tensor

from diffdemo.data.pixels import to_images, to_pixels
from diffdemo.errors import CheckpointError
from diffdemo.generator import BATCH, Generator


class LatentGenerator(Generator):
    """A latent diffusion model: steps hold standardised latents (N, D), and `images` decodes them.

    Arguments as for `Generator`; the network has `latent_dim`, `encode`, `decode` and `classify` besides, see
    `diffdemo.models.latent_diffusion.LatentDiffusion`.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(D,): a latent is a vector."""
        return (self.network.latent_dim,)

    @property
    def image_size(self) -> tuple[int, int]:
        return self.network.image_size, self.network.image_size

    def bound(self, x0: Tensor) -> Tensor:
        """Latents have no bounds."""
        return x0

    def require_denoiser(self) -> None:
        """Raise CheckpointError if only the autoencoder of this checkpoint is trained."""
        if not self.info.has_denoiser:
            raise CheckpointError(
                "Only the autoencoder of this checkpoint is trained; train its denoiser with python -m train.latent."
            )

    def states(self, pictures: np.ndarray) -> Tensor:
        """x0 of pictures (N, H, W, 3) uint8: their standardised latents, (N, D) float32."""
        return torch.from_numpy(self.encode(pictures)).to(self.device)

    def images(self, state: Tensor) -> np.ndarray:
        """Pictures, (N, H, W, 3) uint8, that latents (N, D) decode to."""
        return np.concatenate([to_images(self._decode(part)) for part in state.to(self.device).split(BATCH)])

    @torch.inference_mode()
    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Standardised latents, (N, D) float32, of pictures (N, H, W, 3) uint8."""
        parts = to_pixels(pictures, self.device).split(BATCH)
        return torch.cat([self.network.encode(part) for part in parts]).float().cpu().numpy()

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Pictures, (N, H, W, 3) uint8, of standardised latents (N, D)."""
        return self.images(torch.as_tensor(np.asarray(latents), dtype=torch.float32))

    def reconstruct(self, pictures: np.ndarray) -> np.ndarray:
        """What is left of pictures, (N, H, W, 3) uint8, after encoding and decoding: the same shape and type."""
        return self.decode(self.encode(pictures))

    def class_probabilities(self, pictures: np.ndarray) -> np.ndarray:
        """(N, classes) float32: how much the classifier on the latents believes in each class of `classes`."""
        return self.latent_probabilities(self.encode(pictures))

    @torch.inference_mode()
    def latent_probabilities(self, latents: np.ndarray) -> np.ndarray:
        """As `class_probabilities`, of standardised latents (N, D)."""
        states = torch.as_tensor(np.asarray(latents), dtype=torch.float32).to(self.device)
        return self.network.classify(states).float().softmax(dim=1).cpu().numpy()

    @torch.inference_mode()
    def _decode(self, latents: Tensor) -> Tensor:
        return self.network.decode(latents)
