"""The loss on held-out pictures."""

import torch
from torch import nn

from diffdemo.data import Dataset
from diffdemo.device import autocast
from train.loop.randomness import generator
from train.loop.task import Task

IMAGES, BATCH = 1024, 256


class HeldOut:
    """Held-out pictures with noise that is always the same, so that losses compare.

    Args:
        task: whose loss it is.
        data: the pictures; of more than 1024, so many that lie evenly spread.
        seed: of the run.
        device: where to compute.
        precision: "fp32", "bf16" or "fp16".
    """

    def __init__(self, task: Task, data: Dataset, seed: int, device: torch.device, precision: str):
        every = max(1, len(data) // IMAGES)
        self.images, self.labels = (part[::every][:IMAGES] for part in data.tensors(device))
        self.task, self.seed, self.device, self.precision = task, seed, device, precision

    @torch.no_grad()
    def loss(self, network: nn.Module) -> float:
        """The mean loss of a network, which is left in evaluation mode."""
        network.eval()
        random = generator(self.device, self.seed, "validation")
        losses = []
        for images, labels in zip(self.images.split(BATCH), self.labels.split(BATCH), strict=True):
            batch = self.task.prepare(images, random, False)
            with autocast(self.device, self.precision):
                losses.append(self.task.loss(network, batch, labels, random, False) * len(images))
        return float(torch.stack(losses).sum() / len(self.images))
