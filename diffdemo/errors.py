"""What goes wrong, in one sentence each.

Every error a user can cause is a `DiffdemoError`: its message says what was wrong and what would be right, so that
the command line prints it and the page shows it as it is. They are `ValueError`s, so that a notebook user may catch
them without knowing this module.
"""

import re
from pathlib import Path

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LONGEST_REASON = 200


def one_line(text: str) -> str:
    """The text with its control characters escaped: a name may hold anything, and a new line makes no new sentence."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def reason(error: BaseException | str) -> str:
    """What another's exception says, to stand inside a sentence: no full stop, and no more than the beginning."""
    said = " ".join(str(error).split()).rstrip(".")
    return said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON]} ..."


class DiffdemoError(ValueError):
    """Something the user asked for cannot be done; the message is one sentence for that user."""

    def __init__(self, sentence: str = ""):
        super().__init__(one_line(sentence))


class RequestError(DiffdemoError):
    """A setting is out of range or names something that does not exist."""


class CheckpointError(DiffdemoError):
    """A checkpoint is missing, damaged, foreign, edited, or could not be written."""


class DataError(DiffdemoError):
    """The data set is missing, empty, or not usable for this model."""


class TrainingError(DiffdemoError):
    """A training run cannot start or cannot go on."""


class Interrupted(TrainingError):
    """A training run was asked to stop and saved itself."""


def cannot_read(path: Path, error: OSError) -> CheckpointError:
    """What to raise of a part of a checkpoint that is there and cannot be read."""
    why = error.strerror or reason(error)
    return CheckpointError(f"{error.filename or path} cannot be read: {why}; let this user read it, or restore it.")
