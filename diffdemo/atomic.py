"""Files that are either whole or not there."""

import contextlib
import errno
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds
UNFINISHED = re.compile(r"\.[0-9a-f]{32}-.")


def write_atomically(target: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` make a file or folder beside `target`, then move it there in one step; return `target`.

    The unfinished one has a hidden name that ends in the target's, so writers that go by the suffix are right.
    Whoever reads `target`, or stops this process, never sees half of it. The parent folder is created.
    Raises OSError as the system gave it, and leaves nothing behind then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _hidden(target)
    try:
        write(unfinished)
        move(unfinished, target)
    finally:
        _remove(unfinished)
    return target


def move(source: Path, target: Path) -> Path:
    """Put `source` in the place of `target`, which is returned.

    Windows refuses while anybody has `target` open, such as a page that shows it: it is then tried again for seconds.
    Raises OSError as the system gave it, or that says so.
    """
    for pause in (*PATIENCE, None):
        try:
            os.replace(source, target)
            return target
        except PermissionError as error:
            if sys.platform != "win32":
                raise
            if pause is None:
                reason = "this user may not, or another program has it open, such as the page; close that"
                raise PermissionError(errno.EACCES, reason, str(target)) from error
            time.sleep(pause)


@contextlib.contextmanager
def hidden_folder(within: Path) -> Iterator[Path]:
    """A new hidden folder in that one, for files that take their places together; it is removed at the end.

    Raises OSError as the system gave it.
    """
    hidden = _hidden(within / "together")
    try:
        hidden.mkdir()
        yield hidden
    finally:
        _remove(hidden)


def _hidden(target: Path) -> Path:
    return target.with_name(f".{uuid.uuid4().hex}-{target.name}")


def remove_unfinished(folder: Path) -> None:
    """Remove what was being made here, anywhere in `folder`, when its process was killed.

    Nobody may be writing there.
    """
    for path in [*folder.rglob(".*")]:
        if UNFINISHED.match(path.name):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
