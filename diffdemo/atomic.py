"""Files that are either whole or not there."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path


def write_atomically(target: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` make a file or folder beside `target`, then move it there in one step; return `target`.

    The unfinished one has a hidden name that ends in the target's, so writers that go by the suffix are right.
    Whoever reads `target`, or stops this process, never sees half of it. The parent folder is created.
    Raises OSError as the system gave it, and leaves nothing behind then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{uuid.uuid4().hex}-{target.name}")
    try:
        write(unfinished)
        os.replace(unfinished, target)
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return target
