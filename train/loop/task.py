"""What a training script says about its model; the loop does the rest."""

from pathlib import Path

import torch
from torch import Tensor, nn

from diffdemo.checkpoint import save_checkpoint
from diffdemo.description import CheckpointInfo


class Task:
    """What is special about one model: its network, its loss, its description and its drawings.

    Attributes:
        network: the network to train.
        command: what made the checkpoint, for its description; filled in when the run begins.
        started_from: how the weights that the run began with were trained; None if it began without any.
    """

    network: nn.Module
    command: str = ""
    started_from: dict | None = None

    def to(self, device: torch.device) -> None:
        """Move the network, and whatever else the loss needs, to a device."""
        self.network.to(device)

    def prepare(self, examples: Tensor, random: torch.Generator, train: bool) -> Tensor:
        """What the loss gets of a batch of the data set's tensors; pictures become floats, half of them mirrored.

        uint8 (N, C, H, W) to float (N, C, H, W) in [-1, 1].
        """
        pixels = examples.float() / 127.5 - 1
        if train:
            mirrored = torch.rand(len(pixels), 1, 1, 1, generator=random, device=pixels.device) < 0.5
            pixels = torch.where(mirrored, pixels.flip(3), pixels)
        return pixels.contiguous(memory_format=torch.channels_last)

    def loss(self, network: nn.Module, batch: Tensor, labels: Tensor, random: torch.Generator, train: bool) -> Tensor:
        """Scalar loss of what `prepare` returned, with labels (N,); all randomness from `random`.

        `train` is False in validation, where nothing is augmented or dropped. `network` is `self.network`, compiled, or
        a moving average of it.
        """
        raise NotImplementedError

    def info(self, training: dict) -> CheckpointInfo:
        """The description of a checkpoint of this network, with what is known about its training."""
        raise NotImplementedError

    def save_checkpoint(self, folder: Path, weights: dict[str, Tensor], training: dict) -> None:
        """Write the averaged weights as a checkpoint."""
        save_checkpoint(folder, self.info(self.record(training)), weights)

    def record(self, training: dict) -> dict:
        """What the checkpoint says of its training: what the loop says, the command, and what came before."""
        before = {"started_from": self.started_from} if self.started_from else {}
        return training | {"command": self.command} | before

    def draws_after(self, epoch: int, images: int) -> bool:
        """Whether to draw after this epoch, the first being 1, where an epoch has so many images."""
        return epoch == 1 or epoch % 5 == 0

    def draw(self, folder: Path, network: nn.Module, name: str) -> None:
        """Write sample grids and the like under `folder`, with `name` ("epoch_0005", "final") in their names."""
        raise NotImplementedError
