"""Train the autoencoder of latent diffusion: `python -m train.autoencoder --out runs/autoencoder`."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo import figures, validate
from diffdemo.checkpoint import load_network, save_checkpoint
from diffdemo.data import Dataset
from diffdemo.data.pixels import to_images
from diffdemo.description import CheckpointInfo, read_info
from diffdemo.device import choose_device
from diffdemo.errors import TrainingError
from diffdemo.latent.space import fit_pca
from diffdemo.models.autoencoder import SimpleAutoencoder
from diffdemo.models.latent_diffusion import LatentDiffusion
from diffdemo.records.commands import shell_line
from diffdemo.records.files import SAMPLES
from diffdemo.registry import spec
from train.flags import flag, named, of_size, run_command, whole_numbers
from train.loop import settings as shared
from train.loop.data import load_data
from train.loop.progress import drawing
from train.loop.resume import locked
from train.loop.run import RunOptions, resolve, set_up_process, train
from train.loop.task import Task
from train.tasks.augment import shifted
from train.tasks.latents import KEY, describe, draw_autoencoder, finish, skip
from train.tasks.perceptual import load_perceptual_loss
from train.tasks.recipes import reference_recipe

SHAPE = ("latent_dim", "blocks_per_level", "patch_size")
FIXED_BY_WEIGHTS = {"size", "channels", "dropout", *SHAPE}
SHOWN = 8  # test pictures drawn while training goes on


@dataclass(frozen=True)
class Options(RunOptions):
    """What only the autoencoder's training has; left out, settings of the network are those of --size."""

    init_from: str | None = flag(None, "Start from the autoencoder in this checkpoint folder.", "none")
    force: bool = flag(False, "Train again, from the beginning, where --out holds a finished run.")
    size: str = flag("small", "small is the best value on a CPU; reference is the full network; tiny is for tests.")
    latent_dim: int | None = of_size("Numbers a picture is encoded as.")
    channels: str | None = of_size("Width of each level, finest first, such as 32,128,192.")
    blocks_per_level: int | None = of_size("Convolutional attention blocks of each level.")
    patch_size: int | None = of_size("1, 2 or 4: pictures enter the network as patches of so many pixels a side.")
    dropout: float = flag(0.2, "Dropout inside the classifier.")
    pca_start: bool = flag(
        True,
        "Begin as principal component analysis; without it, the plain autoencoder. After --init-from, where it must be "
        "named, only the convolutions and the classifier begin with those weights.",
    )
    all_classes: bool = flag(
        True, "Train the classifier on the data's other classes too: better features, and nothing else is kept of it."
    )
    reconstruction_weight: float = flag(
        1.0, "Of a picture's squared error; at 0 nothing is decoded, and what it began with of PCA stays as it is."
    )
    classification_weight: float = flag(5.0, "Of the classification loss.")
    center_weight: float = flag(1.0, "Of the center loss.")
    perceptual_weight: float = flag(
        10.0,
        "Of the difference between what a classifier sees in a picture and in its reconstruction; 0 leaves it out, and "
        "so does a --reconstruction-weight of 0.",
    )
    classifier: str | None = flag(None, "Folder of that classifier's checkpoint.", "the shipped one")
    label_smoothing: float = flag(0.1, "Of the classification loss, 0 to below 1.")
    shift: int = flag(2, "Training pictures are shifted by up to so many pixels each way.")
    oversample: int = flag(3, "How often a picture of the classes is seen for each time that another picture is.")

    def __post_init__(self):
        super().__post_init__()
        validate.real_number("--label-smoothing", self.label_smoothing, 0, 0.99)
        for name in ("reconstruction_weight", "classification_weight", "center_weight", "perceptual_weight"):
            validate.real_number(f"--{name.replace('_', '-')}", getattr(self, name), 0, 1e6)
        if not (self.reconstruction_weight or self.classification_weight):
            raise TrainingError("With no --reconstruction-weight and no --classification-weight nothing is trained.")
        for name, least in (("shift", 0), ("oversample", 1)):
            if not least <= getattr(self, name) <= 16:
                raise TrainingError(f"--{name} must be from {least} to 16, not {getattr(self, name)}.")

    def network_settings(self) -> dict:
        """The settings of the autoencoder, those of its size and those that were named."""
        chosen = named(self, *SHAPE)
        if self.channels is not None:
            chosen["channels"] = whole_numbers("--channels", self.channels)
        usual = spec(KEY).configure(self.size).autoencoder
        return usual | chosen | {"dropout": self.dropout, "linear_path": self.pca_start}

    def build(self, num_classes: int, others: int) -> LatentDiffusion:
        """The model that these options ask for, its denoiser untrained, on data with so many other classes."""
        other_classes = {"other_classes": others if self.all_classes else 0}
        if not self.init_from:
            settings = self.network_settings() | other_classes
            return LatentDiffusion(spec(KEY).configure(self.size, num_classes=num_classes, autoencoder=settings))
        network, info = load_network(Path(self.init_from))
        if info.key != KEY:
            raise TrainingError(f"{self.init_from} holds a {info.key}; name a checkpoint of {KEY}.")
        if len(info.classes) != num_classes:
            raise TrainingError(
                f"{self.init_from} knows {len(info.classes)} classes, but the data has {num_classes}; use others."
            )
        whole = LatentDiffusion(replace(network.config, autoencoder=network.config.autoencoder | other_classes))
        weights = whole.autoencoder.state_dict()
        for name, weight in network.autoencoder.state_dict().items():
            weights[name][: len(weight)] = weight[: len(weights[name])]  # one may know other classes, after its own
        whole.autoencoder.load_state_dict(weights)
        return whole

    def perceptual(self, whole: LatentDiffusion, compiled: bool) -> nn.Module | None:
        """The perceptual loss of this model's reconstructions, on the device of the training, if there is to be any."""
        if not (self.perceptual_weight and self.reconstruction_weight):
            return None
        config, device = whole.config.autoencoder_config, choose_device(self.device)
        return load_perceptual_loss(self.classifier, config.image_size, config.image_channels, device, compiled)


