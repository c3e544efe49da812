"""Randomness that is a function of the step, so that a run can be taken up anywhere without saving any of it."""

import hashlib

import torch
from torch import Tensor


def derive_seed(seed: int, *parts: int | str) -> int:
    """A seed for one purpose, such as the noise of step 17: well mixed and the same on every machine.

    It has 32 bits, because that is what torch's CPU generator keeps.
    """
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def generator(device: torch.device | str, seed: int, *parts: int | str) -> torch.Generator:
    """A generator on `device`, seeded for one purpose."""
    return torch.Generator(device).manual_seed(derive_seed(seed, *parts))


class DataOrder:
    """The order in which training sees the data: a fresh shuffle every epoch, one epoch running into the next.

    Args:
        size: pictures in the data set.
        seed: of the run; the order depends on nothing else.
    """

    def __init__(self, size: int, seed: int):
        self.size, self.seed = size, seed
        self._shuffles: dict[int, Tensor] = {}

    def indices(self, start: int, count: int) -> Tensor:
        """(count,) long: the pictures at positions start, start + 1, ... of the whole run."""
        parts = []
        while count > 0:
            epoch, offset = divmod(start, self.size)
            part = self._shuffle(epoch)[offset : offset + count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return torch.cat(parts)

    def _shuffle(self, epoch: int) -> Tensor:
        if epoch not in self._shuffles:
            order = torch.randperm(self.size, generator=generator("cpu", self.seed, "order", epoch))
            self._shuffles = {e: s for e, s in self._shuffles.items() if e == epoch - 1} | {epoch: order}
        return self._shuffles[epoch]
