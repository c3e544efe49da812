"""The settings of a run: those the page opens with, those of a link, and the request that they make."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from urllib.parse import urlencode

from diffdemo import validate
from diffdemo.errors import DiffdemoError
from diffdemo.generator import Generator
from diffdemo.process.guidance import number
from diffdemo.request import ANY, SamplingRequest
from diffdemo.ui.runs.zoo import ModelZoo

MOST_IMAGES = 8
FAVOURITE, FIRST_CLASS, FIRST_SEED, FIRST_COUNT = "attention_unet", "horse", "7", 4
TAB = "generate"  # that a link opens if it names no other


@dataclass(frozen=True)
class Settings:
    """What is asked of one model, as the page's fields, a client or a link say it; `request` checks it.

    Attributes:
        model: key of a model of the page.
        seed: of the first image; the others have the seeds after it.
        count: of images.
        guidance, interval, guide: scale, interval and guide of `diffdemo.process.guidance.Guidance`. The last two may
            be left out for the checkpoint's own; of the others, None is a field that was emptied.
    """

    model: str
    class_name: str | None
    steps: object
    sampler: str | None
    guidance: object
    seed: object = FIRST_SEED
    count: object = FIRST_COUNT
    interval: str | None = None
    guide: str | None = None

    @classmethod
    def of(cls, zoo: ModelZoo, model: str, **named: object) -> "Settings":
        """A good class and the checkpoint's own defaults, in place of what is not named or None."""
        info = zoo[model].info
        own = {
            "class_name": first_class(zoo, model),
            "steps": info.defaults["steps"],
            "sampler": info.defaults["sampler"],
            "guidance": info.guidance.scale if can_be_guided(zoo[model]) else 1,
            "interval": info.guidance.interval_text,
            "guide": info.guidance.guide,
        }
        return cls(model, **own | {name: value for name, value in named.items() if value is not None})

    @classmethod
    def of_request(cls, model: str, asked: SamplingRequest) -> "Settings":
        """Those that make this request again, with the seed as text, because JavaScript's numbers end at 2^53."""
        how = {"interval": asked.guidance.interval_text, "guide": asked.guidance.guide}
        noise = {"seed": str(asked.seeds[0]), "count": len(asked.seeds)}
        return cls(model, asked.class_name, asked.steps, asked.sampler, asked.guidance.scale, **noise, **how)

    def request(self, model: Generator) -> SamplingRequest:
        """What the model is to draw; RequestError says which of the settings is wrong."""
        return model.request(
            self.class_name or ANY,
            steps=_typed(self.steps),
            sampler=_typed(self.sampler),
            guidance_scale=_typed(self.guidance),
            guidance_interval=self.interval or None,
            guide=self.guide or None,
            seeds=validate.consecutive_seeds(self.seed, self.count, MOST_IMAGES),
        )

    def wishing(self, zoo: ModelZoo, wished: Mapping[str, object]) -> "Settings":
        """With what is wished for by name, as far as the model can take it."""
        settings = self
        for name, value in wished.items():
            asked = replace(settings, **{name: value})
            with suppress(DiffdemoError):
                asked.request(zoo[self.model])
                settings = asked
        return settings

    def checked(self, zoo: ModelZoo) -> "Settings":
        """The same, each in its own type and filled in; RequestError says which of them is wrong."""
        return Settings.of_request(self.model, self.request(zoo[self.model]))

    def texts(self) -> dict[str, object]:
        """Each by its name, the guidance as text that loses nothing; of checked settings."""
        return {**vars(self), "guidance": number(self.guidance)}


NAMES = [field.name for field in fields(Settings)]
# What a link calls each setting.
IN_A_LINK = {{"class_name": "class", "count": "images"}.get(name, name): name for name in NAMES}
POINTS = ("point", "from", "to")  # of the latent map: the chosen one, and the ends of the way
OF_ONE_TAB = ("t", "draws", *POINTS)  # what else a link may have


def _typed(value: object) -> object:
    """What a field holds; nothing, where it was emptied, is not the checkpoint's own value."""
    return "" if value is None else value


def first_class(zoo: ModelZoo, *keys: str) -> str:
    """A good class that all of these models know."""
    classes = zoo.classes(*keys)
    return FIRST_CLASS if FIRST_CLASS in classes else classes[-1]


def can_be_guided(model: Generator) -> bool:
    """Whether there is anything to guide a model with: its classes, or a weaker version of it."""
    return bool(model.classes or model.guide)


def link(settings: Settings, **more: object) -> str:
    """The part of an address, from "?" on, that opens the page with these settings, which are checked.

    More is what else is in it: the `tab`, if it is another, and what only that has.
    """
    texts = settings.texts()
    return "?" + urlencode(more | {name: texts[setting] for name, setting in IN_A_LINK.items()})


def linked(
    zoo: ModelZoo, query: Mapping[str, str], tab: str = TAB, own: tuple[str, ...] = (), **fixed: object
) -> Settings | None:
    """The checked settings that a link's query asks for; None if it names none, or is for another tab than this.

    `own` are names of others that the tab has, and what is fixed, by name, is no matter of the link.

    What the link leaves out is as on the page when it opens with that model; what is no setting is passed over.

    Raises:
        RequestError: a setting is out of range or unknown.
    """
    asked = {setting: query[name] for name, setting in IN_A_LINK.items() if name in query}
    if query.get("tab", TAB) != tab or not (asked or any(name in query for name in own)):
        return None
    return Settings.of(zoo, **{"model": zoo.pick(FAVOURITE), **asked, **fixed}).checked(zoo)
