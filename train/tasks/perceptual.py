"""The perceptual loss: two pictures are alike where a classifier sees the same in them."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffdemo.device import compile_network
from diffdemo.errors import CheckpointError, TrainingError
from diffdemo.measure.classifier import load_classifier
from diffdemo.models.classifier import Classifier


class PerceptualLoss(nn.Module):
    """How differently a classifier sees two pictures, at every level that it has.

    At each place of a level the features are scaled to length one; the distance is the squared difference of two such
    vectors, 0 for the same and at most 4, as a mean over places and summed over levels: equation 1 of Zhang et al. 2018
    (LPIPS, https://arxiv.org/abs/1801.03924) with all channels weighing the same. Beside a squared error of pixels it
    keeps a decoder from answering doubt with blur (Rombach et al. 2022, section 3.1, https://arxiv.org/abs/2112.10752).

    Args:
        classifier: whose features are compared; it is frozen, and stays as it is in training too.
    """

    def __init__(self, classifier: Classifier):
        super().__init__()
        self.classifier = classifier.eval().requires_grad_(False)

    def forward(self, pictures: Tensor, targets: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [0, 1], and what they should look like, to a scalar; no gradient for the latter."""
        with torch.no_grad():
            wanted = self.classifier.feature_maps(targets * 2 - 1)
        seen = self.classifier.feature_maps(pictures * 2 - 1)
        return sum(map(_distance, seen, wanted))

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Nothing: the classifier's batch normalisation must not learn from the pictures it judges."""
        return self


def _distance(a: Tensor, b: Tensor) -> Tensor:
    difference = F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)
    return difference.square().sum(dim=1).mean()


def load_perceptual_loss(
    folder: str | None, image_size: int, image_channels: int, device: torch.device, compiled: bool = False
) -> nn.Module:
    """The loss of the classifier in a checkpoint folder, None being the shipped one, for pictures of this size.

    Raises:
        TrainingError: there is no classifier, it is damaged, or it looks at other pictures.
    """
    try:
        classifier = load_classifier(Path(folder) if folder else None, str(device)).network
    except CheckpointError as error:
        reason = str(error).rstrip(".")
        raise TrainingError(f"{reason}, or add --perceptual-weight 0, which needs no classifier.") from error
    config = classifier.config
    if (config.image_size, config.image_channels) != (image_size, image_channels):
        raise TrainingError(
            f"{folder or 'The shipped classifier'} looks at pictures of {config.image_size} pixels a side in "
            f"{config.image_channels} colours, and the autoencoder's have {image_size} in {image_channels}; "
            "name another --classifier, or add --perceptual-weight 0."
        )
    loss = PerceptualLoss(classifier)
    return compile_network(loss, torch.device(device)) if compiled else loss
