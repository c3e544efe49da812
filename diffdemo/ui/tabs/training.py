"""The Training tab: how each checkpoint became what it is, and the runs that go on meanwhile."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import numpy as np

from diffdemo import validate
from diffdemo.errors import DiffdemoError, RequestError
from diffdemo.records.commands import install_command, to_type
from diffdemo.records.run_folder import HISTORY_COLUMNS, Moment, Progress, Record, moving_mean, runs, snapshots
from diffdemo.records.tables import plain
from diffdemo.ui.components.curves import Series, curves, plot, remark
from diffdemo.ui.components.moments import moment, moments, timeline
from diffdemo.ui.components.sheet import sheet
from diffdemo.ui.parts import quality, wiring
from diffdemo.ui.parts.training_tables import tables
from diffdemo.ui.runs import sweeps
from diffdemo.ui.runs.settings import FAVOURITE
from diffdemo.ui.runs.stream import Stops
from diffdemo.ui.runs.zoo import ModelZoo, title

SECONDS_BETWEEN_LOOKS = 2.0
MOST_RUNS = 12  # the newest
CHECKPOINT = "checkpoint"  # the state of what is no run

LEAD = (
    "A network learns by guessing pictures in noise; as its error falls, what it draws grows out of blots into animals."
)
MACHINE = "**Time machine.** This run kept its weights on the way: what the same noise became, earlier and later."
EXPLANATION = """**What to look for.** The training loss is a mean over a few thousand pictures at random noise levels,
so it jitters; the validation loss is that of the averaged weights on held-out pictures, with the same noise every time.
Pictures go on getting better long after the curve looks flat: most of the loss is noise that no network could predict.
Losses compare only between models that predict the same thing."""


@dataclass
class Controls:
    """The tab's components."""

    chosen: gr.Radio
    state: gr.Markdown
    command: gr.Textbox
    curves: gr.HTML
    moments: gr.HTML
    tables: gr.Markdown
    quality: list
    machine: gr.Column
    seed: gr.Textbox
    travel: gr.Button
    drawn: gr.HTML

    def outputs(self) -> list:
        """What `facts_on_display` is for, in its order."""
        return [self.state, self.command, self.curves, self.moments, self.tables, *self.quality, self.machine]


class Library:
    """Everything that was trained, by name: the zoo's checkpoints, and the runs in a folder if there is one."""

    def __init__(self, zoo: ModelZoo, folder: Path | None = None):
        self._checkpoints = {key: Record(title(zoo[key]), zoo.folder / key) for key in zoo.keys}
        self._runs = folder
        self.first = zoo.pick(FAVOURITE)
        self.device = zoo[self.first].device.type

    def records(self) -> dict[str, Record]:
        """The records as they are now; a run's name begins with the name of the folder of runs."""
        found = runs(self._runs)[:MOST_RUNS] if self._runs else []
        return self._checkpoints | {f"{self._runs.name}/{run.name}": run for run in found}

    def __getitem__(self, name: str) -> Record:
        records = self.records()
        return records[validate.choice("checkpoint or run", name, list(records))]

    def choices(self, records: dict[str, Record]) -> list[tuple[str, str]]:
        """(label, name) of each record, as Gradio's Radio takes them."""
        return [(record.name if name in self._checkpoints else name, name) for name, record in records.items()]


def layout(library: Library) -> Controls:
    """What to look at beside its curve and pictures."""
    with gr.Row(elem_classes="tab-body"):
        with gr.Column(elem_classes="stage"):
            gr.Markdown(LEAD, elem_classes="lead")
            curve = curves("Loss while training", "training-curves")
            pictures = moments("Sample grids over the training", "training-moments")
            with gr.Column(visible=False) as machine:
                gr.Markdown(MACHINE)
                with gr.Row(elem_classes="seed-row"):
                    seed = gr.Textbox("0", label="Seed of the first", max_lines=1, min_width=120)
                    travel = gr.Button("Draw at every snapshot", size="sm", min_width=160, elem_id="training-travel")
                drawn = sheet("The same seeds at every snapshot", "training-machine")
            measured = quality.layout()
        with gr.Column(elem_classes="settings"):
            chosen = gr.Radio(library.choices(library.records()), value=library.first, label="Checkpoint or run")
            state = gr.Markdown(elem_classes="about", elem_id="training-state")
        with gr.Column(elem_classes="words reproduce"):
            gr.Markdown(EXPLANATION)
            command = gr.Textbox(label="Train it again", lines=2, max_lines=24, interactive=False, buttons=["copy"])
            table = gr.Markdown(elem_classes="figures", elem_id="training-tables")
    return Controls(chosen, state, command, curve, pictures, table, measured, machine, seed, travel, drawn)


