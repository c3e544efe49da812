"""Moving averages of weights: what a run's checkpoint is made of."""

import copy
from itertools import accumulate

import torch
from torch import Tensor, nn

ALIGNED = 128  # numbers: each weight begins where an allocation of its own might, and kernels are as fast as with one


@torch.no_grad()
def flatten(network: nn.Module) -> Tensor:
    """Move a network's weights, all float32, into one vector (n,), of which they become views in their own layouts.

    What is done with all of them is then one operation, which costs a GPU one launch and not some hundreds.
    """
    weights = list(network.parameters())
    starts = [0, *accumulate(-(-weight.numel() // ALIGNED) * ALIGNED for weight in weights)]
    flat = torch.zeros(starts.pop(), device=weights[0].device)
    for weight, start in zip(weights, starts, strict=True):
        view = flat.as_strided(weight.shape, weight.stride(), start)
        weight.data = view.copy_(weight)
    return flat


class MovingAverage(nn.Module):
    """An exponential moving average with warm-up: in a short run a slow average would still be full of noise.

    Args:
        network: what to average; `module` is the average, a network of its own.
        weights: the network's, as `flatten` gave them.
        decay: after n updates, min(decay, (1 + n) / (10 + n)) of the average is kept; of its beginning nothing.
    """

    def __init__(self, network: nn.Module, weights: Tensor, decay: float):
        super().__init__()
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("n_averaged", torch.tensor(0))  # on the CPU: to look at it makes no GPU wait
        self.decay = decay
        self._pair = flatten(self.module), weights
        self._buffers_of = list(self.module.buffers()), list(network.buffers())
        self._share = torch.zeros((), device=weights.device)

    def count(self) -> None:
        """Decide how much the next update takes over, before it is made."""
        n = int(self.n_averaged)
        self._share.fill_(1 - min(self.decay, (1 + n) / (10 + n)) if n else 1.0)
        self.n_averaged += 1

    @torch.no_grad()
    def update(self) -> None:
        """Take over what `count` has decided, and the buffers as they are."""
        average, weights = self._pair
        average.lerp_(weights, self._share)
        for own, current in zip(*self._buffers_of, strict=True):
            own.copy_(current)
