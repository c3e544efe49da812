"""Runs that are worth looking at, one click each."""

from dataclasses import dataclass

from diffdemo.process.guidance import EVERYWHERE
from diffdemo.ui.runs.zoo import ANY, ModelZoo

MOST = 6  # on the page


@dataclass(frozen=True)
class Example:
    """A name and the settings of a run, as `diffdemo.ui.runs.settings.start` takes them."""

    name: str
    model: str
    class_name: str
    steps: int
    sampler: str
    guidance: float
    seed: int
    count: int = 4
    interval: str | None = None  # the model's own

    @property
    def settings(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "name"}


EXAMPLES = (
    Example("Ships in 16 steps", "attention_unet", "ship", 16, "dpmpp", 2.0, 2),
    Example("The same without guidance", "attention_unet", "ship", 16, "dpmpp", 1.0, 2),
    Example("Far too much of it", "attention_unet", "ship", 16, "dpmpp", 8.0, 2, interval=EVERYWHERE),
    Example("In only three steps", "attention_unet", "ship", 3, "dpmpp", 2.0, 2),
    Example("DDPM: new noise in every step", "attention_unet", "ship", 100, "ddpm", 2.0, 2),
    Example("Cats from 128 numbers", "latent_diffusion", "cat", 50, "dpmpp", 4.0, 0),
)


def examples(zoo: ModelZoo) -> list[Example]:
    """Those for which the models are there and know the class."""
    possible = [example for example in EXAMPLES if example.model in zoo.keys]
    return [example for example in possible if example.class_name in (ANY, *zoo[example.model].classes)][:MOST]
