"""Measure how well a model explains real pictures: `python -m train.explained --checkpoint checkpoints/simple_unet`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import diffdemo
from diffdemo import validate
from diffdemo.data import load_dataset
from diffdemo.errors import TrainingError
from diffdemo.measure.explained import FILE, measure
from train.flags import run_app


def main(
    checkpoint: Annotated[Path, typer.Option(help="Folder of a model of pixels with classes; the figures go there.")],
    data: Annotated[Path, typer.Option(help="Data folder; its test pictures are classified.")] = Path("data"),
    count: Annotated[int, typer.Option(help="Pictures, as many of each class.")] = 200,
    draws: Annotated[int, typer.Option(help="Of noise, for each picture and class.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the noises.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Classify test pictures, so that the page can say "none of these" of what is explained worse than they are.

    A network of 28 million parameters takes a quarter of an hour for it on one CPU core.
    """
    validate.whole_number("--count", count, 1, 100_000)
    model = diffdemo.load(str(checkpoint), device=device)
    if model.info.spec.space == "latents":
        raise TrainingError(f"{checkpoint} sees latents, where noise is a picture like others; name one of pixels.")
    everything = load_dataset(data, "test")
    test = everything.only(model.classes or everything.classes)
    share = -(-count // len(test.classes))
    first = np.concatenate([np.flatnonzero(test.labels == label)[:share] for label in range(len(test.classes))])
    pictures, right = np.array(test.images[first]), test.labels[first]
    done = measure(
        model,
        pictures,
        test.source,
        draws,
        seed,
        lambda scores: print(f"{scores.draws} draws: {(scores.errors.argmin(axis=1) == right).mean():.0%} right"),
    )
    done.save(checkpoint)
    print(f"{checkpoint / FILE}: {done.quantile:.0%} of {done.pictures} pictures stay below {done.bounds[-1]:.5f}.")


if __name__ == "__main__":
    run_app(main)
