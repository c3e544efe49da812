"""What the Compare tab says of several runs: the tables, the pictures of two of them and their difference."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import gradio as gr

from diffdemo import CHECKPOINTS, validate
from diffdemo.errors import RequestError
from diffdemo.measure.difference import compare
from diffdemo.records.measured import Figure, measured, number
from diffdemo.records.quality_curves import FIGURES, measured_as, measured_at
from diffdemo.records.tables import markdown, plain
from diffdemo.ui.components.sheet import rows_of
from diffdemo.ui.runs import zero_gpu
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.zoo import ANY, ModelZoo, title

NAMES = ("A", "B", "C", "D")
PAIR = ("simple_unet", "attention_unet")  # that the tab opens with
FEWEST = 2
# Of a checkpoint's figures those that the short table has, in plain words, and how they are written.
IN_SHORT = {
    "class_agreement": ("pictures of what was asked for", lambda share: f"{share:.0%}"),
    "frechet_distance": ("Fréchet distance to real pictures, less is better", "{:.2g}".format),
    "precision": ("as good as real pictures (precision)", lambda share: f"{share:.0%}"),
    "recall": ("as varied as real pictures (recall)", lambda share: f"{share:.0%}"),
}
ACROSS = " and "


@zero_gpu.one_loan()
def start(zoo: ModelZoo, sides: Sequence[Settings], linked: bool) -> list[SamplingRun]:
    """Checked runs, one for each of the sides, which share their class, first seed and number of images.

    Linked, all have the same seeds; otherwise B's seeds follow A's, C's follow B's, and so on.
    """
    lanes: list[SamplingRun] = []
    for name, side in zip(NAMES, sides, strict=False):
        if lanes and not linked:
            side = replace(side, seed=lanes[-1].seeds[-1] + 1)
        model = zoo[side.model]
        lanes.append(SamplingRun.start(model, side.request(model), prefix=f"{name}: "))
    return lanes


def results(lanes: Sequence[SamplingRun], pair: str, checkpoints: Path = CHECKPOINTS) -> tuple:
    """What a finished comparison shows, of the first pair if there is no `pair`: tables, choice of pairs, `pair_of`."""
    possible = pairs(len(lanes))
    # The choice stays what it is wherever it can: it may have been made while the runs went on.
    value = {} if pair in possible else {"value": possible[0]}
    pair = value.get("value", pair)
    choice = gr.update(choices=possible, visible=len(possible) > 1, **value)
    return table(lanes), details(lanes, checkpoints), choice, *pair_of(lanes, pair)


def pairs(count: int) -> list[str]:
    """The pairs of so many runs, such as "A and B"."""
    names = NAMES[:count]
    return [f"{a}{ACROSS}{b}" for place, a in enumerate(names) for b in names[place + 1 :]]


def table(lanes: Sequence[SamplingRun]) -> str:
    """What each run took, and how good pictures of its checkpoint are, as a short Markdown table."""
    figures = [{figure.name: figure for figure in measured(lane.model.info.metrics)} for lane in lanes]
    rows = [
        ("parameters", [f"{lane.model.info.parameters / 1e6:.3g} million" for lane in lanes]),
        ("time of a step", [f"{lane.ms_per_step:.3g} ms" for lane in lanes]),
        ("network evaluations", [f"{lane.evaluations:,}" for lane in lanes]),
        ("time of all", [f"{lane.seconds:.2g} s" for lane in lanes]),
        *((words, _in_short(name, write, figures)) for name, (words, write) in IN_SHORT.items()),
    ]
    rows = [row for row in rows if {*row[1]} != {"-"}]
    return markdown(["", *_heads(lanes)], [[name, *cells] for name, cells in rows], numbers=range(1, 1 + len(lanes)))


def _in_short(name: str, write: Callable[[float], str], figures: Sequence[Mapping[str, Figure]]) -> list[str]:
    """One figure of each checkpoint in few digits, with a star where it was measured otherwise than the first."""
    own = [of.get(name) for of in figures]
    first = next((figure.conditions for figure in own if figure), None)
    return [
        write(figure.value) + r"\*" * (figure.conditions != first)
        if figure and isinstance(figure.value, int | float)
        else "-"
        for figure in own
    ]


def _heads(lanes: Sequence[SamplingRun]) -> list[str]:
    return [f"{name} · {title(lane.model)}" for name, lane in zip(NAMES, lanes, strict=False)]


def details(lanes: Sequence[SamplingRun], checkpoints: Path = CHECKPOINTS) -> str:
    """All that was measured of such runs and of their checkpoints, and how, as Markdown.

    The figures of a checkpoint are of pictures drawn as it is shown, so a row says how that is; figures of these very
    settings come from the tables over steps and guidance in the folder of the `checkpoints`.
    """
    heads, rows = _heads(lanes), _quality(lanes, checkpoints)
    return markdown(["", *heads], [[name, *cells] for name, cells in rows], numbers=range(1, 1 + len(heads)))


def _quality(lanes: Sequence[SamplingRun], checkpoints: Path) -> list[tuple[str, list[str]]]:
    """A row for each figure that any run or checkpoint has; figures measured in different ways never share one."""
    of_runs = _rows([_of_such_runs(lane, checkpoints) for lane in lanes])
    figures = [measured(lane.model.info.metrics) for lane in lanes]
    of_checkpoints = _rows([[(figure.title, figure.conditions, figure.text) for figure in own] for own in figures])
    drawn = [next((figure.settings for figure in own if figure.settings), "-") for own in figures]
    as_shown = [("*the checkpoint, drawn by*", [plain(how) for how in drawn])] if {*drawn} - {"-"} else []
    return [*of_runs, *as_shown, *of_checkpoints] or [("quality figures", ["-" for _ in lanes])]


def _rows(figures: Sequence[list[tuple[str, str, str]]]) -> list[tuple[str, list[str]]]:
    """Rows of the (title, conditions, text) that each run has."""
    rows: dict[tuple[str, str], list[str]] = {}
    for place, own in enumerate(figures):
        for name, conditions, text in own:
            rows.setdefault((name, conditions), ["-"] * len(figures))[place] = plain(text)
    names = [name for name, _ in rows]
    return [
        (plain(f"{name}, {conditions}" if names.count(name) > 1 else name), cells)
        for (name, conditions), cells in rows.items()
    ]


def _of_such_runs(lane: SamplingRun, checkpoints: Path) -> list[tuple[str, str, str]]:
    """What was measured at a run's very settings, with all classes in turn; nothing if it has none of the classes."""
    asked, info = lane.asked, lane.model.info
    if info.classes and asked.class_name == ANY:
        return []
    try:
        row = measured_at(checkpoints / lane.model.key, measured_as(info.files, info.encoded_from), asked)
    except RequestError:  # which the Training tab shows
        return []
    return [
        (
            f"{label} of such runs, n = {int(row['n']):,}",
            row["reference"],
            f"{number(float(row[name]))} (real: {number(float(row[f'floor_{name}']))})",
        )
        for name, label in FIGURES.items()
        if row and row[name]
    ]


def pair_of(lanes: Sequence[SamplingRun], pair: str) -> tuple[dict, str]:
    """Of a pair such as "A and B": a `sheet` of their finished pictures and where they differ, and what that says.

    Raises:
        RequestError: there are no two such runs.
    """
    pair = validate.choice("pair of runs", pair, pairs(len(lanes)))
    both = {name: lanes[NAMES.index(name)] for name in pair.split(ACROSS)}
    difference = compare(*(lane.pictures for lane in both.values()))
    words = (
        f"**Where {pair} differ.** White: not at all; darkest: by {difference.largest:.0f} of 255. "
        f"The mean over all pixels is {difference.mean:.1f} of 255."
    )
    rows = {f"{name} · {title(lane.model)}": lane.pictures for name, lane in both.items()}
    seeds = [lane.seeds for lane in both.values()]
    columns = seeds[0] if seeds[0] == seeds[1] else [f"{a} and {b}" for a, b in zip(*seeds, strict=True)]
    return rows_of(columns, rows | {"difference": difference.pictures}), words
