"""Synthetic pictures in the shape of CIFAR-10, for tests and first tries without a data set."""

import colorsys

import numpy as np

NUM_CLASSES = 10
IMAGE_SIZE = 32


def toy_images(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A disc (even classes) or a square (odd ones) on a gradient whose hue and direction are the class's.

    labels: (N,) from 0 to 9. Returns (N, 32, 32, 3) uint8; where the shape lies is drawn from `rng`.
    """
    position = (len(labels), 1, 1)
    y, x = np.mgrid[-1 : 1 : IMAGE_SIZE * 1j, -1 : 1 : IMAGE_SIZE * 1j]
    hues = np.array([colorsys.hsv_to_rgb(index / NUM_CLASSES, 0.7, 1.0) for index in range(NUM_CLASSES)])
    colours = hues[labels][:, None, None]  # (N, 1, 1, 3)
    angle = (labels * (2 * np.pi / NUM_CLASSES))[:, None, None]
    ramp = 0.5 + 0.35 * (np.cos(angle) * x + np.sin(angle) * y)  # (N, 32, 32)
    dx, dy = np.abs(x - rng.uniform(-0.4, 0.4, position)), np.abs(y - rng.uniform(-0.4, 0.4, position))
    distance = np.where((labels % 2 == 0)[:, None, None], np.hypot(dx, dy), np.maximum(dx, dy))
    pictures = np.where((distance < 0.45)[..., None], 1 - 0.8 * colours, ramp[..., None] * colours)
    pictures = pictures + rng.normal(0, 0.02, pictures.shape)
    return (pictures * 255).clip(0, 255).round().astype(np.uint8)
