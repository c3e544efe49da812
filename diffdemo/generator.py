"""A checkpoint ready to denoise."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from diffdemo import validate
from diffdemo.checkpoint import CheckpointInfo, load_network
from diffdemo.device import autocast, choose_device
from diffdemo.diffusion import eps_from_x0
from diffdemo.errors import CheckpointError
from diffdemo.samplers import SAMPLERS, SeededNoise, Step
from diffdemo.schedule import SPACINGS

BATCH = 64  # images denoised at once; bounds memory, and changes pictures by rounding at most


def to_images(pixels: Tensor) -> np.ndarray:
    """Float pictures (N, 3, H, W) in [-1, 1] to uint8 (N, H, W, 3); values outside are clipped."""
    scaled = (pixels.detach().float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().contiguous().numpy()


def to_pixels(images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 pictures (N, H, W, 3) to float (N, 3, H, W) in [-1, 1]."""
    # copied, because the pictures of a data set are a memory map that PyTorch must not write to
    tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    return tensor.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


class Generator:
    """A network that denoises pictures, its noise schedule and its classes, behind one face.

    Models of other spaces have the same face: see `for_network`, which picks the right kind.

    Args:
        network: takes (N, 3, H, W), steps (N,) and, if there are classes, labels (N,).
        info: what the checkpoint says of it.
        device: where to compute, see `diffdemo.device.choose_device`.
        precision: "fp32", or "bf16" and "fp16" to evaluate the network faster and less exactly.
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
        self.precision = validate.choice("precision", precision, ("fp32", "bf16", "fp16"))
        self.network = network.eval().to(self.device)
        if self.device.type != "mps":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.compiled = compile
        self._denoiser = torch.compile(self.network) if compile else self.network
        self.diffusion = info.build_diffusion().to(self.device)

    @staticmethod
    def for_network(
        network: nn.Module,
        info: CheckpointInfo,
        device: str | torch.device = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ) -> "Generator":
        """The generator for the space in which this network denoises."""
        from diffdemo.latent_generator import LatentGenerator

        kind = LatentGenerator if info.spec.space == "latents" else Generator
        return kind(network, info, device, precision, compile)

    @staticmethod
    def from_folder(
        folder: str | Path, device: str | torch.device = "auto", precision: str = "fp32", compile: bool = False
    ) -> "Generator":
        """Load and verify a checkpoint; CheckpointError says what is wrong with it."""
        chosen = choose_device(str(device))
        network, info = load_network(Path(folder))
        return Generator.for_network(network, info, chosen, precision, compile)

    def load(self, folder: str | Path) -> None:
        """Go on with the weights of another checkpoint of the same network, which need not be compiled again.

        Raises:
            CheckpointError: it is damaged, or of another network.
        """
        network, info = load_network(Path(folder))
        if (info.key, info.model, info.diffusion) != (self.info.key, self.info.model, self.info.diffusion):
            raise CheckpointError(f"{folder} holds another network than the {self.key} that is loaded.")
        self.network.load_state_dict(network.state_dict())
        self.info = info

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

    def sample(self, class_name: str | Sequence[str | None] | None = None, **settings) -> np.ndarray:
        """Draw pictures: (N, H, W, 3) uint8 in the order of `seeds`. Arguments and errors as for `denoise`."""
        seeds, start = validate.seeds(settings.pop("seeds", [0])), settings.pop("start", None)
        names = self._names(class_name, len(seeds))
        if start is not None:
            self._checked(start, len(seeds))
        parts = [slice(start, start + BATCH) for start in range(0, len(seeds), BATCH)]
        # All runs are made, and so checked, before the first of them begins.
        runs = [
            self.denoise(names[part], seeds=seeds[part], start=start and (start[0][part], start[1]), **settings)
            for part in parts
        ]
        # A deque of one forgets each step as the next one comes: a thousand of them would fill the memory.
        return np.concatenate([self.images(deque(run, maxlen=1)[0].x_prev) for run in runs])

    def denoise(
        self,
        class_name: str | Sequence[str | None] | None = None,
        *,
        steps: int | None = None,
        seeds: Sequence[int] = (0,),
        sampler: str | None = None,
        guidance_scale: float | None = None,
        start: tuple[Tensor, int] | None = None,
        spacing: str | None = None,
        **options,
    ) -> Iterator[Step]:
        """Denoise step by step, one image for each seed, and yield every `Step`; `images` makes pictures of its states.

        Settings left out are the checkpoint's defaults. All of them are checked here and now, before the first step.

        Args:
            class_name: a class for all images, or one for each; None and "any" are no class.
            steps: 1 to the schedule's length (1000), or to t + 1 with a `start` at t.
            seeds: whole numbers from 0 to 2^64 - 1; image k depends on seeds[k] alone, and on
                how many others it is drawn with no more than rounding does.
            sampler: "ddpm", "ddim", "dpmpp" or "heun".
            guidance_scale: 0 to 20. With w, x0 = x0(no class) + w (x0(class) - x0(no class)), which is the
                classifier-free guidance of Ho and Salimans 2022 (https://arxiv.org/abs/2207.12598) counted so that 1
                is none.
            start: (x_t, t) to start there and not with noise at T - 1: states (N, *shape), one for each seed, at the
                training step t, 0 to T - 1; see `diffdemo.forward`. What a sampler draws later comes from the seeds.
            spacing: "trailing" or "karras", see `NoiseSchedule.timesteps`.
            options: `eta` for ddim, `variance` for ddpm.

        Raises:
            RequestError: a setting is out of range or unknown.
        """
        self.require_denoiser()
        defaults = self.info.defaults
        seeds = validate.seeds(seeds)
        labels = [validate.class_index(n, self.classes, self.key) for n in self._names(class_name, len(seeds))]
        most = self.diffusion.schedule.steps
        if start is not None:
            most = 1 + self._checked(start, len(seeds))
        count = min(defaults["steps"], most) if steps is None else validate.steps(steps, most)
        name = validate.choice("sampler", defaults["sampler"] if sampler is None else sampler, list(SAMPLERS))
        spacing = validate.choice("spacing", self.info.spacing if spacing is None else spacing, SPACINGS)
        options = validate.sampler_options(name, options) | {"spacing": spacing}
        if guidance_scale is None:
            guidance_scale = defaults["guidance_scale"]
        scale = validate.guidance_scale(guidance_scale, self.classes, self.key)
        return self._run(SAMPLERS[name], count, seeds, labels, scale, start, options)

    def _checked(self, start: tuple[Tensor, int], count: int) -> int:
        x_t, t = start
        if tuple(x_t.shape) != (count, *self.shape):
            raise validate.RequestError(
                f"A run of {self.key} starts with states {(count, *self.shape)}, one a seed, not {tuple(x_t.shape)}."
            )
        return validate.whole_number("t", t, 0, self.diffusion.schedule.steps - 1)

    def _names(self, class_name: str | Sequence[str | None] | None, count: int) -> list[str | None]:
        if class_name is None or isinstance(class_name, str):
            return [class_name] * count
        if len(class_name) != count:
            raise validate.RequestError(f"There must be one class for each seed: {len(class_name)} for {count}.")
        return list(class_name)

    def _run(self, sampler, steps, seeds, labels, scale, start, options) -> Iterator[Step]:
        noise = SeededNoise(seeds, self.shape, self.device)
        predict = self._predictor(labels, scale)
        # The seeds' first draw is taken even if unused: it may be the very noise that is in x_t.
        x_t, first = noise(), None
        if start is not None:
            x_t, first = start[0].to(self.device), int(start[1])
        run = sampler(predict, x_t, self.diffusion.schedule, steps, noise, first, **options)
        while True:
            with torch.inference_mode():  # not around the yield: it would stay switched on in the caller
                step = next(run, None)
            if step is None:
                return
            yield step

    def _predictor(self, labels: list[int | None], scale: float):
        null = len(self.classes)
        label = torch.tensor([null if k is None else k for k in labels], device=self.device)
        nothing = torch.full_like(label, null)
        guided = scale != 1 and bool((label != nothing).any())

        def predict(x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
            steps = torch.full((len(x_t),), t, device=self.device)
            if guided:
                both = self.predict_x0(torch.cat([x_t, x_t]), torch.cat([steps, steps]), torch.cat([label, nothing]))
                with_class, without = both.chunk(2)
                x0 = without + scale * (with_class - without)
            else:
                x0 = self.predict_x0(x_t, steps, label)
            x0 = self.bound(x0)
            return x0, eps_from_x0(x_t, x0, self.diffusion.alpha_bar(steps, x_t))

        return predict

    def predict_x0(self, x_t: Tensor, steps: Tensor, label: Tensor) -> Tensor:
        """The network's own guess of x0, (N, *shape), without guidance and bounds.

        Args:
            x_t: (N, *shape).
            steps: (N,) long, 0 to T - 1.
            label: (N,) long, indices of `classes`; their number stands for no class.
        """
        with autocast(self.device, self.precision):
            return self.diffusion.denoise(self._denoiser, x_t, steps, label)
