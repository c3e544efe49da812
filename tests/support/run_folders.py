"""Folders as training runs leave them."""

import json
import os

from diffdemo.records.run_folder import Record
from train.loop.history import Row, write_history

NOW = 2_000_000_000.0


def write_run(folder, seen: int = 0, saved: float = NOW) -> Record:
    """A run's folder as the training loop leaves it after `seen` of 1,000 images, in rows of 100 and epochs of 400."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    asked = {"images": 1000, "max_minutes": 0.0, "save_minutes": 2.0, "commands": ["python -m train.unet --out a"]}
    (folder / "run.json").write_text(json.dumps(asked))
    if seen:
        losses = [Row(k, 100 * k, k / 4, 1 / k, 0.9 / k if k % 4 == 0 else "", 1e-3, 1.0, 0) for k in range(1, 99)]
        write_history(folder / "history.csv", [row for row in losses if row.images <= seen])
        training = {"images_seen": seen, "minutes": 1.5, "images_per_second": 11.1}
        (folder / "config.json").write_text(json.dumps({"training": training}))
    for path in folder.glob("*.*"):
        os.utime(path, (saved, saved))
    return Record(folder.name, folder)
