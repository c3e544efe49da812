"""What an autoencoder's latents are like, measured: how well pictures come back, and how well classes part."""

import numpy as np
import torch

from diffdemo.data import Dataset
from diffdemo.data.pixels import to_pixels
from diffdemo.models.latent_diffusion import LatentDiffusion

BATCH = 250


def psnr(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each picture, (N,) in dB: -10 log10 of its mean squared error, pixels in [0, 1]."""
    error = (np.asarray(pictures) - np.asarray(others)).reshape(len(pictures), -1)
    return -10 * np.log10(np.square(error).mean(axis=1))


def flat_pixels(data: Dataset) -> np.ndarray:
    """Pictures as vectors, (N, 3072) float32 in [0, 1], flattened channel first."""
    return np.ascontiguousarray(np.moveaxis(data.images, 3, 1), dtype=np.float32).reshape(len(data), -1) / 255


def fit_pca(data: Dataset, components: int):
    """scikit-learn's PCA of the pictures as `flat_pixels`; its randomness is fixed."""
    from sklearn.decomposition import PCA

    return PCA(components, svd_solver="randomized", random_state=0).fit(flat_pixels(data))


def pca_reconstructions(train: Dataset, test: Dataset, components: int) -> np.ndarray:
    """What PCA of the training pictures leaves of the test pictures, (N, 3072) in [0, 1], as `flat_pixels`."""
    pca = fit_pca(train, components)
    return pca.inverse_transform(pca.transform(flat_pixels(test))).clip(0, 1)


@torch.inference_mode()
def encode_and_decode(network: LatentDiffusion, data: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised latents (N, D), reconstructions (N, 3072) in [0, 1] as `flat_pixels`, and class logits (N, C)."""
    device, parts = network.latent_mean.device, []
    for start in range(0, len(data), BATCH):
        latents = network.encode(to_pixels(data.images[start : start + BATCH], device))
        pictures = (network.decode(latents).flatten(1) + 1) / 2
        parts.append([part.cpu().numpy() for part in (latents, pictures, network.classify(latents))])
    latents, pictures, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
    return latents, pictures, logits


def tsne(latents: np.ndarray, seed: int = 0) -> np.ndarray:
    """Lay latents (N, D) out in a plane, (N, 2), neighbours beside neighbours (van der Maaten and Hinton 2008).

    The map holds for these points alone: t-SNE cannot place another one later.
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(latents) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(latents)


def silhouette(points: np.ndarray, labels: np.ndarray) -> float:
    """How well classes part, -1 to 1: the mean silhouette coefficient of points (N, D) (Rousseeuw 1987)."""
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(points, labels))


def measure(network: LatentDiffusion, train: Dataset, test: Dataset) -> dict:
    """Quality of an autoencoder on test pictures.

    Args:
        network: in evaluation mode.
        train: pictures of the network's classes, for PCA.
        test: pictures of the same classes to measure on.

    Returns:
        psnr and pca_psnr: mean of the test pictures' PSNR in dB, PCA having as many components as a latent has numbers;
        classifier_accuracy: part of the test pictures whose class the classifier on the latents gets right; silhouette:
        of the t-SNE map of their latents by class; latent_silhouette: of the latents themselves; n and split: how many
        and which pictures; pca_components.
    """
    latents, pictures, logits = encode_and_decode(network, test)
    originals = flat_pixels(test)
    components = min(network.latent_dim, len(train))
    return {
        "psnr": round(float(psnr(pictures, originals).mean()), 3),
        "pca_psnr": round(float(psnr(pca_reconstructions(train, test, components), originals).mean()), 3),
        "pca_components": components,
        "classifier_accuracy": round(float((logits.argmax(axis=1) == test.labels).mean()), 4),
        "silhouette": round(silhouette(tsne(latents), test.labels), 4),
        "latent_silhouette": round(silhouette(latents, test.labels), 4),
        "n": len(test),
        "split": test.source,
    }
