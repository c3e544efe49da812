"""Samples to be measured: drawn shard by shard into a folder, so that a stopped evaluation goes on where it was."""

import contextlib
import hashlib
import io
import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffdemo import validate
from diffdemo.atomic import write_atomically
from diffdemo.data import IMAGE_SHAPE
from diffdemo.description import write_json
from diffdemo.errors import TrainingError
from diffdemo.generator import Generator, Predictor
from diffdemo.process.guidance import WEAK_MODEL, Guidance
from diffdemo.process.samplers import SAMPLERS
from diffdemo.records.files import DRAWN
from diffdemo.request import SamplingRequest

SHARD, MOST = 100, 1000  # pictures
PER_GIB = 25  # of a GPU's memory, which leaves 40 MiB for each


def shard_size(device: torch.device) -> int:
    """Pictures in a shard, which is also the batch: what fills the device.

    Shards are always drawn whole, so that a picture's bits depend on the device and on nothing else.
    """
    if device.type != "cuda":
        return SHARD
    memory = torch.cuda.get_device_properties(device).total_memory / 2**30
    return min(max(int(memory * PER_GIB) // SHARD, 1) * SHARD, MOST)


@dataclass(frozen=True)
class Draw:
    """Which samples: everything that their bits depend on, except for the model.

    Attributes:
        sampler, steps, spacing, guidance, eps_scale: as in `SamplingRequest`, with the checkpoint's defaults filled in.
        seed: of the first picture; picture k has seed + k, and class k of the model's, counted round and round.
    """

    sampler: str
    steps: int
    spacing: str
    guidance: Guidance
    eps_scale: float
    seed: int

    @classmethod
    def of(cls, generator: Generator, seed: object = 0, **settings: object) -> "Draw":
        """The draw with these settings of `Generator.denoise`; what is None is the checkpoint's default.

        Raises:
            RequestError: a setting is out of range or unknown. CheckpointError: the model cannot denoise.
        """
        asked = generator.request(seeds=validate.consecutive_seeds(seed, 1), **settings)
        return cls(asked.sampler, asked.steps, asked.spacing, asked.guidance, asked.eps_scale, asked.seeds[0])

    def identity(self, generator: Generator) -> dict:
        """What makes these samples these samples, for people and for `name`."""
        guided_by = generator.guide if self.guidance.guide == WEAK_MODEL else None
        return {
            "model": generator.key,
            "weights": generator.info.weights,
            "sampler": self.sampler,
            "steps": self.steps,
            "spacing": self.spacing,
            "eps_scale": self.eps_scale,
            "guidance_scale": self.guidance.scale,
            "guidance_interval": self.guidance.interval_text,
            "guide": self.guidance.guide,
            "guide_weights": guided_by and guided_by.info.weights,
            "first_seed": self.seed,
            "precision": generator.precision,
            "device": generator.device.type,
            "compiled": generator.compiled,
        }

    def request(self, generator: Generator, first: int, count: int) -> SamplingRequest:
        """For `count` pictures from picture number `first` on."""
        return generator.request(
            self.class_names(generator, first + count)[first:],
            seeds=[(self.seed + first + i) % (validate.MAX_SEED + 1) for i in range(count)],
            sampler=self.sampler,
            steps=self.steps,
            spacing=self.spacing,
            eps_scale=self.eps_scale,
            guidance_scale=self.guidance.scale,
            guidance_interval=self.guidance.interval_text,
            guide=self.guidance.guide,
        )

    def name(self, generator: Generator) -> str:
        """A folder's name for these samples, such as attention_unet-1a2b3c4d5e6f."""
        described = json.dumps(self.identity(generator), sort_keys=True)
        return f"{generator.key}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"

    def class_names(self, generator: Generator, count: int) -> list[str | None]:
        """The class of each of the first `count` pictures: all classes in turn, so that any part is balanced."""
        classes = generator.classes or (None,)
        return [classes[k % len(classes)] for k in range(count)]

    def evaluations(self, generator: Generator) -> int:
        """Network evaluations that one picture takes, those of guidance included."""
        predict, nothing = _Counted(generator, self.request(generator, 0, 1)), torch.zeros(1)
        run = SAMPLERS[self.sampler](
            predict, nothing, generator.diffusion.schedule, self.steps, lambda: nothing, spacing=self.spacing
        )
        deque(run, maxlen=0)
        return predict.nfe

    @staticmethod
    def _claim(path: Path, identity: dict) -> None:
        """Say whose samples are beside this file; TrainingError if it names others."""
        try:
            there = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            there = None if any(path.parent.glob("shard-*")) else identity
        except (OSError, ValueError):
            there = None
        if there != identity:
            known = there if isinstance(there, dict) else {}
            other = ", ".join(name for name in identity if known.get(name) != identity[name])
            raise TrainingError(f"{path.parent} holds samples with other settings ({other}); name another folder.")
        write_json(path, identity)

    def pictures(self, generator: Generator, folder: Path, count: int) -> np.ndarray:
        """The first `count` pictures, (count, 32, 32, 3) uint8; shards that are in `folder` are not drawn again.

        Raises:
            TrainingError: the folder holds other samples.
        """
        validate.consecutive_seeds(self.seed, count)
        folder.mkdir(parents=True, exist_ok=True)
        self._claim(folder / DRAWN, self.identity(generator))
        size = shard_size(generator.device)
        shards = -(-count // size)
        finished = {k: shard for k in range(shards) if (shard := _read(_path(folder, k), size)) is not None}
        bar = tqdm(
            total=shards * self.steps, initial=len(finished) * self.steps, unit="step", desc="samples", mininterval=1
        )
        with bar:
            for k in sorted(set(range(shards)) - finished.keys()):
                for step in generator.run(self.request(generator, k * size, size)):
                    state = step.x_prev
                    bar.update()
                finished[k] = generator.images(state)
                _write(_path(folder, k), finished[k])
        return np.concatenate([finished[k] for k in range(shards)])[:count]


class _Counted(Predictor):
    """Counts evaluations without making any."""

    def guess(self, x_t: Tensor, steps: Tensor, guided: bool) -> Tensor:
        return x_t


def _path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05}.npy"


def _read(path: Path, size: int) -> np.ndarray | None:
    """A shard of so many pictures, or None if it is not there or not whole."""
    with contextlib.suppress(ValueError, OSError, EOFError):
        pictures = np.load(path)
        if pictures.shape == (size, *IMAGE_SHAPE) and pictures.dtype == np.uint8:
            return pictures
    return None


def _write(path: Path, pictures: np.ndarray) -> None:
    buffer = io.BytesIO()  # NumPy's own writing to a full disk hides the reason
    np.save(buffer, pictures)
    write_atomically(path, lambda unfinished: unfinished.write_bytes(buffer.getbuffer()))
