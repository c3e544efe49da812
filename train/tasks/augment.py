"""Augmentation beyond mirroring, on the device where the pictures are."""

import torch
from torch import Tensor
from torch.nn import functional as F


def shifted(pixels: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Pictures (N, C, H, W), each moved by up to `most` pixels each way; what comes in at the border is mirrored."""
    count, _, height, width = pixels.shape
    device = pixels.device
    padded = F.pad(pixels, [most] * 4, mode="reflect")
    moves = torch.randint(0, 2 * most + 1, (2, count, 1), generator=random, device=device)
    rows = moves[0] + torch.arange(height, device=device)  # (N, H)
    columns = moves[1] + torch.arange(width, device=device)  # (N, W)
    each = torch.arange(count, device=device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
