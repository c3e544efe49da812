"""Folders of class folders: which classes they have, and which of their files are the pictures of a split."""

import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from diffdemo.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
HELD_OUT = ("test", "val", "valid", "validation")  # folders beside train/; the first that is there is the test split
NO_CLASS = "any"
TEST_EVERY = 20
_SHOWN = 5  # suffixes of files that are left out


def class_folders(root: Path, leave_out: Sequence[str] = ()) -> dict[str, Path]:
    """The folders in `root` that may be classes, by name, without hidden ones; none if `root` is not there.

    Names are in NFC, so that what a Mac wrote and what is typed elsewhere is one. Raises DataError if one is no name.
    """
    found = {}
    for path in root.iterdir() if root.is_dir() else ():
        if path.is_dir() and path.name not in leave_out and not path.name.startswith("."):
            name = _class_name(path)
            if name in found:
                raise DataError(f"{root} has two folders called {name}, spelt differently in Unicode; make them one.")
            found[name] = path
    return dict(sorted(found.items()))


def _class_name(folder: Path) -> str:
    name = unicodedata.normalize("NFC", folder.name)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"The name of the folder {folder.name!a} is no UTF-8; rename it, or set PYTHONUTF8=1 if it is."
        ) from None
    if name == NO_CLASS:
        raise DataError(f"{folder} cannot be a class, because {NO_CLASS} stands for no class; rename the folder.")
    return name


def class_pictures(root: Path, folders: dict[str, Path], split: str) -> dict[str, list[Path]]:
    """The pictures of a split by class, given the `class_folders` of a data folder, which may be train/ and test/.

    A folder beside train/ may be called val, valid or validation too. Without the two, every 20th picture of a class,
    from the first on, is for testing.

    Raises:
        DataError: there are fewer than two classes, train and test differ in them, or a class has no picture.
    """
    if halves := _halves(root, folders):
        return dict(zip(halves[split], find_pictures(*halves[split].values()), strict=True))
    if len(folders) < 2:
        ((name, only),) = folders.items()
        inside = f"; if {only} is the data folder, name that" if len(class_folders(only)) > 1 else ""
        raise DataError(f"{root} has only one class folder ({name}); it needs at least two{inside}.")
    chosen = {}
    for name, paths in zip(folders, find_pictures(*folders.values()), strict=True):
        if len(paths) < 2:
            raise DataError(
                f"The class folder {folders[name]} has only one picture; it needs two, as one is kept for testing."
            )
        chosen[name] = [path for index, path in enumerate(paths) if (index % TEST_EVERY == 0) == (split == "test")]
    return chosen


def _halves(root: Path, folders: dict[str, Path]) -> dict[str, dict[str, Path]] | None:
    """{"train": class folders, "test": class folders}, or None if `folders` are classes themselves."""
    named = {name.casefold(): path for name, path in folders.items()}
    train = class_folders(named["train"]) if "train" in named else {}
    beside = {name: class_folders(named[name]) for name in HELD_OUT if name in named}
    held_out = next((name for name, inside in beside.items() if inside), None)
    if train and held_out:
        if train.keys() != beside[held_out].keys():
            raise DataError(
                f"{named['train'].name} and {named[held_out].name} in {root} must have the same class folders, not "
                f"{[*train]} and {[*beside[held_out]]}."
            )
        if unused := [path.name for name, path in named.items() if name not in ("train", held_out)]:
            _say(f"In {root} only {named['train'].name} and {named[held_out].name} are used, not {', '.join(unused)}.")
        return {"train": train, "test": beside[held_out]}
    if "train" in named and named.keys() <= {"train", *HELD_OUT} and (train or beside):
        alone = f"; or name {named['train']}, which is then split itself" if train else ""
        raise DataError(
            f"{root} has {' and '.join(path.name for path in folders.values())}, and needs the same class folders in "
            f"train and in test (or val){alone}."
        )
    return None


def find_pictures(*folders: Path) -> list[list[Path]]:
    """All pictures in each of these folders and their subfolders by suffix, sorted; links are followed.

    What is left out, also hidden folders and files, is counted aloud, once. Raises DataError if there is none in one.
    """
    left_out: Counter[str] = Counter()
    found = [_pictures_in(folder, left_out) for folder in folders]
    if left_out:
        kinds = [f"{count:,} {what}" for what, count in left_out.most_common()]
        more = [f"{len(kinds) - _SHOWN} other kinds"] if len(kinds) > _SHOWN else []
        where = os.path.commonpath([folder.absolute() for folder in folders])
        _say(f"Left out in {where}: {', '.join(kinds[:_SHOWN] + more)}.")
    return found


def _pictures_in(folder: Path, left_out: Counter[str]) -> list[Path]:
    found, seen = [], {os.path.realpath(folder)}

    def is_new(path: Path) -> bool:
        real = os.path.realpath(path)
        reason = "hidden" if path.name.startswith(".") else "linked twice" if real in seen else None
        left_out.update([reason] if reason else [])
        seen.add(real)
        return reason is None

    def unreadable(error: OSError) -> None:
        left_out["unreadable"] += 1

    for parent, subfolders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        # sorted, so that of two ways to one folder the same is taken every time
        subfolders[:] = [name for name in sorted(subfolders) if is_new(Path(parent, name))]
        for path in (Path(parent, name) for name in names):
            if path.name.startswith("."):
                left_out["hidden"] += 1
            elif path.suffix.lower() in SUFFIXES:
                found.append(path)
            else:
                left_out[path.suffix.lower() or "without suffix"] += 1
    if not found:
        raise DataError(f"The folder {folder} has no pictures ({', '.join(SUFFIXES)}).")
    return sorted(found)


@cache
def _say(sentence: str) -> None:
    """Tell whoever runs this, once."""
    print(f"Note: {sentence}", file=sys.stderr)
