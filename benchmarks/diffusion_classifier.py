"""How often the diffusion classifier is right, and with which errors: python -m benchmarks.diffusion_classifier

Classifies test pictures of the data set, as many of each class, and prints the accuracy after 1, 2, 4, ... draws when
classes are judged by the squared error of eps, of x0, and of the network's own output; and how large the highest
probability is on average, which is as large as the accuracy where probabilities mean what they say.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

import diffdemo
from diffdemo.data import load_dataset
from diffdemo.generator import Generator
from diffdemo.measure.diffusion_classifier import refine, timesteps
from diffdemo.process.diffusion import scalings
from train.flags import run_app


def pictures_of(data: str, model: Generator, each: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `each` test pictures (N, 32, 32, 3) uint8 of every class of the model, and their labels (N,)."""
    dataset = load_dataset(data, "test")
    images, labels = np.asarray(dataset.images), np.asarray(dataset.labels)
    places = [np.flatnonzero(labels == dataset.classes.index(name))[:each] for name in model.classes]
    return images[np.concatenate(places)], np.repeat(np.arange(len(places)), [len(found) for found in places])


def weights(model: Generator, draws: int) -> dict[str, np.ndarray]:
    """(draws,) what each error is at the draws' noise levels for an error of eps of one."""
    alpha_bar = model.diffusion.schedule.alpha_bar[timesteps(draws, model.diffusion.schedule.steps)]
    of_x0 = (1 - alpha_bar) / alpha_bar
    _, _, c_out = scalings(model.diffusion.prediction, torch.from_numpy(alpha_bar))
    return {"eps": np.ones(draws), "x0": of_x0, "output": of_x0 / c_out.square().numpy()}


def main(
    model: Annotated[str, typer.Option(help="A model, or a checkpoint's folder.")] = "attention_unet",
    data: Annotated[Path, typer.Option(help="Data folder.")] = Path("data"),
    each: Annotated[int, typer.Option(help="Pictures of each class.")] = 12,
    draws: Annotated[int, typer.Option(help="Of noise, for each picture and class.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
) -> None:
    """Print how often each weighting of the errors is right, after 1, 2, 4, ... draws."""
    generator = diffdemo.load(model)
    images, labels = pictures_of(data, generator, each)
    print(f"{model} on {len(images)} test pictures, seed {seed}; share of them classified right:")
    print("draws  by eps  by x0  by the network's output  highest probability")
    totals = {name: np.zeros((len(images), len(generator.classes))) for name in weights(generator, 1)}
    before = 0.0
    for index, scores in enumerate(refine(generator, images, draws, seed)):
        summed = scores.errors * scores.draws
        for name, weight in weights(generator, draws).items():
            totals[name] += weight[index] * (summed - before)
        before = summed
        if scores.draws & (scores.draws - 1) == 0 or scores.draws == draws:
            right = [f"{(total.argmin(axis=1) == labels).mean():.3f}" for total in totals.values()]
            print(scores.draws, *right, f"{scores.probabilities.max(axis=1).mean():.3f}", sep="\t", flush=True)


if __name__ == "__main__":
    run_app(main)
