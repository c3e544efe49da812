"""Our networks in diffusers' hands: the same weights, driven by its schedulers in a pipeline of its own kind."""

from types import SimpleNamespace

import numpy as np
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler
from torch import Tensor, nn

from diffdemo.generator import Generator
from diffdemo.process.samplers import SeededNoise
from diffdemo.process.schedule import NoiseSchedule

SCHEDULERS = {
    "ddim": (DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": True}),
    "dpmpp": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "lower_order_final": False, "final_sigmas_type": "zero"},
    ),
}


def scheduler(sampler: str, schedule: NoiseSchedule) -> object:
    """diffusers' scheduler that does what our sampler of this name does, for networks that guess x0."""
    kind, options = SCHEDULERS[sampler]
    shared = {"timestep_spacing": "trailing", "prediction_type": "sample", "trained_betas": schedule.betas}
    return kind(num_train_timesteps=schedule.steps, **shared, **options)


class Adapter(nn.Module):
    """A generator's network, called as diffusers calls a UNet2DModel: (x_t, t) to an object whose `sample` is x0.

    Args:
        generator: whose network; nothing else of how it computes is taken over, and fp32 in NCHW is what remains.
        class_name: of all pictures, one of the generator's; None is no class.
    """

    def __init__(self, generator: Generator, class_name: str | None = None):
        super().__init__()
        self.generator = generator
        self.network = generator.network.to(memory_format=torch.contiguous_format)
        self.label = generator.classes.index(class_name) if class_name else len(generator.classes)

    def forward(self, sample: Tensor, timestep: Tensor) -> SimpleNamespace:
        steps = timestep.to(sample.device).expand(len(sample))
        labels = torch.full_like(steps, self.label)
        x0 = self.generator.diffusion.denoise(self.network, sample, steps, labels)
        return SimpleNamespace(sample=self.generator.bound(x0))


class Pipeline(DiffusionPipeline):
    """What diffusers' DDIMPipeline does, for any scheduler and from given noise."""

    def __init__(self, unet: Adapter, scheduler: object):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def __call__(self, seeds: list[int], num_inference_steps: int) -> np.ndarray:
        """Pictures (N, H, W, 3) uint8 of the noise that these seeds are for our samplers."""
        generator = self.unet.generator
        image = SeededNoise(seeds, generator.shape, generator.device)() * self.scheduler.init_noise_sigma
        self.scheduler.set_timesteps(num_inference_steps)
        for t in self.progress_bar(self.scheduler.timesteps):
            guess = self.unet(self.scheduler.scale_model_input(image, t), t).sample
            image = self.scheduler.step(guess, t, image).prev_sample
        return generator.images(image)
