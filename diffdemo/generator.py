"""A checkpoint ready to denoise."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from diffdemo import validate
from diffdemo.data.pixels import to_images, to_pixels
from diffdemo.description import CheckpointInfo
from diffdemo.device import autocast, choose_device, choose_precision, compile_network
from diffdemo.process.diffusion import Diffusion, eps_from_x0, rescale_eps
from diffdemo.process.guidance import WEAK_MODEL
from diffdemo.process.samplers import SAMPLERS, SeededNoise, Step
from diffdemo.request import ANY, SamplingRequest

# Noise level up to which guessed noise is scaled. Above it the share that stays in the guess of x0 would be seen.
EPS_SCALED_UP_TO = 3.0
BATCH = 64  # images denoised at once; bounds memory, and changes pictures by rounding at most


class Generator:
    """A network that denoises pictures, its noise schedule and its classes, behind one face.

    Models of other spaces have the same face: see `diffdemo.loading`, which picks the right kind.

    Args:
        network: takes (N, 3, H, W), steps (N,) and, if there are classes, labels (N,).
        info: what the checkpoint says of it.
        device: where to compute, see `diffdemo.device.choose_device`.
        precision: "fp32"; "bf16" and "fp16" are less exact, and faster on hardware for them; "auto" is what is fast
            here, see `diffdemo.device.choose_precision`.
        compile: whether to compile the network: many pictures come two or three times as fast, and the first batch of
            each size half a minute later.
    """

    def __init__(
        self,
        network: nn.Module,
        info: CheckpointInfo,
        device: str | torch.device = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ):
        self.info = info
        self.device = choose_device(str(device))
        self.precision = choose_precision(precision, self.device)
        self.network = network.eval().to(self.device)
        if self.device.type != "mps":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.compiled = compile
        self._denoiser = (
            compile_network(self.network, self.device, recorded=True, dynamic=False) if compile else self.network
        )
        self.diffusion = Diffusion(info.schedule, info.diffusion["prediction"]).to(self.device)
        self.guide: Generator | None = None

    @property
    def key(self) -> str:
        return self.info.key

    @property
    def classes(self) -> tuple[str, ...]:
        return self.info.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what is denoised: (channels, height, width) of one picture."""
        return self.info.model["image_channels"], *self.image_size

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of one picture."""
        return self.info.model["image_size"], self.info.model["image_size"]

    def images(self, state: Tensor) -> np.ndarray:
        """Pictures, (N, H, W, 3) uint8, of what is denoised: of x_t, x0 or x_prev of a `Step`."""
        return to_images(state)

    def states(self, pictures: np.ndarray) -> Tensor:
        """x0 of pictures (N, H, W, 3) uint8: what is denoised, (N, *shape) float32; `images` is the way back."""
        return to_pixels(pictures, self.device)

    def reconstruct(self, pictures: np.ndarray) -> np.ndarray:
        """What is left of pictures, (N, H, W, 3) uint8, after encoding and decoding: the same shape and type.

        Raises:
            RequestError: the model denoises pixels and has no autoencoder.
        """
        raise validate.RequestError(f"{self.key} denoises pixels and has no autoencoder; use a model of latents.")

    def require_denoiser(self) -> None:
        """Raise CheckpointError if this checkpoint cannot denoise yet."""

    def bound(self, x0: Tensor) -> Tensor:
        """Keep a guess of x0 where clean examples are: pixels lie in [-1, 1]."""
        return x0.clamp(-1, 1)

    def sample(
        self,
        class_name: str | Sequence[str | None] | None = None,
        *,
        start: tuple[Tensor, int] | None = None,
        stop_after: object = None,
        **settings,
    ) -> np.ndarray:
        """Draw pictures: (N, H, W, 3) uint8 in the order of `seeds`. Arguments and errors as for `denoise`.

        With `stop_after`, 1 to the number of steps, only so many are taken; the pictures are then the last guess of x0.
        """
        asked = self._checked(class_name, start, settings)
        taken = validate.steps_taken(stop_after, asked.steps)
        parts = [slice(first, first + BATCH) for first in range(0, len(asked.seeds), BATCH)]
        runs = [self.run(asked.part(part), start and (start[0][part], start[1])) for part in parts]
        # A deque of one forgets each step as the next one comes: a thousand of them would fill the memory.
        ends = (deque(islice(run, taken), maxlen=1)[0] for run in runs)
        return np.concatenate([self.images(end.x_prev if taken == asked.steps else end.x0) for end in ends])

    def request(self, class_name: str | Sequence[str | None] | None = None, **settings) -> SamplingRequest:
        """These settings of `denoise`, checked and with the checkpoint's defaults filled in; errors are those of it."""
        self.require_denoiser()
        return SamplingRequest.of(self.info, class_name, **settings)

    def denoise(
        self,
        class_name: str | Sequence[str | None] | None = None,
        *,
        start: tuple[Tensor, int] | None = None,
        **settings,
    ) -> Iterator[Step]:
        """Denoise step by step, one image for each seed, and yield every `Step`; `images` makes pictures of its states.

        Settings left out are the checkpoint's defaults. All of them are checked here and now, before the first step.

        Args:
            class_name: a class for all images, or one for each; None and "any" are no class.
            start: (x_t, t) to start there and not with noise at T - 1: states (N, *shape), one for each seed, at the
                training step t, 0 to T - 1; see `diffdemo.trajectory`. What a sampler draws later comes from the seeds.
            settings: what is asked for besides.

                - seeds: whole numbers from 0 to 2^64 - 1; image k depends on seeds[k] alone, and on how many others it
                  is drawn with no more than rounding does. One image of seed 0 if left out.
                - steps: 1 to the schedule's length (1000), or to t + 1 with a `start` at t.
                - sampler: "ddpm", "ddim", "dpmpp" or "heun".
                - guidance_scale: 0 to 20; 1 is none, see `diffdemo.process.guidance`.
                - guidance_interval: (low, high), guided are steps with low < sigma <= high; "all" is everywhere.
                - guide: "no-class" or "weak-model", whose guess is the worse one.
                - spacing: "trailing" or "karras", see `NoiseSchedule.timesteps`.
                - eps_scale: 0.9 to 1.1, what guessed noise is divided by, see `diffdemo.process.diffusion.rescale_eps`.
                - eta of ddim, variance of ddpm.

        Raises:
            RequestError: a setting is out of range or unknown.
        """
        return self.run(self._checked(class_name, start, settings), start)

    def run(self, asked: SamplingRequest, start: tuple[Tensor, int] | None = None) -> Iterator[Step]:
        """Denoise what `request` has checked, and yield every `Step`, whose `nfe` counts what guidance takes, too."""
        noise = SeededNoise(asked.seeds, self.shape, self.device)
        predict = Predictor(self, asked)
        # The seeds' first draw is taken even if unused: it may be the very noise that is in x_t.
        x_t, first = noise(), None
        if start is not None:
            x_t, first = start[0].to(self.device), int(start[1])
        schedule = self.diffusion.schedule
        steps = SAMPLERS[asked.sampler](predict, x_t, schedule, asked.steps, noise, first, **asked.options)
        while True:
            with torch.inference_mode():  # not around the yield: it would stay switched on in the caller
                step = next(steps, None)
            if step is None:
                return
            yield replace(step, nfe=predict.nfe, guide_nfe=predict.guide_nfe)

    def _checked(self, class_name, start: tuple[Tensor, int] | None, settings: dict) -> SamplingRequest:
        if start is None:
            return self.request(class_name, **settings)
        x_t, t = start
        t = validate.whole_number("t", t, 0, self.diffusion.schedule.steps - 1)
        asked = self.request(class_name, most=t + 1, **settings)
        if tuple(x_t.shape) != (wanted := (len(asked.seeds), *self.shape)):
            raise validate.RequestError(
                f"A run of {self.key} starts with states {wanted}, one a seed, not {tuple(x_t.shape)}."
            )
        return asked

    def predict_x0(self, x_t: Tensor, steps: Tensor, label: Tensor) -> Tensor:
        """The network's own guess of x0, (N, *shape), without guidance and bounds.

        Args:
            x_t: (N, *shape).
            steps: (N,) long, 0 to T - 1.
            label: (N,) long, indices of `classes`; their number stands for no class.
        """
        with autocast(self.device, self.precision):
            return self.diffusion.denoise(self._denoiser, x_t, steps, label)


