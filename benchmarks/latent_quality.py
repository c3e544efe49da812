"""Measure an autoencoder again: `python -m benchmarks.latent_quality` prints as JSON what config.json has as metrics.

PSNR of test pictures, PCA's beside it, how often the classifier on the latents is right, and the silhouette of their
t-SNE map. It takes about a minute on one CPU core.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

import diffdemo
from diffdemo.data import load_dataset
from diffdemo.errors import RequestError
from diffdemo.latent.space import measure
from train.flags import run_app


def main(
    model: Annotated[str, typer.Option(help="A model, or a checkpoint's folder.")] = "latent_diffusion",
    data: Annotated[Path, typer.Option(help="Data folder.")] = Path("data"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Print the figures of an autoencoder as JSON."""
    generator = diffdemo.load(model, device=device)
    if generator.info.spec.space != "latents":
        raise RequestError(f"{generator.key} works on pixels and has no autoencoder; choose latent_diffusion.")
    train_data, test_data = (load_dataset(data, split).only(generator.classes) for split in ("train", "test"))
    print(json.dumps(measure(generator.network, train_data, test_data), indent=2))


if __name__ == "__main__":
    run_app(main)
