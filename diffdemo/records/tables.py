"""Tables, in Markdown and as aligned lines, and text in Markdown."""

import re
from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A table with a line for its head and each of its rows; the columns `numbers` are flush right."""
    rule = ["---:" if column in set(numbers) else "---" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))


def aligned(rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Rows, the head among them, as lines for a terminal; the columns `numbers` are flush right."""
    rows, numbers = list(rows), set(numbers)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        [f"{cell:{'>' if column in numbers else '<'}{widths[column]}}" for column, cell in enumerate(row)]
        for row in rows
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)


def plain(text: str) -> str:
    """Text from a file or a visitor, escaped so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+|$~!&-])", r"\\\1", text)
