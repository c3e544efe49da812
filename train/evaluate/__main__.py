"""Measure how good a model's pictures are: `python -m train.evaluate --model attention_unet -n 5000`."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from diffdemo import CHECKPOINTS, catalog, validate
from diffdemo.checkpoint import CONFIG, read_info, write_info, write_json
from diffdemo.data import IMAGE_SHAPE, SPLITS
from diffdemo.data.folders import find_pictures
from diffdemo.data.pictures import read_pictures
from diffdemo.errors import RequestError, TrainingError
from diffdemo.loading import load_generator
from diffdemo.measure.classifier import load_classifier
from diffdemo.records.files import SHARDS
from diffdemo.records.measured import record
from train.evaluate.draw import COMPILE, GUIDE_HELP, INTERVAL_HELP, Draw
from train.evaluate.inception import Inception
from train.evaluate.judge import LEAST, Judge
from train.evaluate.report import RESULT, compare, table
from train.flags import run_app
from train.loop.resume import locked
from train.loop.run import load_splits

RUNS = Path("runs/evaluate")
DEFAULT_COUNT = 5000
MOST = 50_000
# What --install writes into a checkpoint's config.json; the rest stays in evaluation.json, beside it.
INSTALLED = ("fid", "frechet_distance", "kernel_distance", "precision", "recall", "class_agreement", "copying_share_5")


def evaluate(judge: Judge, pictures: np.ndarray, class_names: list[str | None], drawn: dict, missing: dict) -> dict:
    """What `evaluation.json` says of pictures (N, 32, 32, 3) uint8.

    Args:
        class_names: what was asked for in each.
        drawn: where the pictures come from.
        missing: {figure: why there is none}.
    """
    return {
        "n": len(pictures),
        "drawn": drawn,
        **judge.conditions(),
        "missing": missing,
        "figures": judge.figures(pictures, class_names),
        "floor": judge.floor(len(pictures)),
    }


def install(result: dict, folder: Path) -> None:
    """Write an evaluation's figures into the `metrics` of the checkpoint it was made of, and itself beside them.

    Raises:
        TrainingError: the checkpoint has other weights by now.
    """
    info = read_info(folder)
    if info.weights != result["drawn"]["weights"]:
        raise TrainingError(f"{folder} holds other weights than those that were evaluated; evaluate it again.")
    measured = {name: record(name, result) for name in INSTALLED if result["figures"][name] is not None}
    if result["inception"] and not result["inception"]["standard"]:
        del measured["fid"]  # what goes by that name is measured with the one network
    write_json(folder / RESULT, result)
    write_info(folder, replace(info, metrics=info.metrics | measured))


def load_inception(wanted: bool, weights: Path | None, device: str) -> tuple[Inception | None, dict]:
    """The network of the FID, or None and {"fid": why}; weights that were named must be usable."""
    if not wanted:
        return None, {"fid": "It was left out with --no-fid."}
    try:
        return Inception(weights, device), {}
    except TrainingError as error:
        if weights:
            raise
        return None, {"fid": str(error)}


def pictures_in(place: Path, count: int | None) -> np.ndarray:
    """The first `count` pictures, or all, of a folder or of a .npy file, as (N, 32, 32, 3) uint8.

    Raises:
        RequestError: there are fewer, or the file holds something else; DataError: there is none.
    """
    if place.is_dir():
        (found,) = find_pictures(place)
        pictures = read_pictures(found[:count])
    else:
        try:
            pictures = found = np.load(place)
        except (OSError, ValueError, EOFError) as error:
            raise RequestError(f"--from names a folder of pictures or a .npy file of them, not {place}.") from error
        if pictures.dtype != np.uint8 or pictures.shape[1:] != IMAGE_SHAPE:
            wanted = "pictures (N, 32, 32, 3) uint8"
            raise RequestError(f"{place} must hold {wanted} and holds {pictures.shape} {pictures.dtype}.")
    if len(found) < max(count or 0, LEAST):
        raise RequestError(
            f"{place} holds {len(found):,} pictures and not {max(count or 0, LEAST):,}; choose another -n."
        )
    return pictures[:count]


def main(
    model: Annotated[str | None, typer.Option(metavar="KEY|FOLDER", help="Whose samples to measure.")] = None,
    count: Annotated[
        int | None, typer.Option("-n", metavar="N", help="Pictures to measure.  [default: 5000; all of --from]")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Measure the pictures in this folder or .npy file instead.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Classes of the reference that --from goes with, such as cat,dog.  [default: all]"),
    ] = None,
    pair: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", metavar="A B", help=f"Put two finished evaluations ({RESULT}) side by side."),
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="ddim, ddpm, dpmpp or heun.  [default: the model's]")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps, 1 to 1000.  [default: the model's]")] = None,
    guidance: Annotated[float | None, typer.Option(help="0 to 20; 1 is none.  [default: the model's]")] = None,
    guidance_interval: Annotated[str | None, typer.Option(help=INTERVAL_HELP)] = None,
    guide: Annotated[str | None, typer.Option(help=GUIDE_HELP)] = None,
    spacing: Annotated[
        str | None, typer.Option(help="Of the steps: trailing or karras.  [default: the model's]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first picture; picture k has this seed + k.")] = 0,
    reference: Annotated[str, typer.Option(help="What to measure against: train or test pictures.")] = "train",
    fid: Annotated[bool, typer.Option(help="Measure the FID too, with pytorch-fid's Inception.")] = True,
    inception_weights: Annotated[
        Path | None, typer.Option(help="File of Inception's weights, where they cannot be downloaded.")
    ] = None,
    classifier: Annotated[
        Path | None, typer.Option(help="Folder of the classifier's checkpoint.  [default: the shipped one]")
    ] = None,
    data: Annotated[Path, typer.Option(help="Data folder, as in every training script.")] = Path("data"),
    checkpoints: Annotated[Path, typer.Option(help="Folder with a checkpoint folder for each model.")] = CHECKPOINTS,
    out: Annotated[
        Path | None, typer.Option(help=f"Folder for samples and {RESULT}.  [default: one in {RUNS}, by the settings]")
    ] = None,
    install_figures: Annotated[
        bool, typer.Option("--install", help=f"Write the figures into the checkpoint's {CONFIG} as well.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help=f"Print what {RESULT} says.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of the sampling: fp32, bf16 or fp16.")] = "fp32",
    compile_network: Annotated[bool, typer.Option("--compile", help=COMPILE)] = False,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is all of them.")] = 0,
) -> None:
    """Measure samples of a model, or pictures in a folder, against real ones, with real ones beside them as the floor.

    Samples are kept as they are drawn: the same command again goes on where the last one was stopped. For example:

        python -m train.evaluate --model attention_unet -n 5000

        python -m train.evaluate --compare runs/evaluate/a runs/evaluate/b
    """
    if pair:
        print(compare(pair))
        return
    if (model is None) == (source is None):
        raise RequestError("Name what to evaluate: either a --model or pictures with --from.")
    if source and install_figures:
        raise RequestError("--install goes with --model: pictures --from elsewhere are no checkpoint's.")
    if classes == "":
        raise RequestError("--classes names no class; leave it out for all of them.")
    validate.choice("reference", reference, SPLITS)
    if count is not None:
        validate.whole_number("-n", count, LEAST, MOST)
    if threads:
        torch.set_num_threads(threads)

    generator = None
    if source:
        pictures = pictures_in(source, count)
        drawn = {"from": str(source), "sha256": hashlib.sha256(pictures).hexdigest()}
        names, kept = [None] * len(pictures), tuple(filter(None, (classes or "").split(",")))
        out = out or RUNS / f"{source.stem}-{drawn['sha256'][:12]}"
    else:
        folder = catalog.find(model, checkpoints)
        generator = load_generator(folder, device, precision, compile_network)
        draw = Draw.of(
            generator,
            seed,
            sampler=sampler,
            steps=steps,
            spacing=spacing,
            guidance_scale=guidance,
            guidance_interval=guidance_interval,
            guide=guide,
        )
        count = count or DEFAULT_COUNT
        validate.consecutive_seeds(seed, count)
        drawn = draw.identity(generator) | {"nfe": draw.evaluations(generator)}
        names, kept = draw.class_names(generator, count), generator.classes
        out = out or RUNS / draw.name(generator)
    splits = load_splits(data, kept)
    looking = load_classifier(classifier, device)
    inception, missing = load_inception(fid, inception_weights, device)
    with locked(out):
        if generator:
            pictures = draw.pictures(generator, out / SHARDS, count)
        result = evaluate(Judge(data, splits, reference, looking, inception), pictures, names, drawn, missing)
        write_json(out / RESULT, result)
    if install_figures:
        install(result, folder)
    print(json.dumps(result, indent=2) if as_json else f"{table(result)}\n\nWritten to {out / RESULT}.")


if __name__ == "__main__":
    run_app(main)