class Predictor:
    """What a sampler is given: `predict(x_t, t)` of a request, guided as it asks for.

    Attributes:
        nfe: network evaluations for each image so far, those of the worse guess among them.
        guide_nfe: those of the worse guess.
    """

    def __init__(self, generator: Generator, asked: SamplingRequest):
        self.generator, self.guidance = generator, asked.guidance
        self._schedule = generator.diffusion.schedule
        null, classes = len(generator.classes), generator.classes
        labels = [null if name == ANY else classes.index(name) for name in asked.classes]
        self._label = torch.tensor(labels, device=generator.device)
        self._nothing = torch.full_like(self._label, null)
        self._guided, self._eps_scale = asked.guided, asked.eps_scale
        self.nfe = self.guide_nfe = 0

    def __call__(self, x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """(x0, eps), shaped like x_t, (N, *shape), at the training step t."""
        steps = torch.full((len(x_t),), t, device=x_t.device)
        sigma = float(self._schedule.sigma[t])
        guided = self._guided and self.guidance.at(sigma) != 1
        self.nfe += 1 + guided
        self.guide_nfe += guided
        x0, alpha_bar = self.guess(x_t, steps, guided), self.generator.diffusion.alpha_bar(steps, x_t)
        if self._eps_scale != 1 and sigma <= EPS_SCALED_UP_TO:
            x0 = rescale_eps(x_t, x0, alpha_bar, self._eps_scale)
        x0 = self.generator.bound(x0)
        return x0, eps_from_x0(x_t, x0, alpha_bar)

    def guess(self, x_t: Tensor, steps: Tensor, guided: bool) -> Tensor:
        """x0, shaped like x_t, (N, *shape), at the training steps, (N,), before it is kept within bounds."""
        generator = self.generator
        if not guided:
            return generator.predict_x0(x_t, steps, self._label)
        if self.guidance.guide == WEAK_MODEL:
            weak = generator.guide.predict_x0(x_t, steps, self._label)
            return self.guidance.combine(generator.predict_x0(x_t, steps, self._label), weak)
        labels = torch.cat([self._label, self._nothing])
        both = generator.predict_x0(torch.cat([x_t, x_t]), torch.cat([steps, steps]), labels)
        return self.guidance.combine(*both.chunk(2))
