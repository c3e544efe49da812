"""How often the diffusion classifier is right, and with which errors: python -m benchmarks.diffusion_classifier

Classifies test pictures of the data set, as many of each class, and prints the accuracy after 1, 2, 4, ... draws when
classes are judged by the squared error of eps, of x0, and of the network's own output; and how large the highest
probability is on average, which is as large as the accuracy where probabilities mean what they say.
"""

import argparse

import numpy as np
import torch

import diffdemo
from diffdemo.data import load_dataset
from diffdemo.generator import Generator
from diffdemo.measure.diffusion_classifier import refine, timesteps
from diffdemo.process.diffusion import scalings


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="attention_unet")
    parser.add_argument("--data", default="data")
    parser.add_argument("--each", type=int, default=12, help="pictures of each class")
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    model = diffdemo.load(asked.model)
    images, labels = pictures_of(asked.data, model, asked.each)
    print(f"{asked.model} on {len(images)} test pictures, seed {asked.seed}; share of them classified right:")
    print("draws  by eps  by x0  by the network's output  highest probability")
    totals = {name: np.zeros((len(images), len(model.classes))) for name in weights(model, 1)}
    before = 0.0
    for index, scores in enumerate(refine(model, images, asked.draws, asked.seed)):
        summed = scores.errors * scores.draws
        for name, weight in weights(model, asked.draws).items():
            totals[name] += weight[index] * (summed - before)
        before = summed
        if scores.draws & (scores.draws - 1) == 0 or scores.draws == asked.draws:
            right = [f"{(total.argmin(axis=1) == labels).mean():.3f}" for total in totals.values()]
            print(scores.draws, *right, f"{scores.probabilities.max(axis=1).mean():.3f}", sep="\t", flush=True)


if __name__ == "__main__":
    main()
