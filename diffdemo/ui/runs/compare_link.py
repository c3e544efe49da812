"""A link that brings back a comparison: its runs, the class and the noise that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from diffdemo import validate
from diffdemo.ui.runs.comparisons import FEWEST, NAMES, PAIR, start
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import Settings, first_class
from diffdemo.ui.runs.zoo import ModelZoo

TAB = "compare"
# Of one run; in a link with "_a", "_b", ... after them.
OF_A_RUN = ("model", "steps", "sampler", "guidance", "interval", "guide")
SHARED = {"class": "class_name", "seed": "seed", "images": "count"}
IN_A_LINK = [*SHARED, "linked", *(f"{setting}_{name.lower()}" for name in NAMES for setting in OF_A_RUN)]
YES, NO = "yes", "no"


@dataclass(frozen=True)
class Comparison:
    """The checked settings of a comparison; the sides share their class, first seed and number of images."""

    sides: list[Settings]
    linked: bool


def link(lanes: Sequence[SamplingRun], linked: bool) -> str:
    """The part of an address, from "?" on, that opens the page with these runs; `linked`: on the same noise."""
    sides = [lane.settings.texts() for lane in lanes]
    query = {"tab": TAB, **{name: sides[0][setting] for name, setting in SHARED.items()}}
    query["linked"] = YES if linked else NO
    for name, side in zip(NAMES, sides, strict=False):
        query |= {f"{setting}_{name.lower()}": side[setting] for setting in OF_A_RUN}
    return "?" + urlencode(query)


def asked_for(zoo: ModelZoo, query: Mapping[str, str]) -> Comparison | None:
    """The comparison that a link's query asks for; None if it is for another tab or names no setting.

    What the link leaves out is as on the page when it opens, or as with the model that it names.

    Raises:
        RequestError: a setting is out of range or unknown.
    """
    if query.get("tab") != TAB or not any(name in query for name in IN_A_LINK):
        return None
    named = [place for place, name in enumerate(NAMES) if any(f"{s}_{name.lower()}" in query for s in OF_A_RUN)]
    sides = [_side(zoo, query, place) for place in range(max(FEWEST, 1 + max(named, default=0)))]
    shared = {setting: query[name] for name, setting in SHARED.items() if name in query}
    shared.setdefault("class_name", first_class(zoo, *(side.model for side in sides)))
    linked = validate.choice("answer", query.get("linked", YES), (YES, NO)) == YES
    lanes = start(zoo, [replace(side, **shared) for side in sides], linked)
    first = lanes[0].settings
    return Comparison([replace(lane.settings, seed=first.seed) for lane in lanes], linked)


def _side(zoo: ModelZoo, query: Mapping[str, str], place: int) -> Settings:
    asked = {setting: query.get(f"{setting}_{NAMES[place].lower()}") for setting in OF_A_RUN}
    return Settings.of(zoo, asked.pop("model") or zoo.pick(PAIR[min(place, 1)]), **asked)
