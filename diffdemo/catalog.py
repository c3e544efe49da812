"""Which checkpoints there are."""

from pathlib import Path

from diffdemo.checkpoint import CONFIG, CheckpointInfo, read_info
from diffdemo.errors import CheckpointError, RequestError
from diffdemo.registry import SPECS
from diffdemo.tensor_files import cannot_read


def available(checkpoints: str | Path) -> dict[str, CheckpointInfo]:
    """The checkpoints in a folder by key, in the registry's order.

    Raises:
        CheckpointError: the folder does not exist, or one of its checkpoints is damaged.
    """
    root = Path(checkpoints)
    if not root.is_dir():
        raise CheckpointError(f"There is no checkpoint folder {root}; name one that exists or train a model.")
    return {key: read_info(root / key) for key in SPECS if _is_checkpoint(root / key)}


def find(model: str, checkpoints: str | Path) -> Path:
    """The folder of a model's checkpoint, given its key or the folder itself."""
    if model in SPECS:
        folder = Path(checkpoints) / model
        if not _is_checkpoint(folder):
            raise CheckpointError(f"There is no checkpoint of {model} in {checkpoints}; train one or name its folder.")
        return folder
    if _is_checkpoint(Path(model)):
        return Path(model)
    raise RequestError(f"There is no model {model!r}; choose one of: {', '.join(SPECS)}, or a checkpoint's folder.")


def _is_checkpoint(folder: Path) -> bool:
    try:
        return (folder / CONFIG).is_file()
    except OSError as error:
        raise cannot_read(folder, error) from error


def stages(training: dict) -> list[dict]:
    """A training after that which it went on from, and so on: the first comes first."""
    before = training.get("started_from")
    return [*(stages(before) if isinstance(before, dict) else []), training]


def in_all(training: dict, name: str) -> float | None:
    """A number of a training's `stages` together; None if it is not known."""
    # what a description says of its training is not verified; it may be anything
    known = [stage[name] for stage in stages(training) if isinstance(stage.get(name), int | float)]
    return sum(known) if known else None


def summary(info: CheckpointInfo) -> dict:
    """What people ask first about a checkpoint; the keys are those of `diffdemo.list_models`.

    Training that went on from earlier weights counts with theirs. A latent model saw its pictures while its autoencoder
    was trained; the minutes and the hardware are those of both parts.
    """
    training = info.training
    parts = stages(training)
    images, minutes = in_all(training, "images_seen"), in_all(training, "minutes")
    if isinstance(autoencoder := training.get("autoencoder"), dict):
        images, minutes = in_all(autoencoder, "images_seen"), (minutes or 0) + (in_all(autoencoder, "minutes") or 0)
        parts = [*stages(autoencoder), *parts]
    machines = dict.fromkeys(str(part["hardware"]) for part in parts if part.get("hardware"))
    return {
        "key": info.key,
        "space": info.spec.space,
        "classes": list(info.classes),
        "parameters": info.parameters,
        "images_seen": images,
        "hardware": ", then ".join(machines) or None,
        "minutes": minutes and round(minutes, 1),
        "prediction": info.diffusion["prediction"],
        "sampler": info.defaults["sampler"],
        "steps": info.defaults["steps"],
        "metrics": info.metrics,
    }
