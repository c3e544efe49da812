"""The commands that made a checkpoint, so that running them again makes one like it."""

import itertools
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

# What a stage says it began with, and the flag that names the folder where that lies.
EARLIER = {"started_from": "--init-from", "autoencoder": "--autoencoder"}
OUT, AND = "--out", "&&"


@dataclass
class Stage:
    """One training of several that follow each other.

    Attributes:
        words: of its command, which is several with && in between if it was resumed with other flags.
        earlier: flags that name what an earlier stage has made, and that stage.
    """

    words: list[str]
    earlier: dict[str, "Stage"] = field(default_factory=dict)

    @property
    def out(self) -> str | None:
        """The folder it writes, if it names one."""
        return _value(self.words, OUT)


def shell_line(words: Sequence[str]) -> str:
    """A command of these words as one types it on this system: quoted for a POSIX shell, on Windows for cmd.exe."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def to_type(command: str) -> str:
    """A stored command, which is quoted for a POSIX shell wherever it was made, as one types it on this system."""
    return subprocess.list2cmdline(_split(command)) if sys.platform == "win32" else command


def commands(training: dict) -> list[str]:
    """What made a checkpoint, from a description's `training`: its own command after those of what it began with.

    Each stage begins with what the one before has written, wherever that lay when it was made, and none writes a folder
    that another one needs.
    """
    stages = _stages(training)
    for place, stage in enumerate(stages, 1):
        if stage.out and stage.out in [later.out for later in stages[place:]]:
            stage.words = _changed(stage.words, OUT, f"{stage.out}-{place}")
        for flag, before in stage.earlier.items():
            stage.words = _changed(stage.words, flag, before.out)
    return [_joined(stage.words) for stage in stages]


def install_command(command: str) -> str:
    """A training command, and the one that puts what it made into `checkpoints/`; as it is if it names no folder."""
    out = _value(_split(command), OUT)
    return f"{command} {AND} python -m train.install {shlex.quote(out)}" if out else command


def _stages(training: dict) -> list[Stage]:
    stages, earlier = [], {}
    for name, flag in EARLIER.items():
        part = training.get(name)
        if isinstance(part, dict) and (before := _stages(part)):
            stages += before
            earlier[flag] = before[-1]
    command = training.get("command")
    return [*stages, Stage(_split(command), earlier)] if command and isinstance(command, str) else stages


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a description that was edited: its one word is shown as it is
        return [command]


def _joined(words: list[str]) -> str:
    return " ".join(word if word == AND or len(words) == 1 else shlex.quote(word) for word in words)


def _value(words: list[str], flag: str) -> str | None:
    """What the last such flag says."""
    values = [after for word, after in itertools.pairwise(words) if word == flag]
    values += [word.partition("=")[2] for word in words if word.startswith(f"{flag}=")]
    return values[-1] if values else None


def _changed(words: list[str], flag: str, value: str | None) -> list[str]:
    """The same words with another value wherever the flag is given; the same if there is none to put there."""
    if value is None:
        return words
    pairs = zip(["", *words], words, strict=False)
    replaced = [value if before == flag else word for before, word in pairs]
    return [f"{flag}={value}" if word.startswith(f"{flag}=") else word for word in replaced]
