"""Measure how good a model's pictures are: `python -m train.evaluate --model attention_unet -n 5000`."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from diffdemo import validate
from diffdemo.data import IMAGE_SHAPE
from diffdemo.data.folders import find_pictures
from diffdemo.data.pictures import read_pictures
from diffdemo.description import CONFIG, read_info, write_info, write_json
from diffdemo.errors import RequestError, TrainingError
from diffdemo.measure.classifier import load_classifier
from diffdemo.records.files import SHARDS
from diffdemo.records.measured import record
from train.evaluate.draw import Draw
from train.evaluate.inception import Inception
from train.evaluate.judge import LEAST, Judge, load_splits
from train.evaluate.options import MeasuringOptions, of_model
from train.evaluate.report import RESULT, compare, table
from train.flags import flag, run_command
from train.loop.resume import locked

RUNS = Path("runs/evaluate")
DEFAULT_COUNT = 5000
MOST = 50_000
# What --install writes into a checkpoint's config.json; the rest stays in evaluation.json, beside it.
INSTALLED = ("fid", "frechet_distance", "kernel_distance", "precision", "recall", "class_agreement", "copying_share_5")


@dataclass(frozen=True)
class Options(MeasuringOptions):
    """What only evaluations have."""

    model: str | None = flag(None, "Whose samples to measure.", "none", may_be_empty=True, metavar="KEY|FOLDER")
    count: int | None = flag(None, "Pictures to measure.", "5000; all of --from", names=("-n",), metavar="N")
    source: Path | None = flag(
        None, "Measure the pictures in this folder or .npy file instead.", "none", names=("--from",)
    )
    classes: str | None = flag(
        None, "Classes of the reference that --from goes with, such as cat,dog.", "all", may_be_empty=True
    )
    pair: tuple[Path, Path] | None = flag(
        None, f"Put two finished evaluations ({RESULT}) side by side.", "none", names=("--compare",), metavar="A B"
    )
    sampler: str | None = of_model("ddim, ddpm, dpmpp or heun.")
    steps: int | None = of_model("Denoising steps, 1 to 1000.")
    guidance: float | None = of_model("0 to 20; 1 is none.")
    fid: bool = flag(True, "Measure the FID too, with pytorch-fid's Inception.")
    inception_weights: Path | None = flag(None, "File of Inception's weights, where they cannot be downloaded.", "none")
    out: Path | None = flag(None, f"Folder for samples and {RESULT}.", f"one in {RUNS}, by the settings")
    install_figures: bool = flag(
        False, f"Write the figures into the checkpoint's {CONFIG} as well.", names=("--install",)
    )
    as_json: bool = flag(False, f"Print what {RESULT} says.", names=("--json",))

    def __post_init__(self):
        super().__post_init__()
        if self.source and self.install_figures and self.model is None:
            raise RequestError("--install goes with --model: pictures --from elsewhere are no checkpoint's.")
        if self.classes == "":
            raise RequestError("--classes names no class; leave it out for all of them.")
        if self.count is not None:
            validate.whole_number("-n", self.count, LEAST, MOST)


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
    """`count` pictures, or all, spread over a folder, or the first of a file, as (N, 32, 32, 3) uint8.

    A file is NumPy's .npy, or an .npz of one array, or of one called arr_0, in which other programs keep samples.

    Raises:
        RequestError: there are fewer, or the file holds something else; DataError: there is none.
    """
    if place.is_dir():
        (found,) = find_pictures(place)
        wanted = min(count or len(found), len(found))
        # by name the first would be of one class
        pictures = read_pictures([found[place * len(found) // wanted] for place in range(wanted)])
    else:
        try:
            pictures = np.load(place)
            if isinstance(pictures, np.lib.npyio.NpzFile):
                with pictures as arrays:
                    pictures = arrays["arr_0" if "arr_0" in arrays else arrays.files[0]]
        except (OSError, ValueError, EOFError, IndexError, BadZipFile) as error:
            raise RequestError(
                f"--from names a folder of pictures or a .npy or .npz file of them, not {place}."
            ) from error
        found = pictures
        if pictures.dtype != np.uint8 or pictures.shape[1:] != IMAGE_SHAPE:
            wanted = "pictures (N, 32, 32, 3) uint8"
            raise RequestError(f"{place} must hold {wanted} and holds {pictures.shape} {pictures.dtype}.")
    if len(found) < max(count or 0, LEAST):
        raise RequestError(
            f"{place} holds {len(found):,} pictures and not {max(count or 0, LEAST):,}; choose another -n."
        )
    return pictures[:count]


def main(options: Options, given: set[str]) -> None:
    """Measure samples of a model, or pictures in a folder, against real ones, with real ones beside them as the floor.

    Samples are kept as they are drawn: the same command again goes on where the last one was stopped. For example:

        python -m train.evaluate --model attention_unet -n 5000

        python -m train.evaluate --compare runs/evaluate/a runs/evaluate/b
    """
    if options.pair:
        print(compare(options.pair))
        return
    if (options.model is None) == (options.source is None):
        raise RequestError("Name what to evaluate: either a --model or pictures with --from.")
    options.set_up_process()
    if options.source:
        generator, pictures = None, pictures_in(options.source, options.count)
        drawn = {"from": str(options.source), "sha256": hashlib.sha256(pictures).hexdigest()}
        names, classes = [None] * len(pictures), tuple(filter(None, (options.classes or "").split(",")))
        out = options.out or RUNS / f"{options.source.stem}-{drawn['sha256'][:12]}"
    else:
        folder, generator = options.load(options.model)
        settings = {"sampler": options.sampler, "steps": options.steps, "guidance_scale": options.guidance}
        draw = Draw.of(generator, options.seed, **settings, **options.sampling())
        count = options.count or DEFAULT_COUNT
        validate.consecutive_seeds(options.seed, count)
        drawn = draw.identity(generator) | {"nfe": draw.evaluations(generator)}
        names, classes = draw.class_names(generator, count), generator.classes
        out = options.out or RUNS / draw.name(generator)
    splits = load_splits(options.data, classes)
    looking = load_classifier(options.classifier, options.device)
    inception, missing = load_inception(options.fid, options.inception_weights, options.device)
    with locked(out):
        if generator:
            pictures = draw.pictures(generator, out / SHARDS, count)
        judge = Judge(options.data, splits, options.reference, looking, inception)
        result = evaluate(judge, pictures, names, drawn, missing)
        write_json(out / RESULT, result)
    if options.install_figures:
        install(result, folder)
    print(json.dumps(result, indent=2) if options.as_json else f"{table(result)}\n\nWritten to {out / RESULT}.")


if __name__ == "__main__":
    run_command(main, Options)
