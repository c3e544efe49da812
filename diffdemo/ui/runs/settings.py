"""The settings of a run: those the page opens with, those of a link, and their check."""

from collections.abc import Mapping
from urllib.parse import urlencode

from diffdemo import validate
from diffdemo.generator import Generator
from diffdemo.process.guidance import number
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.stream import MOST_IMAGES
from diffdemo.ui.runs.zoo import ModelZoo

FAVOURITE, FIRST_CLASS, FIRST_SEED, FIRST_COUNT = "attention_unet", "horse", "7", 4
TAB = "generate"  # that a link opens if it names no other
# What a link calls each setting; the order is that of `start`.
IN_A_LINK = {
    "model": "model",
    "class": "class_name",
    "steps": "steps",
    "sampler": "sampler",
    "guidance": "guidance",
    "seed": "seed",
    "images": "count",
    "interval": "interval",
    "guide": "guide",
}


def first_class(zoo: ModelZoo, *keys: str) -> str:
    """A good class that all of these models know."""
    classes = zoo.classes(*keys)
    return FIRST_CLASS if FIRST_CLASS in classes else classes[-1]


def first_settings_of(zoo: ModelZoo, key: str) -> dict:
    """A good class and the checkpoint's own defaults."""
    info = zoo[key].info
    guidance = info.guidance
    return {
        "class_name": first_class(zoo, key),
        "steps": info.defaults["steps"],
        "sampler": info.defaults["sampler"],
        "guidance": guidance.scale if can_be_guided(zoo[key]) else 1,
        "interval": guidance.interval_text,
        "guide": guidance.guide,
    }


def can_be_guided(model: Generator) -> bool:
    """Whether there is anything to guide a model with: its classes, or a weaker version of it."""
    return bool(model.classes or model.guide)


def filled_in(
    zoo: ModelZoo, model: str, class_name=None, steps=None, sampler=None, guidance=None, interval=None, guide=None
) -> dict:
    """These settings, with those of `first_settings_of` the model in place of None."""
    asked = {"class_name": class_name, "steps": steps, "sampler": sampler, "guidance": guidance}
    asked |= {"interval": interval, "guide": guide}
    return first_settings_of(zoo, model) | {name: value for name, value in asked.items() if value is not None}


def start(
    zoo: ModelZoo,
    model: str,
    class_name: str | None,
    steps,
    sampler: str,
    guidance,
    seed,
    count,
    interval=None,
    guide=None,
) -> SamplingRun:
    """A checked run of these settings; RequestError says which of them is wrong."""
    seeds = validate.consecutive_seeds(seed, count, MOST_IMAGES)
    return SamplingRun.start(zoo[model], class_name, steps, sampler, guidance, interval, guide, seeds=seeds)


def link(lane: SamplingRun) -> str:
    """The part of an address, from "?" on, that opens the page with the settings of this run."""
    settings = settings_of(lane)
    return "?" + urlencode({name: settings[setting] for name, setting in IN_A_LINK.items()})


def settings_of(lane: SamplingRun) -> dict:
    """What `start` must be given to repeat a run; the guidance as text that loses nothing."""
    asked = {**lane.settings, "guidance": number(lane.settings["guidance"])}
    return {"model": lane.model.key, **asked, "seed": lane.seeds[0], "count": len(lane.seeds)}


def linked(zoo: ModelZoo, query: Mapping[str, str]) -> dict | None:
    """The settings that a link's query asks for, ready for `start`; None if it names none, or is for another tab.

    What the link leaves out is as on the page when it opens with that model; what is no setting is passed over.

    Raises:
        RequestError: a setting is out of range or unknown.
    """
    asked = {setting: query[name] for name, setting in IN_A_LINK.items() if name in query}
    if not asked or query.get("tab", TAB) != TAB:
        return None
    model = asked.get("model", zoo.pick(FAVOURITE))
    defaults = {"model": model, **first_settings_of(zoo, model), "seed": FIRST_SEED, "count": FIRST_COUNT}
    lane = start(zoo, **{**defaults, **asked})
    return {"model": model, **lane.settings, "seed": str(lane.seeds[0]), "count": len(lane.seeds)}
