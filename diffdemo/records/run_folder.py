"""What a training run leaves in its folder, read back while it goes on or long after."""

import csv
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffdemo.catalog import in_all
from diffdemo.description import CONFIG, DENOISER, CheckpointInfo, read_info, trained_parts
from diffdemo.errors import RequestError
from diffdemo.records.commands import commands
from diffdemo.records.files import EPOCH, GRIDS, HISTORY, IMAGES, LAST, RUN, SAMPLES, SNAPSHOTS, STRIP, TABLES
from diffdemo.records.quality_curves import LABELS, Curves, measured_as, read_curves

HISTORY_COLUMNS = ("images", "loss", "val_loss", "lr")
SMOOTHED_ABOVE = 50  # points
GRACE = 120.0  # seconds a run may spend compiling and drawing besides what lies between two saves


def history_columns(history: Sequence[Mapping] | str | Path) -> dict[str, np.ndarray]:
    """`images`, `loss`, `val_loss` and `lr` of a list of rows, or of the CSV file of them, each (N,) float.

    What is empty becomes NaN.

    Raises:
        RequestError: the file cannot be read, a column is missing, or a value is no number.
    """
    rows, name = history, "the history"
    try:
        if isinstance(history, str | Path):
            name = str(history)
            with open(history, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        missing = [column for column in HISTORY_COLUMNS if not rows or column not in rows[0]]
        if missing:
            raise RequestError(f"A loss curve needs rows with {', '.join(HISTORY_COLUMNS)}; {name} lacks {missing[0]}.")
        columns = {column: [row.get(column) for row in rows] for column in HISTORY_COLUMNS}
        return {
            column: np.array([np.nan if value in ("", None) else float(value) for value in values])
            for column, values in columns.items()
        }
    except OSError as error:
        raise RequestError(f"{name} cannot be read: {error.strerror}.") from error
    except (TypeError, ValueError, csv.Error) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"A loss curve needs rows of numbers, and {name} has another value ({error}).") from error


