"""Are samples as colourful as real pictures? python -m benchmarks.sample_statistics --model checkpoints/patch_unet

For each class of a model: mean colour and variance of real test pictures and of samples drawn as the checkpoint
recommends (in ten steps, for the patch UNet), and whether each is within 20 % of the real one. Mush, which is what a
sampler makes that starts from noise the network never saw, is grey and has a fraction of the variance.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import diffdemo
from diffdemo.data import load_dataset
from diffdemo.errors import RequestError
from train.flags import run_app

TOLERANCE = 0.2


@dataclass(frozen=True)
class ColourStatistics:
    """Mean of red, green and blue over all pixels, and the variance around it, averaged over colours; in 0 to 1."""

    red: float
    green: float
    blue: float
    variance: float

    @classmethod
    def of(cls, images: np.ndarray) -> "ColourStatistics":
        """Of pictures (N, H, W, 3) uint8."""
        colours = images.reshape(-1, 3) / 255
        return cls(*map(float, colours.mean(axis=0)), float(colours.var(axis=0).mean()))

    def ratios(self, real: "ColourStatistics") -> dict[str, float]:
        """Each figure as a multiple of that of real pictures."""
        return {name: value / max(getattr(real, name), 1e-9) for name, value in vars(self).items()}


def verdict(ratio: float) -> str:
    """PASS, or by how much a figure misses the real one."""
    return "PASS" if abs(ratio - 1) <= TOLERANCE else f"over 20 %: {ratio - 1:+.0%}"


def main(
    model: Annotated[str, typer.Option(help="A checkpoint with classes.")] = "checkpoints/patch_unet",
    count: Annotated[int, typer.Option("-n", help="Samples of each class.")] = 256,
    data: Annotated[Path, typer.Option(help="Data folder.")] = Path("data"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    sampler: Annotated[str | None, typer.Option(help="Instead of the checkpoint's own; likewise the next two.")] = None,
    steps: Annotated[int | None, typer.Option()] = None,
    guidance: Annotated[float | None, typer.Option()] = None,
) -> None:
    """Print colours and contrast of samples beside those of real pictures, class by class."""
    generator = diffdemo.load(model, device=device)
    if not generator.classes:
        raise RequestError(f"{model} has no classes to compare; name a model that has, such as checkpoints/patch_unet.")
    pictures = load_dataset(data, "test").only(generator.classes)
    asked = {"sampler": sampler, "steps": steps, "guidance_scale": guidance}
    settings = {**generator.info.defaults, **{name: value for name, value in asked.items() if value is not None}}
    print(f"{model}: {settings}, {count} samples of each class, {pictures.source}")
    print(f"{'':12}{'':10}{'real':>8}{'samples':>9}{'ratio':>7}")
    for label, class_name in enumerate(generator.classes):
        real = ColourStatistics.of(pictures.images[pictures.labels == label])
        drawn = ColourStatistics.of(generator.sample(class_name, seeds=range(count), **settings))
        for name, ratio in drawn.ratios(real).items():
            figures = f"{getattr(real, name):8.4f}{getattr(drawn, name):9.4f}{ratio:7.2f}"
            print(f"{class_name:12}{name:10}{figures}  {verdict(ratio)}")


if __name__ == "__main__":
    run_app(main)
