"""Which settings a resumed run has: its own, kept in `run.json`, except for those that may change on the way."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TextIO

from diffdemo.atomic import remove_unfinished
from diffdemo.description import CONFIG, write_json
from diffdemo.errors import DiffdemoError, TrainingError
from diffdemo.records.files import LOCK, RUN, STATE
from train.flags import command_line, kind
from train.loop.data import DATA_SET
from train.loop.distributed import is_first

# Of run.json. In the first, 0 or nothing was what a flag had that was not named; now that is null, and 0 is a value.
FORMAT = 2
# Everything else decides what the run computes; changing it half-way would make a run that no command describes.
CHANGEABLE = {"images", "epochs", "max_minutes", "lr", "precision", "patience", "save_minutes", "device", "threads"}
CHANGEABLE |= {"resume", "out", "data", "compile", "cuda_graph", "sample_every_images", "draw_epochs"}
NO_MATTER = {"resume", "data"}  # its pictures are the same, wherever they lie
CHANGEABLE |= {"snapshot_every_images", "guidance_scale", "spacing"}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second run out of a run's folder; the system lets go of the lock however this process ends.

    What a process that was killed has left half-written in the folder is removed; so is a folder that was made for a
    run which is then refused.

    Raises:
        TrainingError: another process is training in the folder.
    """
    made, path = not folder.exists(), folder / LOCK
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("w") as lock:
            if is_first():
                try:
                    _lock(lock)
                except (BlockingIOError, PermissionError):
                    raise TrainingError(f"Another process is training in {folder}; name another --out.") from None
                remove_unfinished(folder)
            yield
    except DiffdemoError:
        if made and is_first() and [*folder.iterdir()] == [path]:
            path.unlink()
            folder.rmdir()
        raise


def _lock(file: TextIO) -> None:
    """Lock an open file until it is closed; BlockingIOError, on Windows PermissionError, if another process has."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remember(options: Any, settings: Any, facts: dict) -> str:
    """Write the settings of a run that begins or goes on, and the facts of its data.

    Returns the commands that made it, joined by &&. A run that was interrupted and resumed as it was is still made by
    the one command it began with.
    """
    path = settings.out / RUN
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in _all(options, settings).items()}
    asked["data"] = str(options.data.expanduser().absolute())  # whoever resumes may be in another folder
    stored = _read(path, options, settings) if options.resume else {}
    commands = stored.pop("commands", [])
    # A flag that is newer than the run has had its default there.
    if not commands or any(stored.get(name, value) != value for name, value in asked.items() if name not in NO_MATTER):
        commands.append(command_line())
    write_json(path, asked | {"format": FORMAT, DATA_SET: facts, "commands": commands})
    return " && ".join(commands)


def settings_of(options: Any, settings: Any, given: set[str]) -> tuple[Any, Any]:
    """The settings to train with: those of the command line, or with --resume those of the run.

    Raises:
        TrainingError: there is no run to resume, the folder has one that would be overwritten, or a flag was given
            that cannot change on the way.
    """
    path = settings.out / RUN
    if not options.resume:
        if (settings.out / STATE).exists():
            raise TrainingError(
                f"{settings.out} holds a run already; add --resume to go on with it, or name another --out."
            )
        if (settings.out / CONFIG).exists():
            raise TrainingError(f"{settings.out} holds a checkpoint, which would be replaced; name another --out.")
        return options, settings
    try:
        stored = _read(path, options, settings)
    except (OSError, ValueError):
        raise TrainingError(f"There is no run to resume in {settings.out}; start it without --resume.") from None
    defaults = {f.name: f.default for part in (options, settings) for f in fields(part)}
    for name in sorted(given - CHANGEABLE):
        asked, was = _all(options, settings)[name], stored.get(name, defaults[name])
        if str(was) != str(asked):
            raise TrainingError(
                f"--{name.replace('_', '-')} was {'not named' if was is None else was} when the run began and cannot "
                f"become {asked}; leave it out, or start a new run."
            )
    if "images" in given and "epochs" not in given:
        stored["epochs"] = 0  # or they would overrule the images
    return tuple(_restored(part, stored, given) for part in (options, settings))


def _read(path: Path, *parts: Any) -> dict:
    """What a run's file says, in the words of today's format."""
    stored = json.loads(path.read_text("utf-8"))
    if stored.pop("format", 1) == 1:
        unnamed = {f.name for part in parts for f in fields(part) if f.default is None and not stored.get(f.name)}
        if stored.get("schedule") == "cosine":  # whose betas were its own, whatever was named
            unnamed |= {"beta_start", "beta_end"}
        stored |= dict.fromkeys(unnamed & stored.keys())
    return stored


def _restored(part: Any, stored: dict, given: set[str]) -> Any:
    kept = {
        f.name: None if stored[f.name] is None else kind(f)(stored[f.name])
        for f in fields(part)
        if f.name in stored and f.name not in given
    }
    return replace(part, **kept | {"resume": True} if hasattr(part, "resume") else kept)


def _all(options: Any, settings: Any) -> dict:
    return asdict(options) | asdict(settings)
