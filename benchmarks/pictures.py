"""Draw README's pictures with the shipped checkpoints, seeds from 0 on, none picked: `python -m benchmarks.pictures`.

Ten of each class by the attention UNet, its noise turning into a picture, and four pictures by each model.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from diffdemo import CHECKPOINTS, catalog
from diffdemo.figures.plots import class_grid
from diffdemo.figures.raster import image_grid, save_gif, save_png
from diffdemo.generator import Generator
from diffdemo.loading import load_generator
from train.flags import run_app

FAVOURITE = "attention_unet"
FRAMES_A_SECOND = 10


def draw_classes(model: Generator, count: int, path: Path) -> Path:
    """A row of `count` pictures for each class, seeds 0 to count - 1."""
    rows = {name: model.sample(name, seeds=range(count)) for name in model.classes}
    return class_grid(rows, path)


def draw_film(model: Generator, path: Path) -> Path:
    """One picture of each class, seed 0, from noise to picture: above x_t, below the guess of x0."""
    film = [
        image_grid([*model.images(step.x_t), *model.images(step.x0)], columns=len(model.classes), scale=2)
        for step in model.denoise(model.classes, seeds=[0] * len(model.classes))
    ]
    return save_gif(path, np.stack([*film, film[-1]]), fps=FRAMES_A_SECOND, hold=2.0)


def draw_four(model: Generator, path: Path) -> Path:
    """Seeds 0 to 3, of a model with classes one of each of four of them, or two of each of two."""
    classes = model.classes or (None,)
    names = [classes[k * len(classes) // 4] for k in range(4)]
    return save_png(path, image_grid(model.sample(names, seeds=range(4)), columns=4, scale=2))


def main(
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs"),
    count: Annotated[int, typer.Option(help="Pictures of each class.")] = 10,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is all of them.")] = 0,
) -> None:
    """Draw the pictures of README with the shipped checkpoints."""
    if threads:
        torch.set_num_threads(threads)
    (out / "models").mkdir(parents=True, exist_ok=True)
    for key in catalog.available(CHECKPOINTS):
        model = load_generator(CHECKPOINTS / key)
        print(f"Wrote {draw_four(model, out / 'models' / f'{key}.png')}.", flush=True)
        if key == FAVOURITE:
            print(f"Wrote {draw_film(model, out / 'noise_to_picture.gif')}.", flush=True)
            print(f"Wrote {draw_classes(model, count, out / 'ten_of_each_class.png')}.", flush=True)


if __name__ == "__main__":
    run_app(main)
