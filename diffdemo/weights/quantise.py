"""Weights as int8 with one fp16 scale for each output channel: half the bytes of fp16, and pictures that look the same.

Symmetric quantisation as in Jacob et al. 2017 (https://arxiv.org/abs/1712.05877, section 2.1 without a zero point), of
weights alone: they are floats again before anything is computed with them.
"""

import torch
from torch import Tensor

LARGEST = 127  # -128 stays unused, so that a weight and its negative are equally exact
STEP = 2.0**-24  # between the smallest numbers of fp16, and the smallest of them


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers (C, ...) as int8 of the same shape, -127 to 127, and scale (C,), fp16 and positive.

    scale = max |weight| / 127 of each channel, rounded to nearest in fp16, and int8 = weight / scale, rounded likewise.
    So the largest number of a channel is 127, and each is off by at most half a scale. Scales below 128 of fp16's
    smallest number, 8e-6, are rounded down instead: the largest is still 127, but may be off by 127 * 2**-24. Where no
    number is larger than that, the scale is 2**-24 and the largest below 127. A channel of zeros gives zeros.

    What `dequantise` gives for such a pair comes back as the very same pair.

    Raises:
        ValueError: a number is not finite, or so large (8e6) that fp16 has no scale for it.
    """
    channels = weight.detach().float().flatten(1)  # (C, numbers of each)
    largest = channels.abs().amax(dim=1)
    if not bool(torch.isfinite(largest).all()):
        raise ValueError("holds numbers that are not finite")
    exact = largest / LARGEST
    scale = exact.half()
    if not bool(torch.isfinite(scale).all()):
        raise ValueError("holds numbers that are too large")
    # Rounded up where fp16 is that coarse, the scale would leave the largest at 126 or far less, and that, dequantised,
    # would get another scale.
    coarse = exact < 128 * STEP
    scale = torch.where(coarse, (exact / STEP).floor() * STEP, scale.float()).clamp(min=STEP)
    rounded = (channels / scale[:, None]).round().clamp(-LARGEST, LARGEST)
    return rounded.to(torch.int8).reshape(weight.shape), scale.half()


def dequantise(rounded: Tensor, scale: Tensor) -> Tensor:
    """float32 of the shape (C, ...) of `rounded`, which is int8: each channel times its `scale`, (C,) fp16.

    The product of the two is exact in float32.
    """
    return rounded.float() * scale.float().reshape(-1, *[1] * (rounded.ndim - 1))
