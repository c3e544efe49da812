"""The settings of a training run that every model shares."""

import math
from dataclasses import dataclass
from pathlib import Path

from diffdemo.errors import TrainingError
from diffdemo.records.files import SNAPSHOTS
from train.flags import flag

DECAYS = ("linear", "cosine")


@dataclass(frozen=True)
class Settings:
    """How a run trains. Each is a flag of the training scripts."""

    out: Path = flag(Path("runs/new"), "Folder of the run; it becomes a checkpoint folder too.")
    images: int = flag(2_000_000, "End after so many pictures, counting repeats.")
    max_minutes: float = flag(0.0, "End after so many minutes, with the learning rate decayed by then; 0 is no limit.")
    batch_size: int = flag(64, "Pictures per forward pass, of each process.")
    accumulate: int = flag(1, "Forward passes per optimizer step.")
    lr: float = flag(1e-3, "Peak learning rate.")
    warmup_images: int = flag(12_800, "Pictures over which the learning rate rises from 0 to its peak.")
    decay_start: float = flag(0.5, "Part of the run, 0 to 1, after which the learning rate falls to 0.")
    decay: str = flag("linear", "How it falls: linear, or cosine, half a period of it.")
    weight_decay: float = flag(0.0, "Weight decay of AdamW.")
    clip_norm: float = flag(1.0, "Gradients longer than this are shortened to it.")
    ema_decay: float = flag(0.999, "Of the moving average of weights; it warms up as min(decay, (1 + n) / (10 + n)).")
    slow_ema_decay: float = flag(
        0.0, "Of a second one; the better on held-out pictures in the end becomes the checkpoint. 0 is none."
    )
    precision: str = flag("auto", "auto, fp32, bf16 or fp16; auto is what the hardware is fast at.")
    compile: bool = flag(False, "Compile the network: faster, after a minute of compiling.")
    cuda_graph: bool = flag(
        False, "Record each step whole on a GPU and replay it: faster where the CPU launches slowly."
    )
    seed: int = flag(0, "Of everything random in the run.")
    patience: int = flag(0, "Stop after so many epochs without a better validation loss; 0 is never.")
    save_minutes: float = flag(2.0, "Minutes between two saves of the run.")
    sample_every_images: int = flag(
        0, "Draw samples each time so many pictures were seen, besides epochs 1, 5, 10, ...; 0 is never."
    )
    draw_epochs: int = flag(1, "Of the epochs with samples, draw the first and those that this number divides.")
    snapshot_every_images: int = flag(
        0,
        f"Keep a checkpoint in {SNAPSHOTS}/ each time so many pictures were seen, so that quality over training can be "
        "measured; 0 is never.",
    )

    def __post_init__(self):
        for name in ("images", "batch_size", "accumulate", "draw_epochs"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        or_zero = ("max_minutes", "warmup_images", "weight_decay", "patience", "save_minutes")
        for name in (*or_zero, "sample_every_images", "snapshot_every_images"):
            self._require(0 <= getattr(self, name) < math.inf, name, "0 or more")
        for name in ("lr", "clip_norm"):
            self._require(0 < getattr(self, name) < math.inf, name, "above 0")
        self._require(0 <= self.decay_start <= 1, "decay_start", "from 0 to 1")
        self._require(self.decay in DECAYS, "decay", " or ".join(DECAYS))
        for name in ("ema_decay", "slow_ema_decay"):
            self._require(0 <= getattr(self, name) < 1, name, "at least 0 and below 1")
        self._require(0 <= self.seed < 2**64, "seed", "from 0 to 2^64 - 1")

    def _require(self, fine: bool, name: str, wanted: str) -> None:
        if not fine:
            raise TrainingError(f"--{name.replace('_', '-')} must be {wanted}, not {getattr(self, name)}.")

    @property
    def step_images(self) -> int:
        """Pictures per optimizer step, of each process."""
        return self.batch_size * self.accumulate

    def progress(self, images_seen: int, seconds: float) -> float:
        """The part of the run that is over, 0 to 1, by pictures or by time, whichever is further."""
        by_time = seconds / (60 * self.max_minutes) if self.max_minutes else 0.0
        return min(1.0, max(images_seen / self.images, by_time))

    def learning_rate(self, images_seen: int, seconds: float, processes: int = 1) -> float:
        """Linear warm-up, constant, then a fall to zero exactly when the run ends."""
        after = images_seen + self.step_images * processes
        warmup = min(1.0, after / self.warmup_images) if self.warmup_images else 1.0
        left = 1 - self.progress(images_seen, seconds)
        decay = min(1.0, left / (1 - self.decay_start)) if self.decay_start < 1 else 1.0
        if self.decay == "cosine":
            decay = (1 - math.cos(math.pi * decay)) / 2
        return self.lr * warmup * decay
