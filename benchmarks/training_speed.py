"""Training images per second: the naive way and ours, on the same network, in the same run.

    python -m benchmarks.training_speed [--seconds 20] [--rounds 3] [--model simple_unet] [--size small]
        [--batch-size 64] [--threads 0]

Naive is what a first script does: fp32 in NCHW, a DataLoader that decodes one picture at a time, an optimizer looping
over parameters, and `.item()` in every step. Ours is `train.loop` as it ships. They take turns, so that a machine
whose speed drifts treats both alike; the ratio is taken round by round.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch.utils.data import DataLoader
from torchvision import transforms

from diffdemo.data import CIFAR10_CLASSES, Dataset
from diffdemo.device import CALLS_BEFORE_RECORDING, choose_device
from diffdemo.process.diffusion import Diffusion
from diffdemo.process.schedule import NoiseSchedule
from diffdemo.registry import spec
from train.flags import run_app
from train.loop.settings import Settings
from train.loop.speed import flops_per_image, matmul_ceiling
from train.loop.trainer import Trainer
from train.tasks.denoising import DenoisingTask


def random_data(count: int = 4096) -> Dataset:
    """Pictures of noise: their content makes no difference to the speed."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Dataset(images, rng.integers(0, 10, count), CIFAR10_CLASSES, "noise")


def new_task(model: str, size: str) -> DenoisingTask:
    torch.manual_seed(0)
    diffusion = Diffusion(NoiseSchedule(), "edm", noise_levels="lognormal")
    return DenoisingTask(spec(model), spec(model).configure(size), diffusion, CIFAR10_CLASSES, 0.1)


class Naive:
    """The straightforward loop."""

    def __init__(self, task: DenoisingTask, data: Dataset, device: torch.device, batch_size: int):
        self.task, self.device = task, device
        self.task.to(device)
        self.network = self.task.network
        self.averaged = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-4, foreach=False)
        augment = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )
        pairs = [(augment, image, int(label)) for image, label in zip(data.images, data.labels, strict=True)]
        self.loader = DataLoader(pairs, batch_size, shuffle=True, collate_fn=_collate)
        self.random = torch.Generator(device).manual_seed(0)

    def steps(self):
        while True:
            for images, labels in self.loader:
                images, labels = images.to(self.device), labels.to(self.device)
                loss = self.task.loss(self.network, images, labels, self.random, True)
                self.optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
                self.optimizer.step()
                with torch.no_grad():
                    for name, parameter in self.network.named_parameters():
                        self.averaged[name].mul_(0.999).add_(parameter, alpha=0.001)
                loss.item()
                yield


def _collate(samples):
    images = torch.stack([augment(image) for augment, image, _ in samples])
    return images, torch.tensor([label for *_, label in samples])


class Ours:
    """The shipped loop, one step at a time."""

    def __init__(self, task: DenoisingTask, data: Dataset, device: torch.device, batch_size: int, **flags: bool):
        settings = Settings(Path(tempfile.gettempdir()), batch_size=batch_size, images=10**9, **flags)
        self.trainer = Trainer(task, settings, data, data, device)
        self.trainer.start()

    def steps(self):
        while True:
            self.trainer.train_step()
            yield

    def launching(self) -> float:
        """The share of a step on a GPU that is over when all of it is launched, 0 to 1, as a median of ten."""
        shares = []
        for _ in range(10):
            torch.cuda.synchronize()
            began = time.perf_counter()
            self.trainer.train_step()
            launched = time.perf_counter()
            torch.cuda.synchronize()
            shares.append((launched - began) / (time.perf_counter() - began))
        return statistics.median(shares)


def images_per_second(steps, seconds: float, batch_size: int) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        next(steps)
        count += 1
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count * batch_size / (time.perf_counter() - start)


def main(
    seconds: Annotated[float, typer.Option(help="How long each way trains in a round.")] = 20,
    rounds: Annotated[int, typer.Option(help="Of all ways, in turn.")] = 3,
    model: Annotated[str, typer.Option(help="Which UNet.")] = "simple_unet",
    size: Annotated[str, typer.Option(help="small, reference or tiny.")] = "small",
    batch_size: Annotated[int, typer.Option(help="Pictures in a step.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 is all of them.")] = 0,
) -> None:
    """Print images a second of each way to train, and their share of what a matrix product reaches."""
    if threads:
        torch.set_num_threads(threads)
    place, data = choose_device(device), random_data()
    ours = {"ours": {}, "ours, compiled": {"compile": True}}
    if place.type == "cuda":
        ours["ours, one graph"] = {"compile": True, "cuda_graph": True}
    ours = {name: Ours(new_task(model, size), data, place, batch_size, **flags) for name, flags in ours.items()}
    ways = {"naive": Naive(new_task(model, size), data, place, batch_size).steps()}
    ways |= {name: way.steps() for name, way in ours.items()}
    speeds = {name: [] for name in ways}
    for steps in ways.values():
        for _ in range(CALLS_BEFORE_RECORDING + 1):
            next(steps)  # the first steps compile and allocate
    for _ in range(rounds):
        for name, steps in ways.items():
            speeds[name].append(images_per_second(steps, seconds, batch_size))
    what = f"{model} ({size}), batch {batch_size}"
    print(f"{what}, {place}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}")
    for name, values in speeds.items():
        ratios = [value / naive for value, naive in zip(values, speeds["naive"], strict=True)]
        print(f"{name:15} {statistics.median(values):7.1f} images/s   {statistics.median(ratios):.2f} x naive")
        if place.type == "cuda" and name in ours:
            print(f"{'':15} {ours[name].launching():.0%} of a step is launching")
    fastest = list(ours)[-1]
    trainer = ours[fastest].trainer
    flops = flops_per_image(trainer.task, trainer.images[:8], trainer.labels[:8])
    ceiling = matmul_ceiling(place, trainer.precision)
    rate = flops * statistics.median(speeds[fastest])
    print(
        f"{fastest}: {rate / 1e12:.3g} TFLOP/s ({flops / 1e9:.3g} GFLOP an image), {rate / ceiling:.1%} of the "
        f"{ceiling / 1e12:.3g} that a matrix product reaches here in {trainer.precision}"
    )


if __name__ == "__main__":
    run_app(main)
