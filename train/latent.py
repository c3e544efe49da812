"""Train the denoiser of latent diffusion: `python -m train.latent --autoencoder runs/autoencoder`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from diffdemo import figures
from diffdemo.checkpoint import load_network
from diffdemo.data import Dataset
from diffdemo.description import AUTOENCODER, DENOISER, CheckpointInfo, read_info
from diffdemo.device import choose_device
from diffdemo.errors import TrainingError
from diffdemo.models.latent_diffusion import LatentDiffusion
from diffdemo.records.files import ANIMATION, DENOISING_STEPS, FIGURES, SAMPLES_GRID
from diffdemo.registry import spec
from train.flags import flag, named, of_size, run_command, whole_numbers
from train.loop import settings as shared
from train.loop.data import load_data, of_classes
from train.loop.progress import drawing
from train.loop.resume import locked
from train.loop.run import resolve, set_up_process, train
from train.tasks.denoising import FIXED_BY_WEIGHTS, DenoisingTask, DiffusionOptions, how_to_sample, make_task
from train.tasks.latents import KEY, LatentDataset, draw_autoencoder, finish, latent_dataset, raw_latents, skip
from train.tasks.recipes import reference_recipe


@dataclass(frozen=True)
class Options(DiffusionOptions):
    """What only the latent denoiser's training has, and other defaults."""

    autoencoder: Path = flag(Path("runs/autoencoder"), "Folder with the trained autoencoder.")
    force: bool = flag(False, "Train again, from the beginning, where --out holds a finished run.")
    hidden: str | None = of_size("Widths of the denoiser's blocks, such as 256,512,256.")
    embedding_dim: int | None = of_size("Width of the time and class embedding.")
    prediction: str = flag("noise", "What the network predicts: noise, clean or velocity.")
    noise_levels: str = flag("uniform", "How often training visits each noise level: uniform or lognormal.")
    guidance_scale: float = flag(4.0, "Guidance that the checkpoint is shown with; 1 is none.")
    shifted_latents: int = flag(
        0, "Train on the latents of so many shifted versions of each picture too: they cost time once, when it begins."
    )
    shift: int = flag(2, "These are shifted by up to so many pixels each way.")

    fixed_by_weights: ClassVar[set[str]] = FIXED_BY_WEIGHTS | {"hidden", "embedding_dim"}

    def __post_init__(self):
        super().__post_init__()
        if self.prediction == "edm":
            raise TrainingError("--prediction edm supposes pictures; for latents choose noise, clean or velocity.")
        for name, most in (("shifted_latents", 100), ("shift", 16)):
            if not 0 <= getattr(self, name) <= most:
                raise TrainingError(f"--{name.replace('_', '-')} must be from 0 to {most}, not {getattr(self, name)}.")

    def network_settings(self) -> dict:
        """The settings of the denoiser that were named, and those of the autoencoder."""
        chosen = super().network_settings() | named(self, "embedding_dim")
        if self.hidden is not None:
            chosen["hidden"] = whole_numbers("--hidden", self.hidden)
        return chosen | {"autoencoder": _read(self.autoencoder).model["autoencoder"]}


@dataclass(frozen=True)
class Settings(shared.Settings):
    """Settings whose defaults are others here: a latent costs next to nothing."""

    images: int = flag(4_000_000, "End after so many latents, counting repeats.")
    batch_size: int = flag(256, "Latents per forward pass.")
    precision: str = flag("fp32", "auto, fp32, bf16 or fp16; what a denoiser gets wrong in pure noise adds up.")
    warmup_images: int = flag(51_200, "Latents over which the learning rate rises from 0 to its peak.")


class LatentTask(DenoisingTask):
    """Denoising latents; the autoencoder stays as it is."""

    sampler, steps = "dpmpp", 50
    autoencoder: ClassVar[dict] = {}  # how it was trained

    def prepare(self, examples: Tensor, random: torch.Generator, train: bool) -> Tensor:
        """Latents are ready, and mirrored already."""
        return examples

    def draws_after(self, epoch: int, images: int) -> bool:
        """Rarely: an epoch takes a second, and drawing several."""
        return epoch == 1 or epoch % 50 == 0

    def info(self, training: dict) -> CheckpointInfo:
        """The description of the whole model; how its autoencoder was trained stands apart."""
        info = super().info(training | {"autoencoder": self.autoencoder})
        return replace(info, trained=(AUTOENCODER, DENOISER))


