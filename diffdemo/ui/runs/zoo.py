"""The models the page offers, each loaded once, and why the others are missing."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from diffdemo import CHECKPOINTS, catalog, validate
from diffdemo.device import choose_device
from diffdemo.errors import CheckpointError
from diffdemo.generator import Generator
from diffdemo.loading import load_generator
from diffdemo.registry import SPECS
from diffdemo.request import ANY


class ModelZoo:
    """Every checkpoint of a folder, loaded and verified; what does not load is left out and kept as a problem.

    Args:
        models: generators by key, at least one.
        problems: one sentence for each model that is not there, by key.
        folder: where the checkpoints are.
    """

    def __init__(self, models: Mapping[str, Generator], problems: Mapping[str, str], folder: str | Path = CHECKPOINTS):
        self._models = dict(models)
        self.problems = dict(problems)
        self.folder = Path(folder)

    @classmethod
    def open(cls, checkpoints: str | Path, device: str = "auto") -> "ModelZoo":
        """Load all there is.

        Raises:
            RequestError: the device is unknown or not there.
            CheckpointError: there is not one model that loads.
        """
        choose_device(device)
        models, problems = {}, {}
        for key in SPECS:
            try:
                models[key] = load_generator(catalog.find(key, checkpoints), device)
            except CheckpointError as error:
                problems[key] = str(error)
        if not models:
            reasons = " ".join(dict.fromkeys(problems.values()))
            with contextlib.suppress(OSError):  # of a folder that may not be read, which the reasons say
                if not any((Path(checkpoints) / key).is_dir() for key in SPECS):
                    reasons = f"There is no checkpoint in {checkpoints}; train a model or name another folder."
            raise CheckpointError(reasons)
        return cls(models, problems, checkpoints)

    def __getitem__(self, key: str) -> Generator:
        return self._models[validate.choice("model", key, self.keys)]

    @property
    def keys(self) -> list[str]:
        """The models there are, in the registry's order."""
        return list(self._models)

    def pick(self, key: str) -> str:
        """That model if it is there, else the first one."""
        return key if key in self._models else self.keys[0]

    def choices(self) -> list[tuple[str, str]]:
        """(label, key) of each model, as Gradio's Radio takes them."""
        return [(f"{title(model)} · {millions(model.info.parameters)}", key) for key, model in self._models.items()]

    def classes(self, *keys: str) -> list[str]:
        """The classes that all of these models know, "any" first; only "any" if one of them knows none."""
        shared = [name for name in self[keys[0]].classes if all(name in self[key].classes for key in keys)]
        return [ANY, *shared]


def title(model: Generator) -> str:
    """The model's name for people."""
    return model.info.spec.title


def millions(parameters: int) -> str:
    """A number of weights in words."""
    return f"{parameters / 1e6:.1f} M parameters" if parameters >= 1e5 else f"{parameters:,} parameters"


def about(model: Generator) -> str:
    """What the checkpoint is, in one line of plain text."""
    facts = catalog.summary(model.info)
    parts = [f"{facts['parameters']:,} parameters,"]
    if facts["images_seen"] is not None:
        parts.append(f"trained on {_number(facts['images_seen'])} images")
    if facts["minutes"] is not None:
        parts.append(f"in {_number(facts['minutes'])} minutes")
    if facts["hardware"]:
        parts.append(f"on {facts['hardware']}")
    kinds = {"noise": "the noise", "clean": "the clean picture", "velocity": "the velocity v"}
    kind = kinds.get(facts["prediction"], "a mix of picture and noise (EDM)")
    space = " in the latents of an autoencoder, which makes pictures of them" if facts["space"] == "latents" else ""
    return f"{title(model)}: {' '.join(parts).rstrip(',')}; predicts {kind}{space}."


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
