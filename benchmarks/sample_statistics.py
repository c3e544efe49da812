"""Are samples as colourful as real pictures? python -m benchmarks.sample_statistics --model checkpoints/patch_unet

For each class of a model: mean colour and variance of real test pictures and of samples drawn as the checkpoint
recommends (in ten steps, for the patch UNet), and whether each is within 20 % of the real one. Mush, which is what a
sampler makes that starts from noise the network never saw, is grey and has a fraction of the variance.
"""

import argparse
from dataclasses import dataclass

import numpy as np

import diffdemo
from diffdemo.data import load_dataset

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="checkpoints/patch_unet", help="a checkpoint with classes")
    parser.add_argument("-n", type=int, default=256, help="samples of each class")
    parser.add_argument("--data", default="data")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sampler", help="instead of the checkpoint's own; likewise the next two")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    args = parser.parse_args()
    model = diffdemo.load(args.model, device=args.device)
    if not model.classes:
        parser.error(f"{args.model} has no classes to compare; name a model that has, such as checkpoints/patch_unet.")
    data = load_dataset(args.data, "test").only(model.classes)
    asked = {"sampler": args.sampler, "steps": args.steps, "guidance_scale": args.guidance}
    settings = {**model.info.defaults, **{name: value for name, value in asked.items() if value is not None}}
    print(f"{args.model}: {settings}, {args.n} samples of each class, {data.source}")
    print(f"{'':12}{'':10}{'real':>8}{'samples':>9}{'ratio':>7}")
    for label, class_name in enumerate(model.classes):
        real = ColourStatistics.of(data.images[data.labels == label])
        drawn = ColourStatistics.of(model.sample(class_name, seeds=range(args.n), **settings))
        for name, ratio in drawn.ratios(real).items():
            figures = f"{getattr(real, name):8.4f}{getattr(drawn, name):9.4f}{ratio:7.2f}"
            print(f"{class_name:12}{name:10}{figures}  {verdict(ratio)}")


if __name__ == "__main__":
    main()
