"""Moving averages of weights: what a run's checkpoint is made of."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class MovingAverage(AveragedModel):
    """An exponential moving average with warm-up: in a short run a slow average would still be full of noise.

    Args:
        network: what to average; `module` is the average, a network of its own.
        decay: after n updates, min(decay, (1 + n) / (10 + n)) of the average is kept.
    """

    def __init__(self, network: nn.Module, decay: float):
        super().__init__(network, multi_avg_fn=self._update)
        self.decay = decay
        self.requires_grad_(False)

    def _update(self, averaged: list[Tensor], current: list[Tensor], _) -> None:
        # Not by the count that comes along: that is on the weights' device, and to look at it makes a GPU wait.
        count = int(self.n_averaged)
        torch._foreach_lerp_(averaged, current, 1 - min(self.decay, (1 + count) / (10 + count)))
