"""Make the map of a latent space: `python -m train.latent_map --checkpoint checkpoints/latent_diffusion`."""

from pathlib import Path
from typing import Annotated

import typer

import diffdemo
from diffdemo import validate
from diffdemo.data import load_dataset
from diffdemo.errors import TrainingError
from diffdemo.latent.map import LEAST_POINTS, POINTS, make_map, save_map
from train.flags import run_app


def main(
    checkpoint: Annotated[Path, typer.Option(help="Folder of a checkpoint of latents; the map is written into it.")],
    data: Annotated[Path, typer.Option(help="Data folder; its test pictures are encoded.")] = Path("data"),
    count: Annotated[int, typer.Option(help="Pictures on the map, as many of each class.")] = POINTS,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Encode test pictures and lay them out in a plane, for the page's map; it takes about a minute on one CPU core.

    Training ends with it already. The map that was there is replaced.
    """
    validate.whole_number("--count", count, LEAST_POINTS, 100_000)
    model = diffdemo.load(str(checkpoint), device=device)
    if model.info.spec.space != "latents":
        raise TrainingError(f"{checkpoint} holds a {model.key}, which has no latent space; name a model of latents.")
    made = make_map(model, load_dataset(data, "test").only(model.classes), count)
    save_map(checkpoint, made)
    print(f"A map of {len(made):,} points is in {checkpoint}; they are of {made.source}.")


if __name__ == "__main__":
    run_app(main)