def _read(folder: Path) -> CheckpointInfo:
    info = read_info(folder)
    if info.key != KEY:
        raise TrainingError(f"{folder} holds a {info.key}; --autoencoder must name a run of train.autoencoder.")
    return info


def _autoencoder(options: Options, out: Path, given: set[str]) -> Path:
    """Where the autoencoder lies: in a resumed run itself, in --init-from if that alone is named, or --autoencoder."""
    if options.resume:
        return out
    return Path(options.init_from) if options.init_from and "autoencoder" not in given else options.autoencoder


def _task(options: Options, classes: tuple[str, ...], given: set[str]) -> LatentTask:
    """The task that the options ask for, with the trained autoencoder in its place."""
    info = _read(options.autoencoder)
    if info.classes != classes:
        raise TrainingError(
            f"{options.autoencoder} knows the classes {', '.join(info.classes)}, but the data has "
            f"{', '.join(classes)}; use the data it was trained on."
        )
    task = make_task(KEY, options, classes, given, LatentTask)
    trained, _ = load_network(options.autoencoder)
    if task.config.autoencoder != trained.config.autoencoder:
        raise TrainingError(f"{options.init_from} has another autoencoder than {options.autoencoder}; leave one out.")
    task.network.autoencoder.load_state_dict(trained.autoencoder.state_dict())
    task.network.autoencoder.requires_grad_(False)
    task.autoencoder = info.training.get("autoencoder", {})
    return task


def _latents(
    network: LatentDiffusion, splits: tuple[Dataset, Dataset], options: Options, seed: int
) -> tuple[LatentDataset, LatentDataset]:
    """Standardised latents of both splits; mean and deviation are the training pictures'."""
    train_data, test_data = splits
    raw = (
        raw_latents(network, train_data, options.shifted_latents, options.shift, seed),
        raw_latents(network, test_data),
    )
    network.standardise(raw[0])
    return latent_dataset(network, train_data, raw[0]), latent_dataset(network, test_data, raw[1])


def main(options: Options, settings: Settings, given: set[str]) -> None:
    """Train the denoiser of an autoencoder's latents, and leave a checkpoint that the demo can use.

    For example, in a few minutes on one CPU core:

        python -m train.latent --threads 1 --autoencoder runs/autoencoder --out runs/latent_diffusion

    A finished run is not trained again.
    """
    with locked(settings.out):
        if skip(settings.out, options):
            return
        options, settings = resolve(options, settings, given, reference_recipe(KEY, options))
        group = set_up_process(options)
        chosen = replace(options, autoencoder=_autoencoder(options, settings.out, given))
        chosen.network_settings()  # a wrong width or folder is said before any data is read
        everything, facts = load_data(options, settings.out)
        splits, device = of_classes(everything, spec(KEY).classes), choose_device(options.device)
        torch.manual_seed(settings.seed)
        task = _task(chosen, splits[0].classes, given)
        latents = _latents(task.network.eval().to(device), splits, options, settings.seed)
        train(task, options, settings, latents, facts, group)
        finish(settings.out, *splits, device)
        with drawing():
            draw_autoencoder(settings.out, options.data)
            draw_samples_and_paths(settings.out, options.data)
    print(how_to_sample(settings.out, task))


def draw_samples_and_paths(folder: Path, data: Path) -> None:
    """In `figures`: a grid of samples, the path of one in latent space, and an animation."""
    model, target = str(folder), folder / FIGURES
    figures.generate_samples_grid(model, path=target / SAMPLES_GRID)
    figures.visualize_denoising_steps(model, data=data, path=target / DENOISING_STEPS)
    figures.create_diffusion_animation(model, path=target / ANIMATION)


if __name__ == "__main__":
    run_command(main, Options, Settings)
