"""How well real pictures are explained by a model's best class, so that one that is explained worse is known."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffdemo.description import CheckpointInfo, write_json
from diffdemo.measure.diffusion_classifier import Scores, refine

if TYPE_CHECKING:
    from diffdemo.generator import Generator

FILE = "explained.json"
QUANTILE = 0.99


@dataclass(frozen=True)
class Explained:
    """The errors that real pictures stay below, as they were measured.

    Attributes:
        bounds: after 1, 2, ... draws, the mean squared error of eps (see `Scores.errors`) that the smallest of a
            picture's classes does not exceed for `quantile` of the pictures. Later draws are at noise levels that
            spread as evenly as these, so that the last bound holds for more of them, too.
        quantile: 0 to 1.
        pictures: how many were measured, as many of each class.
        source: where they are from, in words.
        seed: of the noises.
        weights: SHA-256 of the model's own weights, by file.
    """

    bounds: list[float]
    quantile: float
    pictures: int
    source: str
    seed: int
    weights: dict[str, str]

    def none_of(self, scores: Scores) -> np.ndarray:
        """(N,) bool: of which pictures even the best class explains less than real pictures' best classes do."""
        return scores.errors.min(axis=1) > self.bounds[min(scores.draws, len(self.bounds)) - 1]

    @property
    def words(self) -> str:
        """What it says of a picture that none of the classes explains."""
        return (
            f"Every class explains it worse than {100 * self.quantile:.0f} % of {self.pictures} real test pictures "
            "are explained by their best one."
        )

    def save(self, folder: Path) -> None:
        """Put it into the checkpoint it was measured with; OSError as the system gave it."""
        write_json(folder / FILE, asdict(self))


def load(folder: Path, info: CheckpointInfo) -> Explained | None:
    """What lies in the folder of a checkpoint with this description; None if nothing does, or of other weights."""
    try:
        known = Explained(**json.loads((folder / FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return known if known.weights == info.weights and known.bounds else None


def measure(
    model: "Generator", pictures: np.ndarray, source: str, draws: int, seed: int, tell: Callable[[Scores], object]
) -> Explained:
    """Measure it on real pictures (N, H, W, 3) uint8 with so many draws of noise; `tell` hears of each.

    Raises:
        RequestError: as for `diffusion_classifier.refine`.
    """
    bounds = []
    for scores in refine(model, pictures, draws, seed):
        bounds.append(float(np.quantile(scores.errors.min(axis=1), QUANTILE, method="higher")))
        tell(scores)
    return Explained(bounds, QUANTILE, len(pictures), source, seed, model.info.weights)
