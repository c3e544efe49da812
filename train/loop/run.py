"""From a script's flags to a trained network: what every training script does around its own model."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffdemo.checkpoint import parameter_count
from diffdemo.data import Dataset
from diffdemo.device import choose_device, peak_memory, warn_if_slow
from diffdemo.errors import TrainingError
from train.flags import flag
from train.loop.distributed import ALONE, Group, join
from train.loop.resume import remember, settings_of
from train.loop.settings import Settings
from train.loop.speed import describe
from train.loop.task import Task
from train.loop.trainer import Trainer


@dataclass(frozen=True)
class RunOptions:
    """Where and on what a run trains: flags of every training script, to be inherited by its own."""

    data: Path = flag(Path("data"), "Data folder: a cache, torchvision's files, or a folder of class folders.")
    device: str = flag("auto", "auto, cpu, cuda or mps.")
    threads: int = flag(0, "CPU threads; 0 is all of them.")
    resume: bool = flag(False, "Go on exactly where the run in --out was saved last, with its own flags.")
    epochs: int = flag(0, "End after so many epochs, in place of --images; 0 is not used.")

    def __post_init__(self):
        for name in ("threads", "epochs"):
            if getattr(self, name) < 0:
                raise TrainingError(f"--{name} must be 0 or more, not {getattr(self, name)}.")


def resolve(options: Any, settings: Settings, given: set[str], recipe: dict[str, object]) -> tuple[Any, Settings]:
    """The settings to train with: the run's own if it is resumed, else the recipe's where no flag was named.

    Raises:
        TrainingError: the folder cannot be resumed, or would be overwritten, or two flags contradict each other.
    """
    if options.epochs and {"images", "epochs"} <= given:
        raise TrainingError("--images and --epochs both say when the run ends; name one of them.")
    options, settings = settings_of(options, settings, given)
    return (options, settings) if options.resume else with_recipe(options, settings, given, recipe)


def set_up_process(options: RunOptions) -> Group:
    """Give this process its threads and its device, and let it meet those that train with it; once, before any data.

    Raises:
        RequestError: there is no such device; TrainingError: it cannot be shared out.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # the batches of a run have one shape
    return join(device)


def with_recipe(options: Any, settings: Settings, given: set[str], recipe: dict[str, object]) -> tuple[Any, Settings]:
    """Fill in a recipe, {flag: value}, except for the flags that were named."""
    wanted = {name: value for name, value in recipe.items() if name not in given}
    if "images" in given:
        wanted.pop("epochs", None)
    return tuple(
        replace(part, **{f.name: wanted[f.name] for f in fields(part) if f.name in wanted})
        for part in (options, settings)
    )


def train(
    task: Task, options: Any, settings: Settings, data: tuple[Dataset, Dataset], facts: dict, group: Group = ALONE
) -> nn.Module:
    """Train to the end of the budget, in a folder that `train.loop.resume.locked` keeps to this process.

    `data` is what is trained and validated on, and `facts` describe the data set that it was made of: see `load_data`.
    Returns the averaged network, in the first process of a `torchrun`; the others end here.
    """
    train_data, val_data = data
    if options.epochs:
        settings = replace(settings, images=options.epochs * len(train_data))
    device = choose_device(options.device)
    trainer = Trainer(task, settings, train_data, val_data, device, options.resume, group)
    if group.first:
        if settings.precision != type(settings).precision:
            warn_if_slow(settings.precision, device)
        task.command = remember(options, settings, facts)
        processes = f", {group.size} processes" if group.size > 1 else ""
        count = f"{parameter_count(task.network):,} parameters"
        print(f"{task.info({}).key}: {count} on {train_data.source}, {trainer.precision}{processes}.")
    trainer.run()
    group.leave()
    seen, minutes = f"{trainer.images_seen:,} images", f"{trainer.seconds / 60:.1f} minutes"
    print(f"{seen} in {minutes}, at most {peak_memory(trainer.device):,} MiB of memory at once.")
    if device.type != "cpu":  # where counting would take as long as a short run
        print(describe(trainer))
    return trainer.shipped.module
