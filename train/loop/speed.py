"""How well a run used its hardware: its arithmetic a second, against what a plain matrix product reaches there."""

import copy
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from diffdemo.device import autocast
from train.loop.randomness import generator
from train.loop.task import Task
from train.loop.trainer import Trainer

ROUNDS = 5
COUNTED = 8  # examples, among them some of several classes


def describe(trainer: Trainer) -> str:
    """A sentence about a run that is over: start-up, compiling, validation and drawing are in its images a second."""
    flops = flops_per_image(trainer.task, trainer.images[:COUNTED], trainer.labels[:COUNTED])
    rate = flops * trainer.images_seen / max(trainer.seconds, 1e-9) / trainer.group.size
    ceiling = matmul_ceiling(trainer.device, trainer.precision)
    each = " on each device" if trainer.group.size > 1 else ""
    return (
        f"{trainer.images_seen / max(trainer.seconds, 1e-9):,.0f} images/s of {flops / 1e9:.3g} GFLOP are "
        f"{rate / 1e12:.3g} TFLOP/s{each}, {rate / ceiling:.1%} of the {ceiling / 1e12:.3g} that a matrix product "
        f"reaches here in {trainer.precision}."
    )


def flops_per_image(task: Task, examples: torch.Tensor, labels: torch.Tensor) -> float:
    """Floating-point operations of one training example, forward and backward.

    Counted by torch in a copy of the network, on a batch of these examples of the data set: products of matrices and
    convolutions, a multiplication and an addition as two.
    """
    network = copy.deepcopy(task.network).train()
    random = generator(examples.device, 0, "speed")
    with FlopCounterMode(display=False) as counter:
        task.loss(network, task.prepare(examples, random, True), labels, random, True).backward()
    return counter.get_total_flops() / len(examples)


def matmul_ceiling(device: torch.device, precision: str) -> float:
    """Floating-point operations a second of the best of some products of two square matrices."""
    size = 8192 if device.type == "cuda" else 512
    a, b = torch.randn(2, size, size, device=device)
    best = float("inf")
    with autocast(device, precision), torch.no_grad():
        # The first products start libraries, and these are of the precision; scaled, or they would overflow in fp16.
        a, b = a @ b / size**0.5, b @ a / size**0.5
        for _ in range(ROUNDS):
            _finish(device)
            began = time.perf_counter()
            for _ in range(ROUNDS):
                a @ b
            _finish(device)
            best = min(best, (time.perf_counter() - began) / ROUNDS)
    return 2 * size**3 / best


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
