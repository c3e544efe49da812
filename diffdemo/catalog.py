"""Which checkpoints there are."""

import re
from pathlib import Path

from diffdemo.description import CONFIG, GUIDE, GUIDE_CONFIG, MAP, CheckpointInfo, read_config, read_info
from diffdemo.errors import CheckpointError, RequestError, cannot_read, reason
from diffdemo.registry import SPECS

ON_THE_HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*(@\w[\w./-]*)?")
FETCHED = [CONFIG, GUIDE_CONFIG, MAP, "model*.safetensors", f"{GUIDE}/model*.safetensors"]


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
    """The folder of a model's checkpoint, given its key, the folder itself, or its name on the Hugging Face hub."""
    if model in SPECS:
        folder = Path(checkpoints) / model
        if not _is_checkpoint(folder):
            raise CheckpointError(f"There is no checkpoint of {model} in {checkpoints}; train one or name its folder.")
        return folder
    if _is_checkpoint(Path(model)):
        return Path(model)
    if ON_THE_HUB.fullmatch(model) and not Path(model.partition("/")[0]).is_dir():
        return fetch(model)
    raise RequestError(
        f"There is no model {model!r}; choose one of: {', '.join(SPECS)}, or a checkpoint's folder, or owner/name on "
        "the Hugging Face hub."
    )


def fetch(name: str) -> Path:
    """The folder of a checkpoint on the hub, `owner/name` or `owner/name@revision`, from its cache if it is there.

    Nothing but the description and the weights is fetched; what reads them verifies the weights' SHA-256 and never
    unpickles. Without a network, or with HF_HUB_OFFLINE=1, what was fetched before is taken. HF_ENDPOINT, HF_HOME and
    HF_TOKEN are the hub's own settings.

    Raises:
        RequestError: there is no such model, or no such revision of it.
        CheckpointError: it is no checkpoint of ours, or cannot be fetched.
    """
    from huggingface_hub import errors, snapshot_download

    repository, _, revision = name.partition("@")
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=[CONFIG, GUIDE_CONFIG]))
        read_config(folder)  # before a foreign model's gigabytes are fetched
        # Its name is the commit's, so that these belong together even if the branch has moved meanwhile.
        return Path(snapshot_download(repository, revision=folder.name, allow_patterns=FETCHED))
    except CheckpointError:
        raise
    except errors.RepositoryNotFoundError as error:
        raise RequestError(
            f"The hub has no model {repository} that you may read; check the name, or log in with hf auth login."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise RequestError(f"{repository} has no revision {revision}; leave it out, or name another one.") from error
    except Exception as error:  # its own, or those of the library that it speaks HTTP with, which changes
        raise CheckpointError(
            f"{name} cannot be fetched from the hub ({reason(error)}); check the network, HF_HOME and HF_ENDPOINT."
        ) from error


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
