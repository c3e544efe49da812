"""Put a run's checkpoint among those that the demo offers: `python -m train.install runs/attention`."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from diffdemo import CHECKPOINTS
from diffdemo.atomic import write_atomically
from diffdemo.checkpoint import (
    CONFIG,
    MAP,
    CheckpointInfo,
    encoding_of,
    load_network,
    load_weights,
    read_config,
    read_tensors,
    save_checkpoint,
    write_info,
)
from diffdemo.classifier import KEY as CLASSIFIER
from diffdemo.classifier import ClassifierInfo, load_classifier
from diffdemo.errors import RequestError
from diffdemo.quality_curves import TABLES, measured_as, weights_of
from diffdemo.tensor_files import FP16, INT8
from train.flags import run_app
from train.report import RESULT, read_result

# What a checkpoint folder holds besides config.json and the weights that it names: records of the training, no state.
QUALITY = tuple(TABLES.values())
GRAPHS = ("loss.png", "confusion.png", *(name.replace(".csv", ".png") for name in QUALITY))
RECORDS = ("history.csv", *GRAPHS, *QUALITY, "samples", "epoch_visualizations", "figures")
# Pictures of the data set, which are not ours to hand on.
LEFT_BEHIND = ("reconstructions.png",)


def verified(run: Path) -> CheckpointInfo | ClassifierInfo:
    """The description of the checkpoint in `run`; CheckpointError if there is none, or a damaged one."""
    if read_config(run).get("key") == CLASSIFIER:
        return load_classifier(run).info
    _, info = load_network(run)
    if MAP in info.files:
        read_tensors(run, info, MAP)
    return info


def install(run: Path, target: Path, encoding: str | None = None) -> Path:
    """Replace the checkpoint folder `target` by the checkpoint in `run`, whole or not at all; return `target`.

    Weights that are in the wanted encoding already are copied as they are. Where they are not, the figures and curves
    that were measured stay, and the description says of which weights they may be. An evaluation comes along only if it
    is one of these weights: what other weights were measured with is of no use beside them.

    Args:
        encoding: "int8" or "fp16". None is int8, but fp16 for the classifier: the figures that it measures name its
            files' SHA-256 and compare only where that is the same.

    Raises:
        CheckpointError: `run` holds no checkpoint, or a damaged one, or one with weights that do not fit into int8.
        RequestError: there is no such encoding.
    """
    info = verified(run)
    wanted = encoding or (FP16 if info.key == CLASSIFIER else INT8)

    def write(unfinished: Path) -> None:
        unfinished.mkdir(parents=True)
        if wanted == encoding_of(info):
            files, known = (CONFIG, *info.files), measured_as(info.files, info.encoded_from)
        else:
            _encode(run, info, unfinished, wanted)
            files, known = (MAP,), (weights_of(info.files),)
        evaluation = (RESULT,) if _evaluated(run) in known else ()
        for name in (*files, *RECORDS, *evaluation):
            if (run / name).is_dir():
                shutil.copytree(run / name, unfinished / name, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
            elif (run / name).exists():
                shutil.copy2(run / name, unfinished / name)
        if target.exists():
            shutil.rmtree(target)

    write_atomically(target, write)
    return target


def _encode(run: Path, info: CheckpointInfo | ClassifierInfo, folder: Path, encoding: str) -> None:
    """Write the weights in `run` and their description to `folder` in another encoding; the map is still to come."""
    encoded = save_checkpoint(folder, info, load_weights(run, info), encoding)
    before = {name: digest for name, digest in info.files.items() if name != MAP}
    kept = {name: digest for name, digest in info.files.items() if name == MAP}
    write_info(folder, replace(encoded, files=encoded.files | kept, encoded_from=before))


def _evaluated(run: Path) -> str | None:
    """Which weights the evaluation in a folder is of, see `weights_of`; None if there is none that can be read."""
    try:
        return weights_of(read_result(run / RESULT)["drawn"].get("weights", {}))
    except (RequestError, AttributeError):
        return None


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    checkpoints: Annotated[Path, typer.Option(help="Folder with one checkpoint folder for each model.")] = CHECKPOINTS,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Keep them as int8 or fp16, which takes twice the room.  [default: int8; fp16 of a classifier]"
        ),
    ] = None,
) -> None:
    """Copy a run's checkpoint to where the demo finds it; the one that was there is replaced."""
    info = verified(run)
    print(f"Installed {run} as {install(run, checkpoints / info.key, weights)}.")


if __name__ == "__main__":
    run_app(main)
