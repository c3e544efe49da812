"""Tables in Markdown, and text in it."""

import re
from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A table with a line for its head and each of its rows; the columns `numbers` are flush right."""
    rule = ["---:" if column in set(numbers) else "---" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))


def plain(text: str) -> str:
    """Text from a file or a visitor, escaped so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+|$~!&-])", r"\\\1", text)