@dataclass(frozen=True)
class Settings(shared.Settings):
    """Settings whose defaults are others here."""

    images: int = flag(600_000, "End after so many pictures, counting repeats.")
    batch_size: int = flag(32, "Pictures per forward pass.")
    warmup_images: int = flag(6_400, "Pictures over which the learning rate rises from 0 to its peak.")


class AutoencoderTask(Task):
    """Reconstruct all pictures, and tell apart those of the classes.

    Args:
        whole: the latent diffusion model whose autoencoder is trained.
        classes: names in the order of the labels; greater labels are of other classes.
        options: weights of the losses, and augmentation.
        shown: test pictures to draw now and then.
        perceptual: see `train.perceptual`, on the device of the training; None leaves it out. The checkpoint has none.
    """

    def __init__(
        self,
        whole: LatentDiffusion,
        classes: tuple[str, ...],
        options: Options,
        shown: Dataset,
        perceptual: nn.Module | None = None,
    ):
        self.whole, self.classes, self.options, self.shown = whole, classes, options, shown
        self.perceptual = perceptual
        self.network: SimpleAutoencoder = whole.autoencoder
        if not options.reconstruction_weight and self.network.config.linear_path:
            # With nothing to reconstruct, weight decay and the classifier would use the components up.
            for layer in (self.network.linear_encoder, self.network.linear_decoder):
                layer.requires_grad_(False)

    def prepare(self, examples: Tensor, random: torch.Generator, train: bool) -> Tensor:
        """uint8 (N, 3, H, W) to float in [0, 1]; in training, mirrored half the time and shifted a little."""
        pixels = super().prepare(examples, random, train)
        if train and self.options.shift:
            pixels = shifted(pixels, self.options.shift, random)
        return ((pixels + 1) / 2).contiguous(memory_format=torch.channels_last)

    def loss(self, network: nn.Module, batch: Tensor, labels: Tensor, random: torch.Generator, train: bool) -> Tensor:
        """Squared error of a picture, perceptual, cross entropy and center loss, each with its weight: a scalar.

        The squared error is a sum over the picture's pixels, a Gaussian's log-likelihood: as the mean that it often is,
        it would be 3072 times smaller, and a classification weight of 5 would ruin the pictures.
        """
        options = self.options
        pictures, latents, logits = network(batch, decode=bool(options.reconstruction_weight))
        error = 0.0 if pictures is None else (pictures - batch).square().sum(dim=(1, 2, 3)).mean()
        unlike = 0.0 if pictures is None or self.perceptual is None else self.perceptual(pictures, batch)
        known = labels < logits.shape[1]
        smoothing = options.label_smoothing if train else 0.0
        # -100 is what cross_entropy ignores
        entropy = F.cross_entropy(
            logits, labels.where(known, -100), label_smoothing=smoothing, reduction="sum"
        ) / known.sum().clamp(min=1)
        center = network.center_loss(latents, labels)
        return (
            options.reconstruction_weight * error
            + options.perceptual_weight * unlike
            + options.classification_weight * entropy
            + options.center_weight * center
        )

    def info(self, training: dict) -> CheckpointInfo:
        """The description of a latent diffusion model that has seen no picture yet, except for its autoencoder."""
        return describe(self.whole, self.classes, {"images_seen": 0, "autoencoder": training})

    def save_checkpoint(self, folder: Path, weights: dict[str, Tensor], training: dict) -> None:
        trained = {f"autoencoder.{name}": tensor for name, tensor in weights.items()}
        save_checkpoint(folder, self.info(self.record(training)), self.whole.state_dict() | trained)

    @torch.no_grad()
    def draw(self, folder: Path, network: nn.Module, name: str) -> None:
        """`samples/<name>.png`: test pictures above their reconstructions."""
        device = next(network.parameters()).device
        pixels = super().prepare(self.shown.tensors(device)[0], torch.Generator(device), False)
        back = network.eval()((pixels + 1) / 2)[0] * 2 - 1
        rows = {"picture": self.shown.images, "reconstruction": to_images(back)}
        figures.class_grid(rows, folder / SAMPLES / f"{name}.png", title=name.replace("_", " "))


