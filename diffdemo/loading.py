"""From a checkpoint's folder to a generator, whichever space its model denoises in."""

from pathlib import Path

import torch
from torch import nn

from diffdemo.checkpoint import guide_folder, load_network
from diffdemo.description import CheckpointInfo
from diffdemo.device import choose_device
from diffdemo.errors import CheckpointError
from diffdemo.generator import Generator
from diffdemo.latent_generator import LatentGenerator

KINDS = {"pixels": Generator, "latents": LatentGenerator}


def generator_for(
    network: nn.Module,
    info: CheckpointInfo,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    compile: bool = False,
) -> Generator:
    """The generator for the space in which this network denoises; arguments as for `Generator`."""
    return KINDS[info.spec.space](network, info, device, precision, compile)


def load_generator(
    folder: str | Path, device: str | torch.device = "auto", precision: str = "fp32", compile: bool = False
) -> Generator:
    """Load and verify a checkpoint, its guide too if it has one; CheckpointError says what is wrong with it."""
    chosen = choose_device(str(device))
    network, info = load_network(Path(folder))
    generator = generator_for(network, info, chosen, precision, compile)
    generator.guide = _guide_of(generator, Path(folder))
    return generator


def exchange_weights(generator: Generator, folder: str | Path) -> None:
    """Go on with the weights of another checkpoint of the same network, which need not be compiled again.

    Raises:
        CheckpointError: it is damaged, or of another network.
    """
    network, info = load_network(Path(folder))
    own = generator.info
    if (info.key, info.model, info.diffusion) != (own.key, own.model, own.diffusion):
        raise CheckpointError(f"{folder} holds another network than the {own.key} that is loaded.")
    generator.network.load_state_dict(network.state_dict())
    generator.info = info
    generator.guide = _guide_of(generator, Path(folder))


def _guide_of(generator: Generator, folder: Path) -> Generator | None:
    """The weaker version of this model that its checkpoint holds, if it does."""
    if not generator.info.has_guide:
        return None
    of = guide_folder(folder, generator.info)
    guide = load_generator(of, generator.device, generator.precision, generator.compiled)
    if (guide.key, guide.classes, guide.shape) != (generator.key, generator.classes, generator.shape):
        raise CheckpointError(f"{of} is no weaker version of the {generator.key} beside it; restore both.")
    if guide.diffusion.schedule != generator.diffusion.schedule:
        raise CheckpointError(f"{of} has another noise schedule than {folder}; install another guide.")
    return guide
