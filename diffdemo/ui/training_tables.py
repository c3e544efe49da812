"""What the Training tab says of a checkpoint in tables: the figures that were measured, and facts of the training."""

from collections.abc import Sequence

from diffdemo.measured import measured, number
from diffdemo.ui import wiring


def tables(training: dict, metrics: dict) -> str:
    """The figures that were measured, each with how, and the facts of the training, as Markdown."""
    quality = [(figure.title, figure.text, figure.how) for figure in measured(metrics)]
    facts = [(name.replace("_", " "), number(value)) for name, value in earlier(training).items() if value is not None]
    return "\n\n".join(
        [
            _table(("Quality", "", "how it was measured"), quality),
            _table(("Training", ""), facts),
        ]
    )


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
    lines = [
        heads,
        ("---", "---:", *["---"] * (len(heads) - 2)),
        *([wiring.plain(cell) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
