"""Pixels: uint8 (N, H, W, 3) at the border, float (N, 3, H, W) in [-1, 1] inside."""

import numpy as np
import torch
from torch import Tensor


def to_images(pixels: Tensor) -> np.ndarray:
    """Float pictures (N, 3, H, W) in [-1, 1] to uint8 (N, H, W, 3); values outside are clipped."""
    scaled = (pixels.detach().float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().contiguous().numpy()


def to_pixels(images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 pictures (N, H, W, 3) to float (N, 3, H, W) in [-1, 1]."""
    # copied, because the pictures of a data set are a memory map that PyTorch must not write to
    tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    return tensor.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