def with_others(data: Dataset, classes: tuple[str, ...], oversample: int) -> Dataset:
    """All pictures, with the labels of `classes` before those of other classes; the former `oversample` times."""
    others = tuple(name for name in data.classes if name not in classes)
    ordered = data.only((*classes, *others))
    if not others:
        return ordered
    index = np.repeat(np.arange(len(ordered)), np.where(ordered.labels < len(classes), oversample, 1))
    source = f"{data.source}, {', '.join(classes)} {oversample} times"
    return Dataset(ordered.images[index], ordered.labels[index], ordered.classes, source)


def start_from_pca(network: SimpleAutoencoder, data: Dataset) -> None:
    """Fill the linear path with the principal components of the pictures."""
    components = network.config.latent_dim
    if len(data) < components:
        raise TrainingError(
            f"PCA with {components} components needs as many pictures and there are {len(data)}; name a smaller "
            "--latent-dim, or add --no-pca-start."
        )
    pca = fit_pca(data, components)
    network.start_from_pca(*map(torch.from_numpy, (pca.mean_, pca.components_, pca.explained_variance_)))


def main(options: Options, settings: Settings, given: set[str]) -> None:
    """Train the autoencoder to a flat latent, with a classifier on it, and leave a checkpoint without a denoiser.

    For example, in three quarters of an hour on one CPU core:

        python -m train.autoencoder --threads 1 --compile --max-minutes 45 --out runs/autoencoder

    All pictures are reconstructed and told apart; what counts in the end is cats and dogs or, in data without them, all
    classes. A finished run is not trained again. The denoiser of the latents comes next: python -m train.latent.
    """
    with locked(settings.out):
        if skip(settings.out, options):
            return
        options, settings = resolve(options, settings, given, reference_recipe("autoencoder", options))
        group = set_up_process(options)
        if (fixed := sorted(given & FIXED_BY_WEIGHTS)) and options.init_from and not options.resume:
            raise TrainingError(
                f"--{fixed[0].replace('_', '-')} is decided by the weights in {options.init_from}; leave it out."
            )
        options.network_settings()  # a wrong width is said before any data is read
        everything, facts = load_data(options, settings.out)
        wanted = spec(KEY).classes
        classes = wanted if set(wanted) <= set(everything[0].classes) else everything[0].classes
        train_data, test_data = (part.only(classes) for part in everything)
        torch.manual_seed(settings.seed)
        whole = options.build(len(classes), len(everything[0].classes) - len(classes))
        perceptual = options.perceptual(whole, settings.compile)
        if options.pca_start and not options.resume and (not options.init_from or "pca_start" in given):
            start_from_pca(whole.autoencoder, train_data)
        shown = Dataset(test_data.images[:SHOWN], test_data.labels[:SHOWN], classes, test_data.source)
        task = AutoencoderTask(whole, classes, options, shown, perceptual)
        if options.init_from:
            task.started_from = read_info(Path(options.init_from)).training["autoencoder"]
        data = with_others(everything[0], classes, options.oversample), test_data
        train(task, options, settings, data, facts, group)
        finish(settings.out, train_data, test_data, choose_device(options.device))
        with drawing():
            draw_autoencoder(settings.out, options.data)
    print(f"The autoencoder lies in {settings.out}. To train a denoiser of its latents:")
    words = ["python", "-m", "train.latent", "--autoencoder", str(settings.out), "--out", "runs/latent_diffusion"]
    print(f"  {shell_line(words)}")


if __name__ == "__main__":
    run_command(main, Options, Settings)
