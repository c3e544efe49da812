"""Checks of what people ask for, shared by the Python API, the command line and the page.

Each takes whatever came in, a number or the text someone typed, and returns it in its proper type or raises
RequestError with a sentence that says what would be right.
"""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral

from diffdemo.errors import RequestError

MAX_SEED = 2**64 - 1
MAX_STEPS = 1000
MAX_GUIDANCE = 20.0


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """A whole number from `low` to `high`; text and floats without a fraction are understood."""
    try:
        number = int(value) if isinstance(value, (Integral, str)) and not isinstance(value, bool) else float(value)
        exact = not isinstance(value, bool) and number == int(number) and low <= number <= high
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact:
        raise RequestError(f"{name} must be a whole number from {low} to {high}{_instead(value)}.")
    return int(number)


def real_number(name: str, value: object, low: float, high: float) -> float:
    """A finite number from `low` to `high`; text is understood."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not low <= number <= high:
        raise RequestError(f"{name} must be a number from {low:g} to {high:g}{_instead(value)}.")
    return number


def eps_scale(value: object) -> float:
    """What guessed noise is divided by."""
    return real_number("eps_scale", value, 0.9, 1.1)


def steps(value: object, most: int = MAX_STEPS) -> int:
    """A number of sampling steps."""
    return whole_number("steps", value, 1, most)


def steps_taken(stop_after: object, steps: int) -> int:
    """Of a run of so many steps, those that are taken: all, unless it is to stop sooner."""
    return steps if stop_after is None else whole_number("stop_after", stop_after, 1, steps)


def seeds(values: object) -> list[int]:
    """One seed for each image, at least one; a single number is a list of one."""
    if isinstance(values, (int, str)) or not isinstance(values, Iterable):
        values = [values]
    checked = [whole_number("seed", value, 0, MAX_SEED) for value in values]
    if not checked:
        raise RequestError("seeds must name at least one seed, one for each image.")
    return checked


def consecutive_seeds(first: object, count: object, most: int = 50_000) -> list[int]:
    """The seeds of a batch: image k has seed first + k."""
    count = whole_number("the number of images", count, 1, most)
    first = whole_number("seed", first, 0, MAX_SEED)
    if first + count - 1 > MAX_SEED:
        raise RequestError(f"seed must leave room for {count} images below 2^64; use {MAX_SEED - count + 1} or less.")
    return list(range(first, first + count))


def choice(name: str, value: object, choices: Sequence[str]) -> str:
    """One of several names."""
    if value not in choices:
        raise RequestError(f"There is no {name} {shown(value)}; choose one of: {', '.join(choices)}.")
    return value


def class_index(value: str | None, classes: Sequence[str], key: str) -> int | None:
    """The label of a class name; None and "any" are no class.

    Raises RequestError for a class the model does not know, above all any class on an unconditional model.
    """
    if value is None or value == "any":
        return None
    # However a Mac or a keyboard spells an accent; class folders are read in the same spelling.
    value = unicodedata.normalize("NFC", value) if isinstance(value, str) and value not in classes else value
    if not classes:
        raise RequestError(f"{key} is unconditional and takes no class, not {shown(value)}; leave the class out.")
    return list(classes).index(choice("class", value, classes))


def sampler_options(sampler: str, options: Mapping[str, object]) -> dict[str, object]:
    """The settings only one sampler has: `eta` of ddim, 0 to 1, and `variance` of ddpm, "small" or "large"."""
    checked = {}
    for name, value in options.items():
        owner = {"eta": "ddim", "variance": "ddpm"}.get(name)
        if owner is None:
            raise RequestError(f"There is no setting {name!r}; samplers have eta (ddim) and variance (ddpm).")
        if sampler != owner:
            raise RequestError(f"{name} is a setting of the sampler {owner}, not of {sampler}; leave it out.")
        checked[name] = (
            real_number("eta", value, 0, 1) if name == "eta" else choice("variance", value, ("small", "large"))
        )
    return checked


def _instead(value: object) -> str:
    return "; there is none" if value is None or value == "" else f", not {shown(value)}"


def shown(value: object) -> str:
    """A value as an error quotes it: text in quotation marks, and not too much of anything."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
