"""Train a UNet on pictures: `python -m train.unet --model attention_unet --out runs/attention`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from diffdemo.description import read_info
from diffdemo.errors import TrainingError
from diffdemo.models.settings.unet import UNetConfig
from diffdemo.registry import SPECS, spec
from train.flags import flag, named, of_size, run_command, whole_numbers
from train.loop.data import load_data, of_classes
from train.loop.progress import drawing
from train.loop.resume import locked
from train.loop.run import resolve, set_up_process, train
from train.loop.settings import Settings
from train.tasks.denoising import FIXED_BY_WEIGHTS, DiffusionOptions, how_to_sample, make_task
from train.tasks.recipes import reference_recipe
from train.tasks.samples import draw_summary

MODELS = [model.key for model in SPECS.values() if model.config_type is UNetConfig]
SHAPE = ("blocks_per_level", "patch_size", "middle_attention", "num_heads", "time_embedding_dim")


@dataclass(frozen=True)
class Options(DiffusionOptions):
    """What only a UNet's training has; settings of the network that are left out are those of --size."""

    model: str = flag("attention_unet", f"One of {', '.join(MODELS)}.")
    channels: str | None = of_size("Width of each level, finest first, such as 64,128,128.")
    blocks_per_level: int | None = of_size("Residual blocks of each level.")
    patch_size: int | None = of_size("1, 2 or 4: pictures enter as patches of so many pixels a side.")
    attention_levels: str | None = of_size(
        "Levels with self-attention, counted from 0, such as 1,2; none, or nothing, for no level.", may_be_empty=True
    )
    middle_attention: bool | None = of_size("Self-attention in the middle, where the picture is smallest.")
    num_heads: int | None = of_size("Attention heads; they must divide the channels where attention is.")
    time_embedding_dim: int | None = of_size("Width of the time and class embedding.")

    fixed_by_weights: ClassVar[set[str]] = FIXED_BY_WEIGHTS | {"channels", "attention_levels", *SHAPE}

    def network_settings(self) -> dict:
        """The settings of the network that were named."""
        chosen = super().network_settings() | named(self, *SHAPE)
        if self.channels is not None:
            chosen["channels"] = whole_numbers("--channels", self.channels)
        if self.attention_levels is not None:
            levels = "" if self.attention_levels == "none" else self.attention_levels
            chosen["attention_levels"] = whole_numbers("--attention-levels", levels, "levels such as 1,2, or none")
        return chosen


def main(options: Options, settings: Settings, given: set[str]) -> None:
    """Train one of the UNets, and leave a checkpoint that the demo can use.

    For example, in a quarter of an hour on two CPU cores:

        python -m train.unet --model attention_unet --max-minutes 15 --compile --out runs/attention
    """
    options, settings = resolve(options, settings, given, reference_recipe(options.model, options))
    group = set_up_process(options)
    if options.init_from and "model" not in given:
        options = replace(options, model=read_info(Path(options.init_from)).key)
    if options.model not in MODELS:
        raise TrainingError(f"train.unet does not train {options.model}; choose one of: {', '.join(MODELS)}.")
    options.network_settings()  # a wrong width is said before any data is read
    everything, facts = load_data(options, settings.out)
    data = of_classes(everything, spec(options.model).classes)
    torch.manual_seed(settings.seed)
    with locked(settings.out):
        task = make_task(options.model, options, data[0].classes, given)
        network = train(task, options, settings, data, facts, group)
        with drawing():
            draw_summary(settings.out, network, task.info({}), data[1])
    print(how_to_sample(settings.out, task))


if __name__ == "__main__":
    run_command(main, Options, Settings)
