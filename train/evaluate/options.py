"""Flags of all who measure the samples of a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffdemo import CHECKPOINTS, catalog, validate
from diffdemo.data import SPLITS
from diffdemo.device import warn_if_slow
from diffdemo.generator import Generator
from diffdemo.loading import load_generator
from train.flags import flag

COMPILE = "Compile the network: sampling is two to three times as fast, after half a minute of compiling."


def of_model(text: str) -> Any:
    """A flag of the sampling, None where it is not named: then it is what the checkpoint is shown with."""
    return flag(None, text, "the model's")


@dataclass(frozen=True)
class MeasuringOptions:
    """Which samples, measured against what, and where; scripts inherit these flags."""

    guidance_interval: str | None = of_model("Guide only where low < sigma <= high, such as 0.3,5; all is everywhere.")
    guide: str | None = of_model("What it is guided away from: no-class or weak-model.")
    spacing: str | None = of_model("Of the steps: trailing or karras.")
    eps_scale: float | None = of_model("What guessed noise is divided by, 0.9 to 1.1.")
    seed: int = flag(0, "Of the first picture; picture k has this seed + k.")
    reference: str = flag("train", "What to measure against: train or test pictures.")
    classifier: Path | None = flag(None, "Folder of the classifier's checkpoint.", "the shipped one")
    data: Path = flag(Path("data"), "Data folder, as in every training script.")
    checkpoints: Path = flag(CHECKPOINTS, "Folder with a checkpoint folder for each model.")
    device: str = flag("auto", "auto, cpu, cuda or mps.")
    precision: str = flag("auto", "Of the sampling: auto, fp32, bf16 or fp16; auto is what the hardware is fast at.")
    compile: bool = flag(False, COMPILE)
    threads: int = flag(0, "CPU threads; 0 is all of them.")

    def __post_init__(self):
        validate.choice("reference", self.reference, SPLITS)
        validate.whole_number("--threads", self.threads, 0, 10_000)

    def set_up_process(self) -> None:
        """Give this process its threads."""
        if self.threads:
            torch.set_num_threads(self.threads)

    def load(self, model: str) -> tuple[Path, Generator]:
        """The checkpoint's folder of a model, and the model."""
        folder = catalog.find(model, self.checkpoints)
        generator = load_generator(folder, self.device, self.precision, self.compile)
        warn_if_slow(self.precision, generator.device)
        return folder, generator

    def sampling(self) -> dict[str, object]:
        """The settings of `Draw.of` among these."""
        how = {"spacing": self.spacing, "eps_scale": self.eps_scale}
        return how | {"guidance_interval": self.guidance_interval, "guide": self.guide}
