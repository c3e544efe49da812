"""The data of a run: read whole, and the same as before where a run goes on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffdemo.data import SPLITS, Dataset, load_dataset
from diffdemo.errors import TrainingError
from diffdemo.measure.features import dataset_hash
from diffdemo.records.files import RUN

DATA_SET = "data_set"  # in run.json: what `described` says


def load_data(options: Any, out: Path) -> tuple[tuple[Dataset, Dataset], dict]:
    """Training and test pictures of all classes in the folder `options.data`, and how run.json describes them.

    Raises:
        DataError: they cannot be used. TrainingError: with `options.resume`, they are others than the run in `out`
            began with, or are not where they were.
    """
    known = stored(out).get(DATA_SET) if options.resume else None
    if known and not options.data.is_dir():
        raise TrainingError(f"The data of {out} were in {options.data}, which is gone; name their folder with --data.")
    splits = tuple(load_dataset(options.data, split) for split in SPLITS)
    facts = described(splits)
    if known and known != facts:
        raise TrainingError(
            f"{out} was trained on {_differently(known, facts, options.data)}; name that data with --data, or begin a "
            "new run with another --out."
        )
    return splits, facts


def stored(out: Path) -> dict:
    """What run.json says; nothing if it is damaged, of which the script that resumes speaks."""
    try:
        content = json.loads((out / RUN).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def described(splits: Sequence[Dataset]) -> dict:
    """What makes a data set this one: its classes, how many pictures there are, and a hash of them and their labels."""
    counts = {split: len(part) for split, part in zip(SPLITS, splits, strict=True)}
    return {"classes": list(splits[0].classes), **counts, "sha256": "+".join(map(dataset_hash, splits))}


def _differently(known: dict, facts: dict, folder: Path) -> str:
    """What the run's data had that this folder has not."""
    if known.get("classes") != facts["classes"]:
        was, now = (", ".join(map(str, each)) for each in (known.get("classes") or (), facts["classes"]))
        return f"the classes {was}, and {folder} has {now}"
    was, now = (" and ".join(f"{of.get(split)} {split}" for split in SPLITS) for of in (known, facts))
    if was != now:
        return f"{was} pictures, and {folder} has {now} ones"
    return f"other pictures than {folder} holds, though as many (SHA-256 {str(known.get('sha256'))[:8]})"


def of_classes(splits: tuple[Dataset, Dataset], classes: Sequence[str]) -> tuple[Dataset, Dataset]:
    """The pictures of the classes that a model is for; all of them if it is for any, or the data has others."""
    if classes and set(classes) < set(splits[0].classes):
        return splits[0].only(classes), splits[1].only(classes)
    return splits
