"""What goes wrong, in one sentence each.

Every error a user can cause is a `DiffdemoError`: its message says what was wrong and what would be right, so that
the command line prints it and the page shows it as it is. They are `ValueError`s, so that a notebook user may catch
them without knowing this module.
"""


class DiffdemoError(ValueError):
    """Something the user asked for cannot be done; the message is one sentence for that user."""


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
