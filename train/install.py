"""Put a run's checkpoint among those that the demo offers: `python -m train.install runs/attention`."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from diffdemo import CHECKPOINTS
from diffdemo.atomic import write_atomically
from diffdemo.checkpoint import CONFIG, MAP, CheckpointInfo, load_network, read_config, read_tensors
from diffdemo.classifier import KEY as CLASSIFIER
from diffdemo.classifier import ClassifierInfo, load_classifier
from diffdemo.quality_curves import TABLES
from train.flags import run_app

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


def install(run: Path, target: Path) -> Path:
    """Replace the checkpoint folder `target` by the checkpoint in `run`, whole or not at all; return `target`.

    Raises:
        CheckpointError: `run` holds no checkpoint, or a damaged one.
    """
    info = verified(run)

    def write(unfinished: Path) -> None:
        unfinished.mkdir(parents=True)
        for name in (CONFIG, *info.files, *RECORDS):
            if (run / name).is_dir():
                shutil.copytree(run / name, unfinished / name, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
            elif (run / name).exists():
                shutil.copy2(run / name, unfinished / name)
        if target.exists():
            shutil.rmtree(target)

    write_atomically(target, write)
    return target


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    checkpoints: Annotated[Path, typer.Option(help="Folder with one checkpoint folder for each model.")] = CHECKPOINTS,
) -> None:
    """Copy a run's checkpoint to where the demo finds it; the one that was there is replaced."""
    info = verified(run)
    print(f"Installed {run} as {install(run, checkpoints / info.key)}.")


if __name__ == "__main__":
    run_app(main)
