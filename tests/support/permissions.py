"""Files that this user may not read; tests often run as an administrator, whom no mode keeps out."""

import io
import os
from pathlib import Path

import pytest


def forbid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may open `path`, nor look at what lies in it, until the test ends."""
    opened, looked_at = io.open, os.stat

    def refuse(file) -> None:
        if isinstance(file, (str, os.PathLike)) and (Path(file) == path or path in Path(file).parents):
            raise PermissionError(13, "Permission denied", str(file))

    def only_others(file, *arguments, **options):
        refuse(file)
        return opened(file, *arguments, **options)

    def stat_of_others(file, *arguments, **options):
        if file != path:
            refuse(file)
        return looked_at(file, *arguments, **options)

    monkeypatch.setattr(io, "open", only_others)
    monkeypatch.setattr(os, "stat", stat_of_others)