def moving_mean(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """(x, means of y, how many values each is of) of a curve (N,), smoothed the more the longer it is."""
    width = max(1, len(y) // SMOOTHED_ABOVE)
    means = np.convolve(y, np.full(width, 1 / width), mode="valid")
    return x[(width - 1) // 2 :][: len(means)], means, width


def images_seen(info: CheckpointInfo) -> float:
    """Pictures that the weights were trained on, those of earlier stages included."""
    return in_all(info.training, "images_seen") or 0


def snapshots(folder: Path) -> list[tuple[Path, CheckpointInfo]]:
    """The checkpoints that a run has kept on the way, and what it ended with, each with fewer images than the next."""
    end = read_info(folder)
    kept = [(path.parent, read_info(path.parent)) for path in sorted((folder / SNAPSHOTS).glob(f"*/{CONFIG}"))]
    return [*((path, info) for path, info in kept if images_seen(info) < images_seen(end)), (folder, end)]


@dataclass(frozen=True)
class Moment:
    """A moment of a run of which there are pictures.

    Attributes:
        label: for people.
        images: pictures seen by then, None where nobody wrote it down.
        files: the sample grid, and the strip of its steps if there is one.
    """

    label: str
    images: int | None
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        state: "beginning", "going on", "finished" or "interrupted".
        share: the part that is over, 0 to 1, when it was saved last.
        idle: seconds since then.
        save_minutes: between two saves.
    """

    state: str
    share: float
    idle: float
    save_minutes: float


@dataclass(frozen=True)
class Record:
    """The folder of a run, or of a checkpoint that one made.

    Args:
        name: for people.
        folder: with `history.csv`, `config.json`, grids and, of a run, `run.json`; any of them may be missing yet.
    """

    name: str
    folder: Path

    def description(self) -> dict:
        """What `config.json` says; {} before a run's first save.

        Raises:
            RequestError: the file is damaged.
        """
        content = _json(self.folder / CONFIG)
        training, *others = (content.get(name, {}) for name in ("training", "metrics", "files", "encoded_from"))
        if not all(isinstance(part, dict) for part in (training, *others)):
            raise _foreign(self.folder / CONFIG)
        if not isinstance(training.get("autoencoder", {}), dict) or not isinstance(content.get("trained", []), list):
            raise _foreign(self.folder / CONFIG)
        return content

    def reached(self) -> dict:
        """Of `description`, how far the training came: of an autoencoder alone that is a part of its latent model's."""
        content = self.description()
        training = content.get("training", {})
        return training if DENOISER in trained_parts(content) else training.get("autoencoder", training)

    def history(self) -> dict[str, np.ndarray]:
        """See `history_columns`."""
        return history_columns(self.folder / HISTORY)

    def quality(self) -> dict[str, list[Curves]]:
        """Curves of these weights over each column of `quality_curves.LABELS`, where they were measured."""
        weights = measured_as(*(self.description().get(name, {}) for name in ("files", "encoded_from")))
        return {x: read_curves(self.folder, x, *weights) for x in LABELS}

    def command(self) -> str:
        """What made the folder, for a shell: also what made the weights that it began with, and an autoencoder."""
        parts = commands(self.description().get("training", {})) or _json(self.folder / RUN).get("commands", [])
        return " && ".join(map(str, parts))

    def moments(self) -> list[Moment]:
        """Moments of which there are grids, in the order of training."""
        per_epoch, end = self._pace()
        paths = [path for name in GRIDS for path in sorted((self.folder / name).glob("*.png"))]
        strips = {path.stem: path for path in paths if path.stem.endswith(STRIP)}
        found = []
        for path in paths:
            if path.stem in strips:
                continue
            kind, _, number = path.stem.partition("_")
            files = (path, *filter(None, [strips.get(path.stem + STRIP)]))
            if kind == LAST:
                found.append(Moment("end", end, files))
            elif kind in (EPOCH, IMAGES) and number.isdecimal():
                images = int(number) if kind == IMAGES else per_epoch and round(per_epoch * int(number))
                label = f"{int(number):,} images" if kind == IMAGES else f"epoch {int(number)}"
                found.append(Moment(label, images, files))
        return sorted(found, key=lambda moment: (moment.label == "end", moment.images or 0, moment.files[0].name))

    def _pace(self) -> tuple[float | None, int | None]:
        """Images of an epoch and of the whole run so far, if the history tells."""
        try:
            with (self.folder / HISTORY).open(newline="", encoding="utf-8") as file:
                *_, row = csv.DictReader(file)
            images = int(row["images"])
            return images / float(row["epoch"]), images
        except (OSError, KeyError, TypeError, ValueError, ZeroDivisionError, csv.Error):
            return None, None

    def progress(self, now: float | None = None) -> Progress | None:
        """How far a run is at `now`, in seconds since the epoch; None of a checkpoint, which is no run.

        Nothing says that a process has died; a run that has not saved for much longer than it should is taken for
        interrupted.

        Raises:
            RequestError: a file of the run is damaged.
        """
        asked = _json(self.folder / RUN)
        if not asked:
            return None
        try:
            budget, minutes, between = (float(asked[name]) for name in ("images", "max_minutes", "save_minutes"))
            reached = self.reached()
            by_images = reached.get("images_seen", 0) / budget
            by_time = reached.get("minutes", 0) / minutes if minutes else 0.0
        except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
            raise RequestError(f"{self.folder / RUN} is damaged; the run cannot be followed.") from error
        share = min(1.0, max(by_images, by_time))
        saved = max(_modified(self.folder / name) for name in (RUN, HISTORY, CONFIG))
        idle = max(0.0, (time.time() if now is None else now) - saved)
        # An early stop leaves its last grid with part of the budget unspent; a resumed run has an older one.
        if share >= 1 or _modified(self.folder / SAMPLES / f"{LAST}.png") >= saved:
            state = "finished"
        elif idle > 120 * between + GRACE:
            state = "interrupted"
        else:
            state = "going on" if reached.get("images_seen") else "beginning"
        return Progress(state, share, idle, between)

    def stamp(self) -> tuple:
        """Changes whenever a file of the folder does; cheap, because nothing is read."""
        names = (RUN, HISTORY, CONFIG, *GRIDS, *TABLES.values())
        return self.name, *(_modified(self.folder / name) for name in names)


def runs(root: Path) -> list[Record]:
    """The runs in a folder and in the folders of it, those saved last first; none where there is no such folder."""
    found = [path.parent for pattern in ("*", "*/*") for path in Path(root).glob(f"{pattern}/{RUN}")]
    found.sort(key=lambda folder: max(_modified(folder / RUN), _modified(folder / HISTORY)), reverse=True)
    return [Record(folder.relative_to(root).as_posix(), folder) for folder in found]


def _json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path} cannot be read as JSON; restore it or train again.") from error
    if not isinstance(content, dict):
        raise _foreign(path)
    return content


def _foreign(path: Path) -> RequestError:
    return RequestError(f"{path} does not describe a run; restore it or train again.")


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
