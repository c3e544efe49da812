"""Runs that are worth looking at, one click each."""

from dataclasses import dataclass

from diffdemo.process.guidance import EVERYWHERE
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.zoo import ANY, ModelZoo

MOST = 6  # on the page


@dataclass(frozen=True)
class Example:
    """A run and what the page calls it."""

    name: str
    settings: Settings


EXAMPLES = (
    Example("Ships in 16 steps", Settings("attention_unet", "ship", 16, "dpmpp", 2.0, "2")),
    Example("The same without guidance", Settings("attention_unet", "ship", 16, "dpmpp", 1.0, "2")),
    Example("Far too much of it", Settings("attention_unet", "ship", 16, "dpmpp", 8.0, "2", interval=EVERYWHERE)),
    Example("In only three steps", Settings("attention_unet", "ship", 3, "dpmpp", 2.0, "2")),
    Example("DDPM: new noise in every step", Settings("attention_unet", "ship", 100, "ddpm", 2.0, "2")),
    Example("Cats from 128 numbers", Settings("latent_diffusion", "cat", 50, "dpmpp", 4.0, "0")),
)


def examples(zoo: ModelZoo) -> list[Example]:
    """Those for which the models are there and know the class."""
    possible = [example for example in EXAMPLES if example.settings.model in zoo.keys]
    return [one for one in possible if one.settings.class_name in (ANY, *zoo[one.settings.model].classes)][:MOST]
