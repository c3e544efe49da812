"""The project's own CIFAR-10 classifier: its features and its opinion of pictures, to measure samples with."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from diffdemo import CHECKPOINTS
from diffdemo.checkpoint import build_network
from diffdemo.data.pixels import to_pixels
from diffdemo.description import CONFIG, FORMATS, FP16, read_config
from diffdemo.device import choose_device
from diffdemo.errors import CheckpointError, DiffdemoError, reason
from diffdemo.models.classifier import Classifier, ClassifierConfig

KEY = "classifier"
BATCH = 250


@dataclass(frozen=True)
class ClassifierInfo:
    """What the `config.json` of a classifier says; see `diffdemo.description.CheckpointInfo`."""

    model: dict
    classes: tuple[str, ...]
    parameters: int
    training: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    encoded_from: dict = field(default_factory=dict)
    key: str = KEY
    format: int = FORMATS[FP16]

    @property
    def identity(self) -> dict:
        """The part that decides what the weights mean; it is written into the weights' header too."""
        return {"key": self.key, "model": self.model, "classes": list(self.classes)}

    def build_network(self) -> nn.Module:
        """A freshly initialised network of these settings."""
        return Classifier(ClassifierConfig(**self.model))


class FeatureClassifier:
    """A trained classifier, ready to look at pictures.

    Attributes:
        classes: names in the order of the probabilities.
        name: what to call it beside a figure that it measured.
        hash: SHA-256 of its weights; figures compare only where it is the same.
    """

    name = "diffdemo classifier"

    def __init__(self, network: Classifier, info: ClassifierInfo, device: torch.device):
        self.network = network.to(device, memory_format=torch.channels_last)
        self.device, self.info, self.classes = device, info, info.classes
        self.hash = "+".join(info.files.values())

    @torch.inference_mode()
    def features_and_probabilities(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, D) and class probabilities (N, classes), both float32, of pictures (N, H, W, 3) uint8."""
        features, probabilities = [], []
        for start in range(0, len(pictures), BATCH):
            pixels = to_pixels(pictures[start : start + BATCH], self.device)
            features.append(self.network.features(pixels.contiguous(memory_format=torch.channels_last)))
            probabilities.append(self.network.head(features[-1]).float().softmax(dim=1))
        return torch.cat(features).cpu().numpy(), torch.cat(probabilities).cpu().numpy()

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Features (N, D) float32 of pictures (N, H, W, 3) uint8."""
        return self.features_and_probabilities(pictures)[0]

    def probabilities(self, pictures: np.ndarray) -> np.ndarray:
        """(N, classes) float32: how much it believes in each class, of pictures (N, H, W, 3) uint8."""
        return self.features_and_probabilities(pictures)[1]


def load_classifier(folder: str | Path | None = None, device: str = "auto") -> FeatureClassifier:
    """The classifier in a checkpoint folder, the shipped one by default.

    Raises:
        CheckpointError: it is missing, damaged or edited. RequestError: there is no such device.
    """
    folder = Path(folder or CHECKPOINTS / KEY)
    content = read_config(folder)
    try:
        info = ClassifierInfo(**{**content, "classes": tuple(content["classes"])})
        if info.key != KEY:
            raise CheckpointError(f"it holds a {info.key}")
        ClassifierConfig(**info.model)
    except (DiffdemoError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / CONFIG} describes no classifier ({reason(error)}); restore it or run "
            "python -m train.classifier."
        ) from error
    return FeatureClassifier(build_network(folder, info), info, choose_device(device))
