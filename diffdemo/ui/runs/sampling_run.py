"""A lane: one model at work on one batch, and everything the page says and keeps of it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from diffdemo.figures.film import Moment
from diffdemo.generator import Generator
from diffdemo.process.names import SAMPLER_TITLES
from diffdemo.process.samplers import Step
from diffdemo.request import ANY, SamplingRequest
from diffdemo.ui.components.viewer import pack, pack_numbers
from diffdemo.ui.runs import compiling, zero_gpu
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.zoo import title


@dataclass
class SamplingRun:
    """One model at work on one batch.

    Attributes:
        model: the generator.
        asked: what it is to draw, checked.
        steps: the run itself.
        prefix: put before the model's title on display.
        origin: of what state the run began with, if that is on display, too: its name there.
        device: the type of that on which it is computed.
        compiled: whether a compiled network computes it.
        last: the latest step.
        seconds: time spent in steps so far, without what the page does around them.
        film: every step that was shown.
    """

    model: Generator
    asked: SamplingRequest
    steps: Iterator[Step]
    prefix: str = ""
    origin: str = ""
    device: str = "cpu"
    compiled: bool = False
    last: Step | None = None
    seconds: float = 0.0
    film: list[Moment] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        model: Generator,
        asked: SamplingRequest,
        *,
        start: tuple[Tensor, int] | None = None,
        watch: Callable[[Iterator[Step]], Iterator[Step]] = lambda steps: steps,
        prefix: str = "",
        origin: str = "",
    ) -> "SamplingRun":
        """A run that is ready for its first step.

        Args:
            start: (x_t, t) to start there and not with noise, as `Generator.denoise` takes it.
            watch: sees every step on its way to the page.
        """
        device = "cuda" if zero_gpu.is_lent(model) else model.device.type
        compiled = compiling.faster(model, len(asked.seeds))  # a run does not change over in the middle
        steps = watch(zero_gpu.run(compiled or model, asked, start))
        return cls(model, asked, steps, prefix, origin, device, compiled is not None)

    @property
    def seeds(self) -> list[int]:
        """One for each image."""
        return list(self.asked.seeds)

    @property
    def settings(self) -> Settings:
        """Those that the run has, and a repetition of it must have."""
        return Settings.of_request(self.model.key, self.asked)

    def advance(self, shown: bool) -> dict | None:
        """Take a step; its frame if it is to be shown and there was a step left."""
        began = time.perf_counter()
        step = next(self.steps, None)
        if step is None:
            return None
        self.last = step
        # Inside the measured time, because on a GPU this is where the step's work is waited for.
        pictures = [self.model.images(state) for state in (step.x_t, step.x0)] if shown else None
        self.seconds += time.perf_counter() - began
        if not shown:
            return None
        x_t, x0 = pictures
        self.film.append(Moment(step.index + 1, x_t, x0))
        return {
            "step": step.index + 1,
            "t": step.t,
            "snr": step.snr,
            "nfe": self.evaluations,
            "ms": self.ms_per_step,
            "x_t": pack(x_t),
            "x0": pack(x0),
        }

    @property
    def shown(self) -> int:
        """The number of the last step that was shown, counted from 1; 0 before the first."""
        return self.film[-1].step if self.film else 0

    @property
    def evaluations(self) -> int:
        """Network evaluations for each image so far, those of guidance included."""
        return self.last.nfe if self.last else 0

    @property
    def ms_per_step(self) -> float:
        """Mean milliseconds of a step so far."""
        return 1000 * self.seconds / (self.last.index + 1) if self.last else 0.0

    @property
    def total(self) -> int:
        """Number of steps of the whole run."""
        return self.asked.steps

    @property
    def finished(self) -> bool:
        """Whether the last step was taken."""
        return self.last is not None and self.last.index == self.total - 1

    @property
    def pictures(self) -> np.ndarray:
        """The finished pictures, (N, H, W, 3) uint8; of a run without an end, its last guess."""
        return self.model.images(self.last.x_prev) if self.finished else self.film[-1].x0

    def report(self) -> dict:
        """What was asked for and what it took, as the API returns it."""
        return {
            **{name: value for name, value in vars(self.settings).items() if name not in ("seed", "count")},
            "seeds": [str(seed) for seed in self.seeds],
            "parameters": self.model.info.parameters,
            "network_evaluations": self.evaluations,
            "ms_per_step": round(self.ms_per_step, 2),
            "seconds": round(self.seconds, 3),
        }

    def describe(self) -> dict:
        """What the viewer must know of the lane before its first frame."""
        return {
            "title": self.prefix + title(self.model),
            "detail": self._detail(),
            "origin": self.origin,
            "seeds": [str(seed) for seed in self.seeds],  # text, because JavaScript's numbers end at 2^53
            "steps": self.total,
            "size": list(self.model.image_size),
            "device": self.device,
            "alpha_bar": pack_numbers(self.model.diffusion.schedule.alpha_bar),
        }

    def _detail(self) -> str:
        asked = self.asked
        parts = [asked.class_name] if asked.class_name != ANY else []
        parts += [SAMPLER_TITLES[asked.sampler], f"{asked.steps} step{'s' * (asked.steps != 1)}"]
        return ", ".join(parts + [str(asked.guidance)] * asked.guided)
