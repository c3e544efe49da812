"""What every error a user can cause must be: one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def refused(error: type[Exception], match: str) -> Iterator[None]:
    """The block must raise `error` itself, with one sentence in which the expression `match` is found."""
    with pytest.raises(error, match=match) as caught:
        yield
    text = str(caught.value)
    assert type(caught.value) is error
    assert "\n" not in text and text.endswith(".") and len(text) < 400, text
