"""A checkpoint ready to denoise."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from diffdemo import validate
from diffdemo.checkpoint import CheckpointInfo, load_network
from diffdemo.device import choose_device
from diffdemo.diffusion import eps_from_x0
from diffdemo.samplers import SAMPLERS, SeededNoise, Step

BATCH = 64  # images denoised at once; bounds memory, and changes no picture


def to_images(pixels: Tensor) -> np.ndarray:
    """Float pictures (N, 3, H, W) in [-1, 1] to uint8 (N, H, W, 3); values outside are clipped."""
    scaled = (pixels.detach().float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().contiguous().numpy()


def to_pixels(images: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 pictures (N, H, W, 3) to float (N, 3, H, W) in [-1, 1]."""
    tensor = torch.as_tensor(np.asarray(images)).to(device)
    return tensor.permute(0, 3, 1, 2).float() / 127.5 - 1


class Generator:
    """A network, its noise schedule and its classes, behind one face.

    Args:
        network: takes (N, 3, H, W), steps (N,) and, if there are classes, labels (N,).
        info: what the checkpoint says of it.
        device: where to compute, see `diffdemo.device.choose_device`.
    """

    def __init__(self, network: nn.Module, info: CheckpointInfo, device: str | torch.device = "auto"):
        self.info = info
        self.device = choose_device(str(device))
        self.network = network.eval().to(self.device)
        if self.device.type != "mps":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.diffusion = info.build_diffusion().to(self.device)

    @classmethod
    def from_folder(cls, folder: str | Path, device: str | torch.device = "auto") -> "Generator":
        """Load and verify a checkpoint; CheckpointError says what is wrong with it."""
        chosen = choose_device(str(device))
        network, info = load_network(Path(folder))
        return cls(network, info, chosen)

    @property
    def key(self) -> str:
        return self.info.key

    @property
    def classes(self) -> tuple[str, ...]:
        return self.info.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one picture."""
        model = self.info.model
        return model["image_channels"], model["image_size"], model["image_size"]

    def sample(self, class_name: str | Sequence[str | None] | None = None, **settings) -> np.ndarray:
        """Draw pictures: (N, H, W, 3) uint8 in the order of `seeds`. Arguments and errors as for `denoise`."""
        seeds = validate.seeds(settings.pop("seeds", [0]))
        names = self._names(class_name, len(seeds))
        parts = [slice(start, start + BATCH) for start in range(0, len(seeds), BATCH)]
        # All runs are made, and so checked, before the first of them begins.
        runs = [self.denoise(names[part], seeds=seeds[part], **settings) for part in parts]
        # A deque of one forgets each step as the next one comes: a thousand of them would fill the memory.
        return np.concatenate([to_images(deque(run, maxlen=1)[0].x_prev) for run in runs])

    def denoise(
        self,
        class_name: str | Sequence[str | None] | None = None,
        *,
        steps: int | None = None,
        seeds: Sequence[int] = (0,),
        sampler: str | None = None,
        guidance_scale: float | None = None,
        **options,
    ) -> Iterator[Step]:
        """Denoise step by step, one image for each seed, and yield every `Step` with pixels in [-1, 1].

        Settings left out are the checkpoint's defaults. All of them are checked here and now, before the first step.

        Args:
            class_name: a class for all images, or one for each; None and "any" are no class.
            steps: 1 to the schedule's length (1000).
            seeds: whole numbers from 0 to 2^64 - 1; image k depends on seeds[k] alone, on any batch size.
            sampler: "ddpm", "ddim", "dpmpp" or "heun".
            guidance_scale: 0 to 20. With w, x0 = x0(no class) + w (x0(class) - x0(no class)), which is the
                classifier-free guidance of Ho and Salimans 2022 (https://arxiv.org/abs/2207.12598) counted so that 1
                is none.
            options: `eta` for ddim, `variance` for ddpm.

        Raises:
            RequestError: a setting is out of range or unknown.
        """
        defaults = self.info.defaults
        seeds = validate.seeds(seeds)
        labels = [validate.class_index(n, self.classes, self.key) for n in self._names(class_name, len(seeds))]
        count = validate.steps(defaults["steps"] if steps is None else steps, self.diffusion.schedule.steps)
        name = validate.choice("sampler", defaults["sampler"] if sampler is None else sampler, list(SAMPLERS))
        options = validate.sampler_options(name, options)
        if guidance_scale is None:
            guidance_scale = defaults["guidance_scale"]
        scale = validate.guidance_scale(guidance_scale, self.classes, self.key)
        return self._run(SAMPLERS[name], count, seeds, labels, scale, options)

    def _names(self, class_name: str | Sequence[str | None] | None, count: int) -> list[str | None]:
        if class_name is None or isinstance(class_name, str):
            return [class_name] * count
        if len(class_name) != count:
            raise validate.RequestError(f"There must be one class for each seed: {len(class_name)} for {count}.")
        return list(class_name)

    def _run(self, sampler, steps, seeds, labels, scale, options) -> Iterator[Step]:
        noise = SeededNoise(seeds, self.shape, self.device)
        predict = self._predictor(labels, scale)
        run = sampler(predict, noise(), self.diffusion.schedule, steps, noise, **options)
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
                both = self.diffusion.denoise(
                    self.network, torch.cat([x_t, x_t]), torch.cat([steps, steps]), torch.cat([label, nothing])
                )
                with_class, without = both.chunk(2)
                x0 = without + scale * (with_class - without)
            else:
                x0 = self.diffusion.denoise(self.network, x_t, steps, label)
            x0 = x0.clamp(-1, 1)
            return x0, eps_from_x0(x_t, x0, self.diffusion.alpha_bar(steps, x_t))

        return predict
