"""Several processes that train one network together, as `torchrun` starts them: on the GPUs of one machine, or of many.

Each takes its own part of every batch, with noise of its own. Gradients are averaged over all of them, so that weights,
optimizer and moving averages stay the same everywhere. The first process alone validates, draws, writes and prints.

The gradients travel as one vector after a step's last backward pass. DistributedDataParallel would send them in parts
while the pass goes on, but it asks that losses call the network itself, and nothing else of it, and that every weight
takes part: the autoencoder's center loss does the one, and its training without reconstruction not the other.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from diffdemo.device import choose_device
from diffdemo.errors import TrainingError
from train.flags import launched


@dataclass(frozen=True)
class Group:
    """The processes of a run, and which of them this one is; by default the only one.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, draws, writes and prints."""
        return self.rank == 0

    @property
    def seed_parts(self) -> tuple[int, ...]:
        """What this process adds to the purpose of a seed; the first adds nothing, so that alone it is as ever."""
        return () if self.first else (self.rank,)

    @torch.no_grad()
    def average(self, tensors: list[Tensor]) -> None:
        """Replace each float32 tensor by its mean over all processes, in place; what is not finite anywhere becomes so
        everywhere."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        parts = flat.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(tensors, [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)])

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's values."""
        if self.size > 1:
            for tensor in tensors:
                plain = tensor.detach().contiguous()  # nccl takes no other memory format
                dist.broadcast(plain, 0)
                tensor.detach().copy_(plain)

    def agree(self, number: float, flag: bool = False) -> tuple[float, bool]:
        """The first process's number, and whether any process has raised the flag, for all at once.

        It goes through the CPU: no process waits for its GPU.
        """
        if self.size == 1:
            return number, flag
        message = torch.tensor([number if self.first else 0.0, float(flag)], dtype=torch.float64)
        dist.all_reduce(message)
        return float(message[0]), bool(message[1])

    def wait(self) -> None:
        """Return when all processes are here."""
        self.agree(0.0)

    def leave(self) -> None:
        """Part from the others; what is left to do after training the first does, and this process ends otherwise.

        Raises:
            SystemExit: with code 0, in all processes but the first.
        """
        if self.size == 1:
            return
        self.wait()
        dist.destroy_process_group()
        if not self.first:
            raise SystemExit(0)


ALONE = Group()


def is_first() -> bool:
    """Whether this process is the only one or the first of those that torchrun started."""
    return launched() == 1 or os.environ.get("RANK") == "0"


def join(device: torch.device) -> Group:
    """Meet the other processes that torchrun started, if it did, once; "cuda" means a GPU for each from then on.

    Raises:
        TrainingError: the device cannot be shared out; RequestError: there are fewer GPUs than processes.
    """
    if launched() == 1:
        return ALONE
    if device.type not in ("cpu", "cuda") or device.index is not None:
        raise TrainingError(f"Several processes train with --device cuda or cpu, not {device}.")
    if device.type == "cuda":
        torch.cuda.set_device(choose_device(f"cuda:{os.environ['LOCAL_RANK']}"))
    # gloo on the CPU in any case: what processes agree on between steps must not wait for a GPU
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return Group(dist.get_rank(), dist.get_world_size())
