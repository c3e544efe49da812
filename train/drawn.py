"""Samples to be measured: drawn shard by shard into a folder, so that a stopped evaluation goes on where it was."""

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from diffdemo import validate
from diffdemo.atomic import write_atomically
from diffdemo.checkpoint import write_json
from diffdemo.data import IMAGE_SHAPE
from diffdemo.errors import TrainingError
from diffdemo.generator import Generator
from diffdemo.samplers import SAMPLERS
from diffdemo.schedule import SPACINGS

SHARD = (
    100  # pictures; also the batch, and shards are always drawn whole, so that a picture's bits depend on nothing else
)
IDENTITY = "samples.json"


@dataclass(frozen=True)
class Draw:
    """Which samples: everything that their bits depend on, except for the model.

    Attributes:
        sampler, steps, guidance_scale, spacing: as for `Generator.denoise`, with the checkpoint's defaults filled in.
        seed: of the first picture; picture k has seed + k, and class k of the model's, counted round and round.
    """

    sampler: str
    steps: int
    guidance_scale: float
    seed: int
    spacing: str = SPACINGS[0]

    @classmethod
    def of(
        cls,
        generator: Generator,
        sampler: str | None = None,
        steps: object = None,
        guidance: object = None,
        seed: object = 0,
        spacing: str | None = None,
    ) -> "Draw":
        """The draw with these settings; what is None is the checkpoint's default.

        Raises:
            RequestError: a setting is out of range or unknown. CheckpointError: the model cannot denoise.
        """
        generator.require_denoiser()
        defaults, most = generator.info.defaults, generator.diffusion.schedule.steps
        return cls(
            validate.choice("sampler", defaults["sampler"] if sampler is None else sampler, list(SAMPLERS)),
            validate.steps(defaults["steps"] if steps is None else steps, most),
            validate.guidance_scale(
                defaults["guidance_scale"] if guidance is None else guidance, generator.classes, generator.key
            ),
            validate.consecutive_seeds(seed, 1)[0],
            validate.choice("spacing", generator.info.spacing if spacing is None else spacing, SPACINGS),
        )

    def identity(self, generator: Generator) -> dict:
        """What makes these samples these samples, for people and for `name`."""
        return {
            "model": generator.key,
            "weights": generator.info.files,
            "sampler": self.sampler,
            "steps": self.steps,
            "spacing": self.spacing,
            "guidance_scale": self.guidance_scale,
            "first_seed": self.seed,
            "precision": generator.precision,
            "device": generator.device.type,
            "compiled": generator.compiled,
        }

    def name(self, generator: Generator) -> str:
        """A folder's name for these samples, such as attention_unet-1a2b3c4d5e6f."""
        described = json.dumps(self.identity(generator), sort_keys=True)
        return f"{generator.key}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"

    def class_names(self, generator: Generator, count: int) -> list[str | None]:
        """The class of each of the first `count` pictures: all classes in turn, so that any part is balanced."""
        classes = generator.classes or (None,)
        return [classes[k % len(classes)] for k in range(count)]

    def evaluations(self, generator: Generator) -> int:
        """Network evaluations that one picture takes, not counting the second half of a guided one."""
        nothing = torch.zeros(1)
        run = SAMPLERS[self.sampler](
            lambda x, t: (x, x),
            nothing,
            generator.diffusion.schedule,
            self.steps,
            lambda: nothing,
            spacing=self.spacing,
        )
        return [step.nfe for step in run][-1]

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
        self._claim(folder / IDENTITY, self.identity(generator))
        shards = -(-count // SHARD)
        finished = {k: shard for k in range(shards) if (shard := _read(_path(folder, k))) is not None}
        names = self.class_names(generator, shards * SHARD)
        bar = tqdm(
            total=shards * self.steps, initial=len(finished) * self.steps, unit="step", desc="samples", mininterval=1
        )
        with bar:
            for k in sorted(set(range(shards)) - finished.keys()):
                first = k * SHARD
                run = generator.denoise(
                    names[first : first + SHARD],
                    seeds=[(self.seed + first + i) % (validate.MAX_SEED + 1) for i in range(SHARD)],
                    steps=self.steps,
                    sampler=self.sampler,
                    guidance_scale=self.guidance_scale,
                    spacing=self.spacing,
                )
                for step in run:
                    state = step.x_prev
                    bar.update()
                finished[k] = generator.images(state)
                _write(_path(folder, k), finished[k])
        return np.concatenate([finished[k] for k in range(shards)])[:count]


def computed_on(identity: dict) -> str:
    """Where and how the network ran, of which the last bits of a picture depend: such as "cpu bf16 compiled"."""
    return f"{identity['device']} {identity['precision']}{' compiled' * identity['compiled']}"


def _path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05}.npy"


def _read(path: Path) -> np.ndarray | None:
    """A shard, or None if it is not there or not whole."""
    with contextlib.suppress(ValueError, OSError, EOFError):
        pictures = np.load(path)
        if pictures.shape == (SHARD, *IMAGE_SHAPE) and pictures.dtype == np.uint8:
            return pictures
    return None


def _write(path: Path, pictures: np.ndarray) -> None:
    buffer = io.BytesIO()  # NumPy's own writing to a full disk hides the reason
    np.save(buffer, pictures)
    write_atomically(path, lambda unfinished: unfinished.write_bytes(buffer.getbuffer()))
