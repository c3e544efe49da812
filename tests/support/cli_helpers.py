"""What the tests of the command line share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from diffdemo.__main__ import main

COMMAND = [sys.executable, "-m", "diffdemo"]
REPOSITORY = Path(__file__).resolve().parents[2]


@contextmanager
def tiny_sampling(checkpoints: Path) -> Iterator[Callable[..., int]]:
    """Give a function that runs `sample`, with a tiny model and two steps unless told otherwise; it returns the code.

    On one thread meanwhile: tiny networks gain nothing from more, and on busy cores lose a lot.
    """

    def run(*arguments: object) -> int:
        standard = ["--checkpoints", checkpoints, "--model", "attention_unet", "--steps", 2]
        return main(["sample", *map(str, [*standard, *arguments])])

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield run
    torch.set_num_threads(threads)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, so that two moments can be compared."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def complaint(capsys, code: int, expected_code: int) -> str:
    """What stderr says of a failure, which must be one sentence, with nothing on stdout."""
    shown = capsys.readouterr()
    assert (code, shown.out) == (expected_code, ""), shown
    assert shown.err.startswith("Error: ") and shown.err.endswith(".\n"), shown.err
    assert shown.err.count("\n") == 1 and len(shown.err) < 400, shown.err
    return shown.err
