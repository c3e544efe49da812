"""Ctrl-C and SIGTERM as a question that can be asked between two steps."""

import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a function that says whether one has come, so that nothing is lost half-way."""
    seen = []
    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # only the main thread may do this
            previous[number] = signal.signal(number, lambda *_: seen.append(True))
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
