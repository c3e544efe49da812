"""What the Training tab says of a checkpoint in tables: the figures that were measured, and facts of the training."""

from collections.abc import Sequence

from diffdemo.records.measured import measured, number
from diffdemo.records.tables import markdown, plain


def tables(training: dict, metrics: dict) -> str:
    """The figures that were measured, with how below those that were measured alike, and the facts of the training."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for figure in measured(metrics):
        real = "" if figure.floor is None else number(figure.floor)
        groups.setdefault(figure.how, []).append((figure.title, number(figure.value), real))
    parts = []
    for how, rows in groups.items():
        real = any(row[2] for row in rows)
        parts.append(_table(("Quality", "", *(["real pictures"] * real)), [row if real else row[:2] for row in rows]))
        parts.append(plain(f"Measured: {how}.") if how else "")
    facts = [(name.replace("_", " "), number(value)) for name, value in earlier(training).items() if value is not None]
    return "\n\n".join([*(parts or [_table(("Quality", ""), [])]), _table(("Training", ""), facts)])


def earlier(training: dict, before: str = "") -> dict:
    """The facts of a training, and of those it is built on how much there was; commands have a field of their own."""
    facts = {}
    for name, value in training.items():
        if isinstance(value, dict):
            facts |= earlier(value, f"{before}{name} ")
        elif name != "command" and (not before or name in ("images_seen", "minutes")):
            facts[before + name] = value
    return facts


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return f"{heads[0]}: nothing has been measured yet."
    return markdown(heads, [[plain(cell) for cell in row] for row in rows], numbers=range(1, len(heads)))
