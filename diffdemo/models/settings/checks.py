"""Checks of networks' settings: RequestError says which setting is wrong and what would be right."""

from collections.abc import Iterable, Sequence

from diffdemo.errors import RequestError


def at_least(config: object, least: int, *names: str) -> None:
    """Each of these whole numbers is `least` or more."""
    for name in names:
        if getattr(config, name) < least:
            raise RequestError(f"{name} must be at least {least}, not {getattr(config, name)}.")


def yes_or_no(config: object, *names: str) -> None:
    """Each of these is true or false: a number in an edited description would do as one, and be counted with."""
    for name in names:
        if not isinstance(getattr(config, name), bool):
            raise RequestError(f"{name} must be true or false, not {getattr(config, name)!r}.")


def widths(config: object, *names: str) -> None:
    """Each of these is one positive number or more, and a tuple from now on: JSON has lists only, and a config that
    went through a file must equal the one that was saved.
    """
    for name in names:
        values = tuple(getattr(config, name))
        object.__setattr__(config, name, values)
        if not values or min(values) < 1:
            raise RequestError(f"{name} needs at least one positive number, not {values}.")


def classes(config: object) -> None:
    """num_classes is 0 or more."""
    if config.num_classes < 0:
        raise RequestError(f"num_classes must be 0 (unconditional) or more, not {config.num_classes}.")


def dropout(config: object) -> None:
    """dropout is a probability below 1."""
    if not 0 <= config.dropout < 1:
        raise RequestError(f"dropout must be at least 0 and below 1, not {config.dropout}.")


def heads_divide(num_heads: int, channels: Iterable[int]) -> None:
    """Every level with attention can be shared out among the heads."""
    for width in channels:
        if width % num_heads:
            raise RequestError(
                f"num_heads {num_heads} does not divide a level of {width} channels; change one of them."
            )


def halves(image_size: int, patch_size: int, channels: Sequence[int]) -> None:
    """The picture can be cut into patches, and then be halved from level to level."""
    levels = len(channels)
    if image_size % (patch_size * 2 ** (levels - 1)):
        raise RequestError(
            f"{levels} levels after patches of {patch_size} do not fit {image_size} pixels; "
            "use fewer channels entries or a smaller patch_size."
        )
