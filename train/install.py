"""Put a run's checkpoint among those that the demo offers: `python -m train.install runs/attention`."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from diffdemo import CHECKPOINTS
from diffdemo.atomic import move, write_atomically
from diffdemo.checkpoint import guide_folder, load_network, load_weights, read_tensors, save_checkpoint
from diffdemo.description import (
    CONFIG,
    FP16,
    GUIDE,
    GUIDE_CONFIG,
    INT8,
    MAP,
    CheckpointInfo,
    encoding_of,
    read_config,
    read_info,
    weights_among,
    write_info,
)
from diffdemo.errors import RequestError
from diffdemo.loading import load_generator
from diffdemo.measure.classifier import KEY as CLASSIFIER
from diffdemo.measure.classifier import ClassifierInfo, load_classifier
from diffdemo.records.files import CONFUSION, EPOCHS, FIGURES, HISTORY, LOSS, RECONSTRUCTIONS, SAMPLES, TABLES, graph_of
from diffdemo.records.quality_curves import measured_as, weights_of
from diffdemo.request import SamplingRequest
from diffdemo.weights.tensor_files import sha256
from train.evaluate.report import RESULT, read_result
from train.flags import run_app

# What a checkpoint folder holds besides config.json and the weights that it names: records of the training, no state.
QUALITY = tuple(TABLES.values())
RECORDS = (HISTORY, LOSS, CONFUSION, *QUALITY, *map(graph_of, QUALITY), SAMPLES, EPOCHS, FIGURES)
THE_RUNS = "[default: as in the run]"
# Pictures of the data set, which are not ours to hand on.
LEFT_BEHIND = (RECONSTRUCTIONS,)


def verified(run: Path) -> CheckpointInfo | ClassifierInfo:
    """The description of the checkpoint in `run`; CheckpointError if there is none, or a damaged one."""
    if read_config(run).get("key") == CLASSIFIER:
        return load_classifier(run).info
    _, info = load_network(run)
    if MAP in info.files:
        read_tensors(run, info, MAP)
    if info.has_guide:
        load_network(guide_folder(run, info))
    return info


def guide_of(run: Path, info: CheckpointInfo | ClassifierInfo) -> Path | None:
    """Where the guide of the checkpoint in `run` lies, if it has one."""
    return run / GUIDE if GUIDE_CONFIG in info.files else None


def install(
    run: Path, target: Path, encoding: str | None = None, weak_model: Path | None = None, **shown: object
) -> Path:
    """Replace the checkpoint folder `target` by the checkpoint in `run`, whole or not at all; return `target`.

    Weights that are in the wanted encoding already are copied as they are. Where they are not, the figures and curves
    that were measured stay, and the description says of which weights they may be. An evaluation comes along only if it
    is one of these weights: what other weights were measured with is of no use beside them.

    Args:
        encoding: "int8" or "fp16". None is int8, but fp16 for the classifier: the figures that it measures name its
            files' SHA-256 and compare only where that is the same.
        weak_model: checkpoint of a weaker version of the model, to become its guide; None keeps the one it has.
        shown: what it is to be shown with, as `SamplingRequest.of` takes it; None and what is left out stay.

    Raises:
        CheckpointError: `run` holds no checkpoint, or a damaged one, or one with weights that do not fit into int8; or
            `weak_model` holds none that can guide it.
        RequestError: there is no such encoding, or a setting is out of range or unknown.
    """
    info = verified(run)
    wanted = encoding or (FP16 if info.key == CLASSIFIER else INT8)
    shown = {name: value for name, value in shown.items() if value is not None}
    if info.key == CLASSIFIER and (weak_model or shown):
        raise RequestError("A classifier draws nothing; leave out how it is shown and what guides it.")

    def write(unfinished: Path) -> None:
        unfinished.mkdir(parents=True)
        if wanted == encoding_of(info):
            files, known = (CONFIG, *weights_among(info.files), MAP), measured_as(info.files, info.encoded_from)
        else:
            _encode(run, info, unfinished, wanted)
            files, known = (MAP,), (weights_of(info.files),)
        evaluation = (RESULT,) if _evaluated(run) in known else ()
        for name in (*files, *RECORDS, *evaluation):
            if (run / name).is_dir():
                left_behind = shutil.ignore_patterns(*LEFT_BEHIND)
                shutil.copytree(run / name, unfinished / name, ignore=left_behind, copy_function=shutil.copyfile)
            elif (run / name).exists():
                shutil.copyfile(run / name, unfinished / name)  # whoever may read it is for the umask to say
        if guide := weak_model or guide_of(run, info):
            add_guide(unfinished, guide, wanted)
        if shown:
            _show_with(unfinished, shown)
        if target.exists():
            shutil.rmtree(move(target, unfinished.with_name(f"{unfinished.name}-before")))

    write_atomically(target, write)
    return target


def _encode(run: Path, info: CheckpointInfo | ClassifierInfo, folder: Path, encoding: str) -> None:
    """Write the weights in `run` and their description to `folder` in another encoding; the map is still to come."""
    encoded = save_checkpoint(folder, info, load_weights(run, info), encoding)
    before = weights_among(info.files)
    kept = {name: digest for name, digest in info.files.items() if name not in before}
    write_info(folder, replace(encoded, files=encoded.files | kept, encoded_from=before))


def add_guide(folder: Path, guide: Path, encoding: str) -> None:
    """Put the checkpoint in `guide`, weights and description alone, into that in `folder`, to guide it.

    Raises:
        CheckpointError: it cannot guide it: it is damaged, of another architecture, or has other classes or noise.
    """
    _, info = load_network(guide)
    of = read_info(folder)
    save_checkpoint(folder / GUIDE, replace(info, metrics={}, encoded_from={}), load_weights(guide, info), encoding)
    defaults = {name: value for name, value in info.defaults.items() if name not in ("guide", "guidance_interval")}
    write_info(folder / GUIDE, replace(read_info(folder / GUIDE), defaults=defaults))
    write_info(folder, replace(of, files=of.files | {GUIDE_CONFIG: sha256(folder / GUIDE_CONFIG)}))
    load_generator(folder, "cpu")


def _show_with(folder: Path, shown: dict) -> None:
    """Write into the description in `folder` what the checkpoint is shown with."""
    info = read_info(folder)
    asked = SamplingRequest.of(info, **shown)
    guidance = asked.guidance
    defaults = {
        "sampler": asked.sampler,
        "steps": asked.steps,
        "guidance_scale": guidance.scale,
        "guidance_interval": guidance.interval,
        "guide": guidance.guide,
        "spacing": asked.spacing,
        "eps_scale": asked.eps_scale,
    }
    write_info(folder, replace(info, defaults=defaults))


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
    weak_model: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of a weaker version of the model, to guide it.  [default: the one it has]"),
    ] = None,
    sampler: Annotated[str | None, typer.Option(help=f"That it is shown with.  {THE_RUNS}")] = None,
    steps: Annotated[str | None, typer.Option(help=f"That it is shown with.  {THE_RUNS}")] = None,
    spacing: Annotated[str | None, typer.Option(help=f"Of these steps: trailing or karras.  {THE_RUNS}")] = None,
    eps_scale: Annotated[
        str | None, typer.Option(help=f"What guessed noise is divided by, 0.9 to 1.1.  {THE_RUNS}")
    ] = None,
    guidance: Annotated[str | None, typer.Option(help=f"That it is shown with.  {THE_RUNS}")] = None,
    guidance_interval: Annotated[
        str | None, typer.Option(help=f"Noise levels sigma that it is guided at, such as 0.3,5, or all.  {THE_RUNS}")
    ] = None,
    guide: Annotated[
        str | None, typer.Option(help=f"What it is guided away from: no-class or weak-model.  {THE_RUNS}")
    ] = None,
) -> None:
    """Copy a run's checkpoint to where the demo finds it; the one that was there is replaced.

    How it is shown can be changed on the way, or later, as in

        python -m train.install checkpoints/attention_unet --steps 16 --guidance 2 --guidance-interval 0.3,5
    """
    info = verified(run)
    shown = {"sampler": sampler, "steps": steps, "spacing": spacing, "guidance_scale": guidance}
    shown |= {"guidance_interval": guidance_interval, "guide": guide, "eps_scale": eps_scale}
    print(f"Installed {run} as {install(run, checkpoints / info.key, weights, weak_model, **shown)}.")


if __name__ == "__main__":
    run_app(main)
