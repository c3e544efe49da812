"""Small diffusion models on CIFAR-10: load one, sample from it, watch it denoise.

    import diffdemo
    model = diffdemo.load("attention_unet")
    images = model.sample("horse", steps=50, seeds=[7, 8])  # (2, 32, 32, 3) uint8
    for step in model.denoise("horse", steps=50, seeds=[7]):
        print(step.index, step.t, step.snr)  # and step.x_t, step.x0, step.x_prev

Importing this package is fast: PyTorch is loaded with the first model.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from diffdemo.errors import CheckpointError, DataError, DiffdemoError, RequestError, TrainingError

if TYPE_CHECKING:
    from diffdemo.generator import Generator

__all__ = [
    "CheckpointError",
    "DataError",
    "DiffdemoError",
    "RequestError",
    "TrainingError",
    "list_models",
    "load",
]

CHECKPOINTS = Path(__file__).resolve().parent.parent / "checkpoints"


def load(
    model: str,
    *,
    device: str = "auto",
    precision: str = "fp32",
    compile: bool = False,
    checkpoints: str | Path | None = None,
) -> "Generator":
    """A trained model, ready to sample from.

    Args:
        model: a name that `list_models` gives, or a folder that holds a checkpoint, such as a training run's, or
            "owner/name" or "owner/name@revision" of one on the Hugging Face hub, fetched and kept in the hub's cache.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "fp32"; "bf16" and "fp16" are faster on hardware that has them, and change pictures a little; "auto"
            is what is fast here, on a CPU by a quick measurement.
        compile: whether to compile the network, which takes half a minute for each number of images at once and
            changes pictures as little as another precision does.
        checkpoints: folder with one checkpoint folder for each model; the shipped one by default.

    Raises:
        RequestError: unknown model, device or precision, or no compiler.
        CheckpointError: the checkpoint is missing, damaged or edited, or cannot be fetched.
    """
    from diffdemo import catalog
    from diffdemo.loading import load_generator

    return load_generator(catalog.find(model, checkpoints or CHECKPOINTS), device, precision, compile)


def list_models(checkpoints: str | Path | None = None) -> list[dict]:
    """What there is to load: a dictionary for each checkpoint, as `python -m diffdemo list --json` prints it.

    Keys: key, space, classes, parameters, images_seen, hardware, minutes, prediction, sampler, steps, metrics.
    """
    from diffdemo import catalog

    return [catalog.summary(info) for info in catalog.available(checkpoints or CHECKPOINTS).values()]
