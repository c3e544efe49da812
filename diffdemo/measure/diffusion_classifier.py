"""The diffusion classifier: the class of a picture is the one whose condition denoises it best."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from diffdemo import validate
from diffdemo.errors import RequestError
from diffdemo.process.diffusion import add_noise, eps_from_x0
from diffdemo.process.samplers import SeededNoise

if TYPE_CHECKING:
    from diffdemo.generator import Generator

DRAWS = 32
MOST_DRAWS = 1000
BATCH = 64  # network evaluations at once; bounds memory, and changes no result
GOLDEN_RATIO = (1 + sqrt(5)) / 2
# By how much squared errors count: 1 for Li et al.; in the evidence lower bound, with equal weights for all t of the
# linear schedule, about 10. With 3 the shipped attention_unet's highest probability is on average as large as its
# accuracy.
SHARPNESS = 3


@dataclass(frozen=True)
class Scores:
    """How well each class's condition denoises each of N pictures; C is the number of classes.

    Attributes:
        classes: the names of the classes.
        draws: how many noises each of the errors is a mean over.
        evaluations: of the network, for one picture: draws x C.
        errors: (N, C) float64, mean squared error of eps over all numbers of a picture and all draws; about 0 to 1.
        standard_errors: (N, C) float64, of the errors' differences from their mean over the classes. What all classes
            share, above all the noise level of a draw, tells none of them apart and is taken out (Cousineau 2005,
            with the factor of Morey 2008). NaN after a single draw.
        probabilities: (N, C) float64, softmax over the classes of -3 D x error, D numbers in a picture.
    """

    classes: tuple[str, ...]
    draws: int
    evaluations: int
    errors: np.ndarray
    standard_errors: np.ndarray
    probabilities: np.ndarray

    @property
    def best(self) -> list[str]:
        """The most probable class of each picture."""
        return [self.classes[index] for index in self.probabilities.argmax(axis=1)]


def classify(model: "Generator", pictures: np.ndarray, draws: object = DRAWS, seed: object = 0) -> Scores:
    """Score every class for every picture: `refine` to its end, with the same arguments and errors."""
    *_, scores = refine(model, pictures, draws, seed)
    return scores


def refine(model: "Generator", pictures: np.ndarray, draws: object = DRAWS, seed: object = 0) -> Iterator[Scores]:
    """The diffusion classifier of Li et al. 2023 (https://arxiv.org/abs/2303.16203); yields `Scores` after every draw.

    A draw hides the pictures in noise eps at a training step t and asks the network for the noise once for each class.
    All classes get the same t and eps (paired), so that a difference between them is the condition's work. Bayes' rule
    with equal priors, and the evidence lower bound in place of the likelihood, gives p(c | x) as the softmax of
    -3 E |eps - eps_hat(x_t, t, c)|^2; see SHARPNESS. Steps t follow multiples of the golden ratio modulo 1, which
    spread evenly however many there are. Models of latents are asked about the pictures' latents.

    The squared error of eps counts low noise, where details are, as much as high. It finds the class of 72 % of 120
    CIFAR-10 test pictures with the shipped attention_unet and 40 draws, where the errors of x0 and of the network's
    own output, which high noise dominates, find 35 and 36 % (python -m benchmarks.diffusion_classifier).

    Args:
        model: a model with classes.
        pictures: (N, H, W, 3) uint8 of the model's image size, N at least 1.
        draws: 1 to 1000 noises for each picture; the cost is draws x classes network evaluations a picture.
        seed: 0 to 2^64 - 1; every picture gets the noise of this seed, so its scores depend on no other picture.

    Raises:
        RequestError: the model has no classes, the pictures have another shape, or a number is out of range.
        CheckpointError: the model cannot denoise yet.
    """
    if not model.classes:
        raise RequestError(
            f"{model.key} is unconditional and has no classes to tell apart; use a model with classes, such as "
            "attention_unet."
        )
    model.require_denoiser()
    height, width = model.image_size
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (height, width, 3) or not len(pictures):
        raise RequestError(
            f"Pictures to classify must be uint8 numbers of shape (N, {height}, {width}, 3), not {pictures.dtype} of "
            f"shape {pictures.shape}."
        )
    draws = validate.whole_number("draws", draws, 1, MOST_DRAWS)
    return _refine(model, pictures, draws, *validate.seeds(seed))


def timesteps(count: int, total: int) -> list[int]:
    """The training steps, 0 to total - 1, of the first `count` draws: evenly spread, whatever the count."""
    return [int(total * ((0.5 + index / GOLDEN_RATIO) % 1)) for index in range(count)]


def _refine(model: "Generator", pictures: np.ndarray, draws: int, seed: int) -> Iterator[Scores]:
    x0 = model.states(pictures)
    noise = SeededNoise([seed], model.shape, model.device)
    errors: list[np.ndarray] = []
    for t in timesteps(draws, model.diffusion.schedule.steps):
        errors.append(_errors(model, x0, noise(), t))
        yield _scores(model, np.stack(errors), x0[0].numel())


@torch.inference_mode()
def _errors(model: "Generator", x0: Tensor, eps: Tensor, t: int) -> np.ndarray:
    """(N, C) mean squared errors of eps, for pictures x0 (N, *shape) and every class, with one noise (1, *shape)."""
    classes = len(model.classes)
    pairs = torch.arange(len(x0) * classes, device=x0.device)  # picture by picture, each with all classes
    parts = []
    for pair in pairs.split(BATCH):
        steps = torch.full_like(pair, t)
        alpha_bar = model.diffusion.alpha_bar(steps, x0)
        x_t = add_noise(x0[pair // classes], eps, alpha_bar)
        guess = eps_from_x0(x_t, model.predict_x0(x_t, steps, pair % classes), alpha_bar)
        parts.append((guess - eps).square().flatten(1).mean(1))
    return torch.cat(parts).reshape(-1, classes).cpu().double().numpy()  # MPS has no float64


def _scores(model: "Generator", errors: np.ndarray, numbers: int) -> Scores:
    """What errors (draws, N, C) of pictures with so many numbers add up to."""
    draws, _, classes = errors.shape
    mean = errors.mean(axis=0)
    logits = -SHARPNESS * numbers * (mean - mean.min(axis=1, keepdims=True))
    likelihood = np.exp(logits)
    deviations = errors - errors.mean(axis=2, keepdims=True)
    spread = deviations.std(axis=0, ddof=1) if draws > 1 else np.full_like(mean, np.nan)
    return Scores(
        classes=model.classes,
        draws=draws,
        evaluations=draws * classes,
        errors=mean,
        standard_errors=spread * sqrt(classes / max(classes - 1, 1) / draws),
        probabilities=likelihood / likelihood.sum(axis=1, keepdims=True),
    )
