"""Train the classifier that measures samples: `python -m train.classifier --out runs/classifier`."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo import figures, validate
from diffdemo.checkpoint import parameter_count
from diffdemo.data import Dataset
from diffdemo.description import write_info
from diffdemo.errors import TrainingError
from diffdemo.measure.classifier import ClassifierInfo, load_classifier
from diffdemo.models.classifier import Classifier, ClassifierConfig
from diffdemo.records.commands import shell_line
from diffdemo.records.files import CONFUSION, HISTORY, LOSS
from train.flags import flag, run_command, whole_numbers
from train.loop import settings as shared
from train.loop.data import load_data
from train.loop.progress import drawing
from train.loop.resume import locked
from train.loop.run import RunOptions, resolve, set_up_process, train
from train.loop.task import Task
from train.tasks.augment import shifted

WHITENING_IMAGES = 5_000  # of which there are 5 million patches: plenty for 12 variances


@dataclass(frozen=True)
class Options(RunOptions):
    """What only the classifier's training has."""

    channels: str = flag("64,256,256", "Width of each level, finest first.")
    label_smoothing: float = flag(0.1, "Of the cross entropy, 0 to below 1.")
    shift: int = flag(2, "Training pictures are shifted by up to so many pixels each way.")

    def __post_init__(self):
        super().__post_init__()
        validate.real_number("--label-smoothing", self.label_smoothing, 0, 0.99)
        if not 0 <= self.shift <= 16:
            raise TrainingError(f"--shift must be from 0 to 16, not {self.shift}.")


@dataclass(frozen=True)
class Settings(shared.Settings):
    """Settings whose defaults are others here."""

    images: int = flag(600_000, "End after so many pictures, counting repeats.")
    batch_size: int = flag(128, "Pictures per forward pass.")
    lr: float = flag(3e-3, "Peak learning rate.")
    warmup_images: int = flag(25_600, "Pictures over which the learning rate rises from 0 to its peak.")
    decay_start: float = flag(0.1, "Part of the run, 0 to 1, after which the learning rate falls to 0.")
    weight_decay: float = flag(0.05, "Weight decay of AdamW.")


class ClassifierTask(Task):
    """Tell pictures apart.

    Args:
        network: the classifier.
        classes: names in the order of the labels.
        options: loss and augmentation.
        test_data: what the confusion matrix in the end is made of.
    """

    def __init__(self, network: Classifier, classes: tuple[str, ...], options: Options, test_data: Dataset):
        self.network, self.classes, self.options, self.test_data = network, classes, options, test_data

    def prepare(self, examples: Tensor, random: torch.Generator, train: bool) -> Tensor:
        """uint8 (N, 3, H, W) to float in [-1, 1]; in training, mirrored half the time and shifted a little."""
        pixels = super().prepare(examples, random, train)
        if train and self.options.shift:
            pixels = shifted(pixels, self.options.shift, random)
        return pixels.contiguous(memory_format=torch.channels_last)

    def loss(self, network: nn.Module, batch: Tensor, labels: Tensor, random: torch.Generator, train: bool) -> Tensor:
        """Mean cross entropy, in training with smoothed labels: a scalar."""
        return F.cross_entropy(network(batch), labels, label_smoothing=self.options.label_smoothing if train else 0.0)

    def info(self, training: dict) -> ClassifierInfo:
        return ClassifierInfo(asdict(self.network.config), self.classes, parameter_count(self.network), training)

    def draws_after(self, epoch: int, images: int) -> bool:
        """Never: what there is to see, the confusion matrix, is drawn in the end."""
        return False

    def draw(self, folder: Path, network: nn.Module, name: str) -> None:
        """Nothing: see `finish`, which measures the checkpoint as it was written."""


def finish(folder: Path, test_data: Dataset) -> float:
    """Measure the checkpoint as it was written, in half precision; draw loss curve and confusion matrix.

    Returns the share of test pictures that it is right about.
    """
    classifier = load_classifier(folder)
    guesses = classifier.probabilities(test_data.images).argmax(axis=1)
    accuracy = float((guesses == test_data.labels).mean())
    metrics = {"accuracy": round(accuracy, 4), "n": len(test_data), "split": test_data.source}
    write_info(folder, replace(classifier.info, metrics=metrics))
    title = f"{accuracy:.2%} of {len(test_data):,} test pictures"
    with drawing():
        figures.confusion_matrix(test_data.labels, guesses, classifier.classes, folder / CONFUSION, title=title)
        figures.loss_curve(folder / HISTORY, folder / LOSS, title="Classifier")
    return accuracy


def main(options: Options, settings: Settings, given: set[str]) -> None:
    """Train the classifier whose features and opinions train.evaluate measures samples with.

    For example, in about 40 minutes on one CPU core:

        python -m train.classifier --threads 1 --compile --out runs/classifier
    """
    options, settings = resolve(options, settings, given, {})
    group = set_up_process(options)
    channels = whole_numbers("--channels", options.channels)
    (train_data, test_data), facts = load_data(options, settings.out)
    torch.manual_seed(settings.seed)
    network = Classifier(ClassifierConfig(channels, num_classes=len(train_data.classes)))
    with locked(settings.out):
        task = ClassifierTask(network, train_data.classes, options, test_data)
        pictures = torch.from_numpy(train_data.images[:WHITENING_IMAGES]).permute(0, 3, 1, 2)
        network.whiten(Task.prepare(task, pictures, torch.Generator(), False))
        train(task, options, settings, (train_data, test_data), facts, group)
        accuracy = finish(settings.out, test_data)
    print(f"Right about {accuracy:.2%} of {len(test_data):,} test pictures; the checkpoint lies in {settings.out}.")
    print(f"To measure with it: {shell_line(['python', '-m', 'train.install', str(settings.out)])}")


if __name__ == "__main__":
    run_command(main, Options, Settings)
