"""A link that brings back a comparison: its runs, the class and the noise that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from diffdemo import validate
from diffdemo.process.guidance import number
from diffdemo.ui.runs.comparisons import FEWEST, NAMES, PAIR, start
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import FIRST_COUNT, FIRST_SEED, first_settings_of
from diffdemo.ui.runs.zoo import ModelZoo

TAB = "compare"
# Of one run; in a link with "_a", "_b", ... after them.
SETTINGS = ("model", "steps", "sampler", "guidance", "interval", "guide")
SHARED = ("class", "seed", "images", "linked")
IN_A_LINK = [*SHARED, *(f"{setting}_{name.lower()}" for name in NAMES for setting in SETTINGS)]
YES, NO = "yes", "no"


@dataclass(frozen=True)
class Comparison:
    """The settings of a comparison, checked; `sides` are as `start` takes them, see SETTINGS."""

    class_name: str
    seed: str
    count: int
    linked: bool
    sides: list[tuple]


def link(lanes: Sequence[SamplingRun], linked: bool) -> str:
    """The part of an address, from "?" on, that opens the page with these runs; `linked`: on the same noise."""
    shared = (lanes[0].settings["class_name"], lanes[0].seeds[0], len(lanes[0].seeds), YES if linked else NO)
    query = {"tab": TAB, **dict(zip(SHARED, shared, strict=True))}
    for name, lane in zip(NAMES, lanes, strict=False):
        asked = lane.settings
        asked = {"model": lane.model.key, **asked, "guidance": number(asked["guidance"])}
        query |= {f"{setting}_{name.lower()}": asked[setting] for setting in SETTINGS}
    return "?" + urlencode(query)


def asked_for(zoo: ModelZoo, query: Mapping[str, str]) -> Comparison | None:
    """The comparison that a link's query asks for; None if it is for another tab or names no setting.

    What the link leaves out is as on the page when it opens, or as with the model that it names.

    Raises:
        RequestError: a setting is out of range or unknown.
    """
    if query.get("tab") != TAB or not any(name in query for name in IN_A_LINK):
        return None
    named = [place for place, name in enumerate(NAMES) if any(f"{s}_{name.lower()}" in query for s in SETTINGS)]
    runs = max(FEWEST, 1 + max(named, default=0))
    sides = [_side(zoo, query, place) for place in range(runs)]
    possible = zoo.classes(*(model for model, *_ in sides))
    usual = first_settings_of(zoo, sides[-1][0])["class_name"]
    class_name = query.get("class", usual if usual in possible else possible[0])
    linked = validate.choice("answer", query.get("linked", YES), (YES, NO)) == YES
    seed, count = query.get("seed", FIRST_SEED), query.get("images", FIRST_COUNT)
    lanes = start(zoo, class_name, seed, count, linked, *sides)
    checked = [(lane.model.key, *(lane.settings[setting] for setting in SETTINGS[1:])) for lane in lanes]
    return Comparison(lanes[0].settings["class_name"], str(lanes[0].seeds[0]), len(lanes[0].seeds), linked, checked)


def _side(zoo: ModelZoo, query: Mapping[str, str], place: int) -> tuple:
    asked = {setting: query.get(f"{setting}_{NAMES[place].lower()}") for setting in SETTINGS}
    model = asked["model"] or zoo.pick(PAIR[min(place, 1)])
    defaults = {"model": model, **first_settings_of(zoo, model)}
    return tuple(defaults[setting] if asked[setting] is None else asked[setting] for setting in SETTINGS)
