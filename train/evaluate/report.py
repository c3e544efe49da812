"""Evaluations as files and as lines for people, and which of them compare."""

import json
from collections.abc import Sequence
from pathlib import Path

from diffdemo.errors import RequestError
from diffdemo.records.files import EVALUATION as RESULT
from diffdemo.records.measured import described, seeds, settings
from diffdemo.records.tables import aligned

KEYS = {"n", "drawn", "reference", "classifier", "inception", "missing", "figures", "floor"}
# What two evaluations must share besides n, and what to do where they do not.
SHARED = {
    "reference": "evaluate both with the same --reference, data and classes",
    "classifier": "evaluate both with the same classifier",
}


def read_result(path: Path) -> dict:
    """An `evaluation.json`, or the one in a folder; RequestError if it is none."""
    file = path / RESULT if path.is_dir() else path
    try:
        result = json.loads(file.read_text("utf-8"))
        if result.keys() >= KEYS:
            return result
    except (OSError, ValueError, AttributeError):
        pass
    raise RequestError(f"{file} holds no evaluation; name an {RESULT} that python -m train.evaluate has written.")


def compare(paths: tuple[Path, Path]) -> str:
    """The figures of two evaluations side by side, as lines.

    Raises:
        RequestError: they were measured in two ways and do not compare, or a file holds no evaluation.
    """
    results = [read_result(path) for path in paths]
    _require_alike(paths, "n", [f"{result['n']:,}" for result in results], "evaluate both with the same -n")
    for name, remedy in SHARED.items():
        _require_alike(paths, name, [described(result[name]) for result in results], remedy)
    columns = [result["figures"] for result in results]
    if results[0]["inception"] != results[1]["inception"]:
        columns = [column | {"fid": None} for column in columns]
    lines = [f"{letter}: {title(result)}" for letter, result in zip("AB", results, strict=True)]
    return "\n".join([*lines, "", _lines(["A", "B"], columns, results[0]["n"])])


def table(result: dict) -> str:
    """An evaluation: what was measured how, and each figure beside the floor."""
    floor, n = result["floor"], result["n"]
    fid = described(result["inception"]) if result["inception"] else f"none. {result['missing']['fid']}"
    heads, columns = ["figure"], [result["figures"]]
    if floor["n"] == n:
        heads.append("floor")
        columns.append(floor["figures"])
        note = f"The floor is what {n:,} real {floor['split']} pictures get against the same reference."
    else:
        note = (
            f"There are only {floor['n']:,} real {floor['split']} pictures for a floor, and figures of another n are "
            f"not comparable; -n {floor['n']} has one."
        )
    return "\n".join(
        [
            f"{title(result)}: n = {n:,}, against {result['reference']['source']}.",
            f"Features of the {described(result['classifier'])}; of the FID: {fid.rstrip('.')}.",
            "",
            _lines(heads, columns, n),
            "",
            note,
        ]
    )


def title(result: dict) -> str:
    """What was evaluated, in a line."""
    drawn = result["drawn"]
    if "from" in drawn:
        return f"{drawn['from']} {drawn['sha256'][:8]}"
    return f"{drawn['model']}, {settings(drawn)}, {seeds(result)}"


def _require_alike(paths: tuple[Path, Path], name: str, values: list[str], remedy: str) -> None:
    if values[0] != values[1]:
        raise RequestError(
            f"{paths[0]} and {paths[1]} are not comparable: {name} is {values[0]} in one and {values[1]} in the "
            f"other; {remedy}."
        )


def _lines(heads: Sequence[str], columns: Sequence[dict], n: int) -> str:
    """Figures as aligned lines, one column for each of the evaluations."""
    rows = [(f"n = {n:,}", *heads)]
    for name in columns[0]:
        of = [column[name] for column in columns]
        if any(isinstance(figure, dict) for figure in of):
            keys = dict.fromkeys(key for part in of for key in part or ())
            rows += [(f"  {key}", *(_cell((part or {}).get(key)) for part in of)) for key in keys]
        else:
            rows.append((name.replace("_", " "), *map(_cell, of)))
    return aligned(rows)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
