"""Ways to guide a model, compared on seeds that no other table uses: `python -m benchmarks.guidance --model KEY`.

Each `--try` is one way, such as "guidance_scale=2 guidance_interval=0.3,5 steps=16"; what it leaves out is the
checkpoint's default. Rows stay in the table, and the same command again goes on where the last one was stopped.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

from diffdemo import CHECKPOINTS, catalog
from diffdemo.device import warn_if_slow
from diffdemo.errors import RequestError
from diffdemo.loading import load_generator
from diffdemo.measure.classifier import load_classifier
from train.curves import COLUMNS, Point, Table, measure, settings_of
from train.evaluate.draw import Draw
from train.evaluate.judge import Judge, load_splits
from train.evaluate.options import COMPILE
from train.flags import run_app
from train.loop.resume import locked

TABLE = Path("docs/guidance.csv")
SETTINGS = ("sampler", "steps", "spacing", "eps_scale", "guidance_scale", "guidance_interval", "guide")


def settings_in(text: str) -> dict[str, str]:
    """The settings in "guidance_scale=2 steps=16"; RequestError if one is none of SETTINGS."""
    asked = dict(part.partition("=")[::2] for part in text.split())
    if unknown := asked.keys() - set(SETTINGS):
        raise RequestError(f"--try takes {', '.join(SETTINGS)}, each with =, not {min(unknown)!r}.")
    return asked


def main(
    model: Annotated[str, typer.Option(metavar="KEY|FOLDER", help="Which model.")],
    ways: Annotated[list[str], typer.Option("--try", help='Such as "guidance_scale=2 guidance_interval=0.3,5".')],
    count: Annotated[int, typer.Option("-n", help="Pictures a row.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the first picture.")] = 10_000,
    data: Annotated[Path, typer.Option(help="Data folder.")] = Path("data"),
    out: Annotated[Path, typer.Option(help="The table, to which rows are added.")] = TABLE,
    samples: Annotated[Path, typer.Option(help="Folder for the samples.")] = Path("runs/evaluate"),
    precision: Annotated[str, typer.Option(help="Of the sampling: auto, fp32, bf16 or fp16.")] = "auto",
    compile_network: Annotated[bool, typer.Option("--compile", help=COMPILE)] = False,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is all of them.")] = 0,
) -> None:
    """Measure ways of guiding a model and print the table, best Fréchet distance first."""
    if threads:
        torch.set_num_threads(threads)
    folder = catalog.find(model, CHECKPOINTS)
    generator = load_generator(folder, "auto", precision, compile_network)
    warn_if_slow(precision, generator.device)
    draws = [Draw.of(generator, seed, **settings_in(way)) for way in ways]
    judge = Judge(data, load_splits(data, generator.classes), "train", load_classifier(), None)
    floor = judge.floor(count)["figures"]
    table = Table(out, ("model", *COLUMNS))
    with locked(samples / f"guidance-{generator.key}"):
        for draw in draws:
            point = Point(folder, generator.info, draw)
            settings = {"model": generator.key} | settings_of(point, generator, judge, count)
            del settings["images"]
            if not table.select(settings):
                table.add(settings | measure(point, generator, judge, count, floor, samples))
            (row,) = table.select(settings)
            print(_line(row), flush=True)


def _line(row: dict[str, str]) -> str:
    shown = (*SETTINGS, "nfe", "seconds", "frechet_distance", "precision", "recall", "class_agreement")
    return "  ".join(f"{name}={row[name]}" for name in shown if row[name])


if __name__ == "__main__":
    run_app(main)
