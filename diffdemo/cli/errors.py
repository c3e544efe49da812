"""What a command ends with when something is wrong: one sentence on stderr, and one policy for exit codes."""

import io
import re
import sys
from typing import NoReturn

import typer

from diffdemo.errors import CheckpointError, DataError, DiffdemoError, Interrupted, one_line

CANNOT_USE, NO_SENSE, STOPPED = 1, 2, 130  # the last is what a shell expects of a program that Ctrl-C ended
LONG_WORD = re.compile(r"(\S{100})\S{20,}")  # typer repeats what was typed, however long it is
UsageError = typer.BadParameter.__base__  # typer exports no name for it, and has moved it between versions


def print_any_name() -> None:
    """Let stdout show what its encoding has no letters for, such as a folder's name, as escapes in place of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def exit_code(error: Exception) -> int:
    """2 for a request that makes no sense, 1 for a checkpoint, data or file that cannot be used, 130 after Ctrl-C."""
    if isinstance(error, Interrupted):
        return STOPPED
    cannot_use = isinstance(error, (CheckpointError, DataError, OSError)) or isinstance(error.__cause__, OSError)
    return CANNOT_USE if cannot_use else NO_SENSE


def sentence(error: Exception, help_command: str) -> str:
    """The sentence that says what was wrong.

    Args:
        error: a usage error of typer's, a DiffdemoError or an OSError.
        help_command: what to type to see which flags there are.
    """
    if isinstance(error, UsageError):
        said = LONG_WORD.sub(r"\1...", error.format_message())
        said = f"{said.rstrip('.?')}; see {help_command}."
    elif isinstance(error, DiffdemoError):
        said = str(error)
    else:
        said = f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
    return one_line(said)


def complain(text: str, code: int) -> int:
    """Print the sentence on stderr and return the code."""
    print(f"Error: {text}", file=sys.stderr)
    return code


def fail(text: str, code: int) -> NoReturn:
    """Print the sentence on stderr and end the process with the code."""
    sys.exit(complain(text, code))