def facts(record: Record) -> dict:
    """Everything the tab shows of a record, as the API returns it; `problems` has a sentence for what is damaged."""
    problems: list[str] = []

    def unless_damaged(read: Callable, otherwise: object) -> object:
        try:
            return read()
        except DiffdemoError as error:
            problems.append(str(error))
            return otherwise

    description = unless_damaged(record.description, {})
    progress = unless_damaged(record.progress, None)
    # A run that has just begun has no history, which is no damage.
    new = progress is not None and progress.state == "beginning"
    history = {} if new else unless_damaged(record.history, {})
    command = unless_damaged(record.command, "")
    measured = unless_damaged(record.quality, {})
    return {
        "name": record.name,
        "state": progress.state if progress else CHECKPOINT,
        "progress": progress and round(progress.share, 4),
        "seconds_since_save": progress and round(progress.idle),
        "training": description.get("training", {}),
        "metrics": description.get("metrics", {}),
        "quality": {x: [one.describe() for one in of_x] for x, of_x in measured.items()},
        "command": to_type(command if progress else install_command(command)),
        "history": {name: _numbers(history[name]) for name in HISTORY_COLUMNS if name in history},
        "grids": [
            {"label": at.label, "images": at.images, "files": [p.name for p in at.files]} for at in record.moments()
        ],
        "problems": list(dict.fromkeys(problems)),
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def loss_plot(history: dict[str, Sequence], problems: Sequence[str]) -> dict:
    """The curves' message: the loss, its mean once there are enough values, and the validation loss."""
    if not history:
        return remark(problems[0] if problems else "The curve begins with the run's first save.")
    images, loss, val_loss = (np.array(history[name], float) for name in ("images", "loss", "val_loss"))
    middles, means, width = moving_mean(images, loss)
    smooth = [Series("training, single values", images, loss, "faint")] if width > 1 else []
    name = f"training, mean of {width} values" if width > 1 else "training"
    lines = [*smooth, Series(name, middles, means), Series("validation", images, val_loss, "dots")]
    return plot(lines, "images seen", "Loss", log=True)


def in_words(progress: Progress, reached: dict) -> str:
    """How far a run is, as Markdown."""
    minutes = int(progress.idle // 60)
    idle = f"{minutes:,} minutes" if minutes > 1 else "a minute" if minutes else "less than a minute"
    parts = [f"**{progress.state.capitalize()}**, {100 * progress.share:.0f} % of its budget"]
    if progress.state == "beginning":
        parts = [f"**Beginning**; the first figures come with its first save, after {progress.save_minutes:g} minutes"]
    for name, unit in (("images_seen", "images"), ("images_per_second", "images a second"), ("minutes", "minutes")):
        if isinstance(value := reached.get(name), (int, float)):
            parts.append(f"{value:,} {unit}")
    return f"{', '.join(parts)}. Last written {idle} ago."


def on_display(name: str, record: Record) -> tuple:
    """What the tab shows of a record, in the order of `Controls.outputs`."""
    known, found = facts(record), record.moments()
    notes = [plain(sentence) for sentence in known["problems"]]
    if known["state"] != CHECKPOINT:
        notes.insert(0, in_words(record.progress(), record.reached()))
    shown = timeline(name, [at.label for at in found], _files(found[-1]) if found else [])
    curve = loss_plot(known["history"], known["problems"])
    words = tables(known["training"], known["metrics"])
    machine = gr.update(visible=_has_snapshots(record.folder))
    return "\n\n".join(notes), known["command"], curve, shown, words, *quality.shown(known["quality"]), machine


def _has_snapshots(folder: Path) -> bool:
    try:
        return len(snapshots(folder)) > 1
    except DiffdemoError:
        return False


def _files(at: Moment) -> list[bytes]:
    try:
        return [path.read_bytes() for path in at.files]
    except OSError as error:
        raise RequestError(f"The pictures drawn at {at.label} are gone; choose another moment.") from error


def connect(tab: gr.Tab, tabs: gr.Tabs, stops: Stops, library: Library, controls: Controls) -> None:
    """Wire the tab; while it is open, and only then, it looks every other second whether something was written."""
    timer = gr.Timer(SECONDS_BETWEEN_LOOKS, active=False)
    seen = gr.State(None)
    outputs = [controls.chosen, *controls.outputs(), seen]

    def look(name: str, before: tuple | None) -> tuple:
        """Everything, or nothing at all if nothing has changed."""
        records = library.records()
        # A run may have been deleted. Only then is another one chosen here: a visitor may have done so meanwhile.
        instead = {} if name in records else {"value": library.first}
        name = instead.get("value", name)
        record, choices = records[name], library.choices(records)
        now = (*choices, *record.stamp(), _minute(record))
        if now == before:
            return (gr.skip(),) * len(outputs)
        with wiring.toasts():
            return gr.update(choices=choices, **instead), *on_display(name, record), now

    def pictures_of(name: str, asked: dict) -> dict:
        with wiring.toasts():
            found = library[name].moments()
            place = validate.whole_number("the moment", asked["place"], 0, max(0, len(found) - 1))
            return moment(name, found[place].label, _files(found[place]))

    def watch_while_open(event: gr.SelectData) -> gr.Timer:
        return gr.Timer(active=event.value == tab.label)

    def travel(halted: Callable[[], bool], name: str, seed: str) -> Iterator[dict]:
        yield from sweeps.table(
            sweeps.time_machine(library[name].folder, library.device, seed), halted, wiring.time_limit()
        )

    asked = [controls.chosen, controls.seed]
    wiring.connect_run(controls.travel, travel, asked, controls.drawn, controls.chosen, stops, "training")
    quiet = {"show_progress": "hidden", **wiring.AT_ONCE}
    for event in (tab.select, timer.tick):
        event(look, [controls.chosen, seen], outputs, **quiet)
    controls.chosen.input(look, [controls.chosen, seen], outputs, trigger_mode="always_last", **quiet)
    tabs.select(watch_while_open, outputs=timer, **quiet)
    wiring.answer_newest(controls.moments, "input", pictures_of, [controls.chosen], controls.moments, **quiet)


def _minute(record: Record) -> int | None:
    """Changes when what `in_words` says of the last save does."""
    try:
        progress = record.progress()
    except RequestError:
        return None
    return progress and progress.idle // 60
