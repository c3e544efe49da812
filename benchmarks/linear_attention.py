"""How the time of attention grows with the picture: python -m benchmarks.linear_attention [--threads 1]

Linear attention as the patch UNet uses it, and softmax attention as PyTorch has it (fused, so that its memory stays
small), at 16x16 to 64x64 positions, forward and backward. The last column is the exponent k of time ~ positions^k,
fitted to the medians by least squares in logarithms: 1 is linear, 2 quadratic.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from torch.nn import functional as F

from diffdemo.device import choose_device, hardware_name
from diffdemo.models.patch_layers import linear_attention
from train.flags import run_app

SIDES = (16, 32, 48, 64)
BATCH, HEADS, DIM = 4, 4, 32
KINDS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "linear": linear_attention,
    "softmax": F.scaled_dot_product_attention,
}


def seconds(attention: Callable, side: int, repeats: int, device: torch.device) -> float:
    """Median time of attention over side x side positions, forward and backward."""
    random = torch.Generator(device).manual_seed(0)
    shape = (3, BATCH, HEADS, side * side, DIM)
    q, k, v = torch.randn(shape, generator=random, device=device).requires_grad_()
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        torch.autograd.grad(attention(q, k, v).sum(), (q, k, v))
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first one also allocates


def exponent(positions: Sequence[int], times: Sequence[float]) -> float:
    """k of the least-squares fit of time = c * positions^k."""
    return float(np.polyfit(np.log(positions), np.log(times), 1)[0])


def main(
    repeats: Annotated[int, typer.Option(help="Runs of each, of which the median counts.")] = 7,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is all of them.")] = 0,
) -> None:
    """Print milliseconds of both kinds of attention for pictures of several sizes, and how they grow."""
    if threads:
        torch.set_num_threads(threads)
    place = choose_device(device)
    print(f"{hardware_name(place)}, torch {torch.__version__}; batch {BATCH}, {HEADS} heads of {DIM}")
    print(" " * 8 + "".join(f"{f'{side}x{side}':>12}" for side in SIDES) + "    exponent")
    for name, attention in KINDS.items():
        times = [seconds(attention, side, repeats, place) for side in SIDES]
        row = "".join(f"{1000 * value:9.1f} ms" for value in times)
        print(f"{name:8}{row}{exponent([side * side for side in SIDES], times):12.2f}")


if __name__ == "__main__":
    run_app(main)
