"""The models the page offers, each loaded once, and why the others are missing."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from diffdemo import CHECKPOINTS, catalog, validate
from diffdemo.description import CheckpointInfo
from diffdemo.device import choose_device
from diffdemo.errors import CheckpointError
from diffdemo.generator import Generator
from diffdemo.loading import load_generator
from diffdemo.records.measured import measured
from diffdemo.records.tables import plain
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
        return [(title(model), key) for key, model in self._models.items()]

    def classes(self, *keys: str) -> list[str]:
        """The classes that all of these models know, "any" first; only "any" if one of them knows none."""
        shared = [name for name in self[keys[0]].classes if all(name in self[key].classes for key in keys)]
        return [ANY, *shared]


def title(model: Generator) -> str:
    """The model's name for people."""
    return model.info.spec.title


def in_short(model: Generator) -> str:
    """What the model is and what it is good at, as Markdown, with parameters and provenance behind it."""
    parts = [_built(model.info)]
    numbers = {one.name: one for one in measured(model.info.metrics) if isinstance(one.value, (int, float))}
    if one := numbers.get("class_agreement"):
        parts.append(f"{100 * one.value:.0f} % of its pictures are what was asked for")
    elif one := numbers.get("frechet_distance"):
        parts.append(f"its pictures are at a Fréchet distance of {one.text} from real ones")
    name, words = plain(title(model)), plain("; ".join(parts))
    return f"**{name}**: {words}. <details><summary>Its training</summary>{plain(about(model))}</details>"


def _built(info: CheckpointInfo) -> str:
    """How the network differs from the others, by what its description says."""
    settings = info.model
    if "attention_levels" not in settings:
        return info.spec.what
    sizes = [
        settings["image_size"] // settings.get("patch_size", 1) // 2**level for level in settings["attention_levels"]
    ]
    return f"self-attention at {' and '.join(f'{size}x{size}' for size in sizes)}" if sizes else info.spec.what


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
