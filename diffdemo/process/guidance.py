"""Guidance: a run that exaggerates what its guess of x0 has, and what a worse guess lacks.

    x0 = worse + scale * (x0 - worse)

The worse guess is the same network's without the class (classifier-free guidance, Ho and Salimans 2022,
https://arxiv.org/abs/2207.12598), or that of a weaker version of the model, told the same class (autoguidance, Karras
et al. 2024, https://arxiv.org/abs/2406.02507), which models without classes can have, too. Either costs an evaluation
of its own, and is of most use at middle noise levels (guidance interval, Kynkäänniemi et al. 2024,
https://arxiv.org/abs/2404.07724).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffdemo import validate
from diffdemo.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

NO_CLASS, WEAK_MODEL = GUIDES = ("no-class", "weak-model")
EVERYWHERE = "all"
MAX_SIGMA = 1e5  # above that of any schedule
_INTERVAL_WANTED = f"two noise levels sigma from low to high, such as 0.3,5, or {EVERYWHERE}"


@dataclass(frozen=True)
class Guidance:
    """How a run is guided.

    Attributes:
        scale: 0 to 20; 1 is none, and 0 the worse guess alone.
        interval: (low, high): guided are steps with low < sigma <= high, all of them if None.
        guide: whose guess is the worse one, of GUIDES.
    """

    scale: float = 1.0
    interval: tuple[float, float] | None = None
    guide: str = NO_CLASS

    def at(self, sigma: float) -> float:
        """The scale at a noise level, 1 outside of the interval."""
        inside = self.interval is None or self.interval[0] < sigma <= self.interval[1]
        return self.scale if inside else 1.0

    def combine(self, x0: "Tensor", worse: "Tensor") -> "Tensor":
        """The guided guess, shaped like both, (N, ...)."""
        return worse + self.scale * (x0 - worse)

    @property
    def interval_text(self) -> str:
        """The interval as `parse_interval` reads it, losing nothing."""
        return EVERYWHERE if self.interval is None else ",".join(map(number, self.interval))

    def __str__(self) -> str:
        """Such as "guidance 2 (sigma 0.3 to 5), by a weak model"."""
        words = f"guidance {self.scale:g}"
        if self.interval:
            words += f" (sigma {self.interval[0]:g} to {self.interval[1]:g})"
        return words + (", by a weaker model" if self.guide == WEAK_MODEL else "")


def number(value: float) -> str:
    """A number that reads back as the same one, without a needless ".0"."""
    return repr(value).removesuffix(".0")


def parse_interval(value: object) -> tuple[float, float] | None:
    """(low, high) of a pair of numbers or of text such as "0.3,5"; None of "all" or None.

    Raises:
        RequestError: it is neither, or low is not below high.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() == EVERYWHERE):
        return None
    parts = value.split(",") if isinstance(value, str) else value
    refused = RequestError(f"The guidance interval must be {_INTERVAL_WANTED}, not {validate.shown(value)}.")
    if not isinstance(parts, Sequence) or len(parts) != 2:
        raise refused
    try:
        low, high = (validate.real_number("sigma", part, 0, MAX_SIGMA) for part in parts)
    except RequestError:
        raise refused from None
    if low >= high:
        raise refused
    return low, high


def checked_guidance(
    scale: object, interval: object, guide: object, *, key: str, classes: Sequence[str], has_weak_model: bool
) -> Guidance:
    """Guidance that a model can have.

    Args:
        scale, interval, guide: as in `Guidance`, or text.
        key: of the model, for what is said of it.
        classes: that it knows.
        has_weak_model: whether its checkpoint holds a weaker version of it.

    Raises:
        RequestError: a setting is out of range or unknown, or the model has nothing that could guide it so.
    """
    guide = validate.choice("guide", guide, GUIDES)
    asked = Guidance(validate.real_number("guidance", scale, 0, validate.MAX_GUIDANCE), parse_interval(interval), guide)
    if asked.scale == 1:
        return asked
    if guide == WEAK_MODEL and not has_weak_model:
        raise RequestError(
            f"The checkpoint of {key} holds no weaker model to guide it; use the guide {NO_CLASS}, or install one with "
            "python -m train.install --weak-model FOLDER."
        )
    if guide == NO_CLASS and not classes:
        weak = f", or the guide {WEAK_MODEL}" if has_weak_model else ""
        raise RequestError(f"{key} is unconditional and takes no guidance but 1{weak}, not {asked.scale:g}.")
    return asked
