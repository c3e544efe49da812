"""What the tests of the three sources of data share."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffdemo.errors import DataError


def sentence(action: Callable, *arguments, **options) -> str:
    """The message of the DataError that `action` must raise, checked to be one line that ends in a full stop."""
    with pytest.raises(DataError) as raised:
        action(*arguments, **options)
    message = str(raised.value)
    assert "\n" not in message and message.endswith(".")
    return message


def random_picture(seed: int, width: int = 32, height: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_class(folder: Path, count: int, first_seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(random_picture(first_seed + index)).save(folder / f"{index:03}.png")
    return folder


def at_once(action: Callable) -> None:
    """Run `action` in two processes that start it together; both must succeed."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)

    def run() -> None:
        barrier.wait(timeout=20)
        action()

    processes = [context.Process(target=run) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0]
