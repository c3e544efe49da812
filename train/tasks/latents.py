"""What the two training scripts of latent diffusion share: the latents, what is skipped, and how a run ends."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffdemo import figures
from diffdemo.checkpoint import load_network, parameter_count, save_checkpoint
from diffdemo.data import Dataset
from diffdemo.data.pixels import to_pixels
from diffdemo.description import AUTOENCODER, CONFIG, CheckpointInfo, read_info, write_info
from diffdemo.errors import CheckpointError
from diffdemo.latent.map import make_map, save_map
from diffdemo.latent.space import measure
from diffdemo.loading import generator_for
from diffdemo.models.latent_diffusion import LatentDiffusion
from diffdemo.process.schedule import NoiseSchedule
from diffdemo.records.files import FIGURES, HISTORY, LATENT_SPACE, LOSS, RECONSTRUCTIONS, STATE
from diffdemo.registry import spec
from train.loop.randomness import generator
from train.tasks.augment import shifted

KEY = "latent_diffusion"
BATCH = 250


@dataclass(frozen=True, eq=False)
class LatentDataset:
    """Latents (N, D) float32, standardised, and the class of each, (N,) long, in place of pictures."""

    latents: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.labels)

    def tensors(self, device: str | torch.device) -> tuple[Tensor, Tensor]:
        """Both on `device`."""
        return self.latents.to(device), self.labels.to(device)


@torch.inference_mode()
def raw_latents(network: LatentDiffusion, data: Dataset, shifts: int = 0, most: int = 0, seed: int = 0) -> Tensor:
    """Latents as they come, (2 (1 + shifts) N, D) on the CPU, of all pictures and then of all their mirror images.

    After these, `shifts` times over, come both again, each picture moved by up to `most` pixels each way: an encoder is
    not a flip and a shift apart from itself, and so few thousand latents are soon known by heart. `seed` decides how.
    """
    device, parts = network.latent_mean.device, []
    random = generator(device, seed, "shifted latents")
    for number in range(1 + shifts):
        for mirror in (False, True):
            for start in range(0, len(data), BATCH):
                pixels = (to_pixels(data.images[start : start + BATCH], device) + 1) / 2
                pixels = pixels.flip(3) if mirror else pixels
                parts.append(network.autoencoder.encode(shifted(pixels, most, random) if number else pixels).cpu())
    return torch.cat(parts)


def latent_dataset(network: LatentDiffusion, data: Dataset, raw: Tensor) -> LatentDataset:
    """Standardise what `raw_latents` gave for these pictures, with the network's mean and deviation."""
    latents = (raw - network.latent_mean.cpu()) / network.latent_std.cpu()
    times = len(raw) // len(data)
    labels = torch.from_numpy(data.labels).repeat(times)
    source = f"latents of {data.source} and their mirror images"
    return LatentDataset(latents, labels, data.classes, source + (f", {times // 2} times" if times > 2 else ""))


def skip(folder: Path, options: Any) -> bool:
    """Whether there is nothing to train: the folder holds a finished run, which is not to be resumed or replaced."""
    try:
        finished = bool(read_info(folder).metrics)  # they are measured when a run ends
    except CheckpointError:
        finished = False
    if not finished or options.resume:
        return False
    if not options.force:
        print(f"{folder} holds a finished run; nothing was trained. Add --force to train it again from the beginning.")
        return True
    for name in (STATE, CONFIG):
        (folder / name).unlink(missing_ok=True)
    return False


def describe(network: LatentDiffusion, classes: tuple[str, ...], training: dict) -> CheckpointInfo:
    """The description of a checkpoint whose denoiser is untrained."""
    return CheckpointInfo(
        key=KEY,
        model=asdict(network.config),
        diffusion={"schedule": asdict(NoiseSchedule()), "prediction": spec(KEY).prediction},
        classes=classes,
        parameters=parameter_count(network),
        defaults={"sampler": "ddim", "steps": 50, "guidance_scale": 1.0},
        training=training,
        trained=(AUTOENCODER,),
    )


def finish(folder: Path, train_data: Dataset, test_data: Dataset, device: torch.device) -> None:
    """End a run: measure the checkpoint as it was written, and write the figures and the map of its latents into it.

    Latents of an autoencoder that has no trained denoiser yet are standardised here; a trained one has its own.
    """
    network, info = load_network(folder)
    if not info.has_denoiser:
        network.to(device).standardise(raw_latents(network, train_data))
        save_checkpoint(folder, info, network.state_dict())
        network, info = load_network(folder)  # in half precision, as everyone will get it
    info = replace(info, metrics=measure(network.to(device), train_data, test_data))
    write_info(folder, info)
    save_map(folder, make_map(generator_for(network, info, device), test_data))


def draw_autoencoder(folder: Path, data: Path) -> None:
    """The loss curve, and in `figures` reconstructions and the map of the latent space."""
    figures.loss_curve(folder / HISTORY, folder / LOSS, title=spec(KEY).title)
    figures.visualize_reconstructions(str(folder), data=data, path=folder / FIGURES / RECONSTRUCTIONS)
    figures.visualize_latent_space(str(folder), data=data, path=folder / FIGURES / LATENT_SPACE)
