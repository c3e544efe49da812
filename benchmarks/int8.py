"""What do pictures lose when weights are kept in int8? python -m benchmarks.int8 --model attention_unet

Draws the same pictures, of each class in turn, with a checkpoint's fp16 weights and with the int8 that `train.install`
makes of them, and prints the PSNR between the two and the bytes of both.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import diffdemo
from diffdemo import catalog
from diffdemo.checkpoint import load_weights, save_checkpoint
from diffdemo.description import FP16, INT8, MAP, encoding_of, read_info
from diffdemo.errors import RequestError
from diffdemo.generator import Generator
from diffdemo.latent.space import psnr
from train.flags import run_app


@dataclass(frozen=True, eq=False)
class Comparison:
    """What int8 costs, and what it saves.

    Attributes:
        psnr: of each picture from int8 against that from fp16, (N,) in dB; infinite where they are the same.
        sizes: bytes of all weights files by their encoding.
        files: {file: SHA-256} of the int8 weights.
    """

    psnr: np.ndarray
    sizes: dict[str, int]
    files: dict[str, str]


def compare(folder: Path, count: int, steps: int, device: str = "auto") -> Comparison:
    """Draw pictures 0 to `count` - 1, each with its number as seed, from a checkpoint in fp16 and from int8 of it.

    Raises:
        RequestError: the checkpoint is in int8 already, or a setting is out of range.
        CheckpointError: the folder holds no checkpoint, or a damaged one.
    """
    info = read_info(folder)
    if encoding_of(info) != FP16:
        raise RequestError(
            f"The weights in {folder} are in {INT8} already; name the run that they come from with --from."
        )
    with tempfile.TemporaryDirectory() as made:
        eighths = save_checkpoint(Path(made), info, load_weights(folder, info), INT8)
        places = {FP16: (folder, info), INT8: (Path(made), eighths)}
        sizes = {
            encoding: sum((place / name).stat().st_size for name in of.files if name != MAP)
            for encoding, (place, of) in places.items()
        }
        pictures = [_draw(diffdemo.load(str(place), device=device), count, steps) / 255 for place, _ in places.values()]
    with np.errstate(divide="ignore"):
        return Comparison(psnr(*pictures), sizes, eighths.files)


def _draw(model: Generator, count: int, steps: int) -> np.ndarray:
    """Pictures (count, H, W, 3) uint8."""
    classes = model.classes or (None,)
    drawn = [model.sample(classes[k % len(classes)], steps=steps, seeds=[k]) for k in range(count)]
    return np.concatenate(drawn)


def main(
    model: Annotated[str, typer.Option(help="A model, or a checkpoint's folder.")] = "attention_unet",
    run: Annotated[Path | None, typer.Option("--from", help="Run with its fp16 weights, if it is in int8.")] = None,
    count: Annotated[int, typer.Option("-n", help="Pictures.")] = 10,
    steps: Annotated[int, typer.Option(help="Of their sampling.")] = 20,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Print how far pictures from int8 weights are from those of fp16, and how large both are."""
    installed = read_info(catalog.find(model, diffdemo.CHECKPOINTS))
    folder = run or catalog.find(model, diffdemo.CHECKPOINTS)
    if read_info(folder).key != installed.key:
        raise RequestError(f"{folder} holds a {read_info(folder).key} and no {installed.key}; name one that does.")
    found = compare(folder, count, steps, device)
    halves, eighths = found.sizes[FP16], found.sizes[INT8]
    print(f"{folder}: {count} pictures in {steps} steps from int8 against fp16")
    print(f"PSNR: mean {found.psnr.mean():.1f} dB, least {found.psnr.min():.1f} dB")
    print(f"weights: {halves:,} bytes in fp16, {eighths:,} in int8, {eighths / halves:.1%} of that")
    if encoding_of(installed) == INT8:
        same = found.files.items() <= installed.files.items()
        print(f"The int8 weights are {'those' if same else 'not those'} of {model}.")


if __name__ == "__main__":
    run_app(main)
