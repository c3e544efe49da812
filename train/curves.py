"""Quality against sampling steps, guidance and training: `python -m train.curves --model attention_unet`."""

import csv
import io
import itertools
import time
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from diffdemo import validate
from diffdemo.atomic import write_atomically
from diffdemo.description import CheckpointInfo
from diffdemo.errors import RequestError, TrainingError
from diffdemo.figures.plots import save_figure
from diffdemo.generator import Generator
from diffdemo.loading import exchange_weights
from diffdemo.measure.classifier import load_classifier
from diffdemo.process.guidance import WEAK_MODEL
from diffdemo.process.names import SAMPLER_NAMES
from diffdemo.records.files import SHARDS, SNAPSHOTS, TABLES, graph_of
from diffdemo.records.measured import computed_on
from diffdemo.records.quality_curves import LABELS, LATER, OVER_TRAINING, SETTINGS, shared_settings, weights_of
from diffdemo.records.run_folder import images_seen, snapshots
from train.evaluate.draw import Draw
from train.evaluate.judge import LEAST, Judge, load_splits
from train.evaluate.options import MeasuringOptions
from train.flags import flag, run_command
from train.loop.resume import locked

STEPS = "1,2,5,10,20,50,100,250,1000"
GUIDANCE = "1,1.5,2,3,4,6"
MEASURED = ("frechet_distance", "kernel_distance", "precision", "recall", "class_agreement")
# A row: how the pictures were made and measured, then what came out. Rows that agree in the first part are one row.
COLUMNS = (*SETTINGS, "nfe", "seconds", *MEASURED, *(f"floor_{name}" for name in MEASURED))


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV file of measured rows, each written as soon as it is there.

    Args:
        path: the file; rows that are in it stay.
        columns: of the file.
    """

    path: Path
    columns: tuple[str, ...] = COLUMNS

    def rows(self) -> list[dict[str, str]]:
        """What is in the file; TrainingError if it has other columns."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            there = reader.fieldnames or ()
            if list(there) != [name for name in self.columns if name in there or name not in LATER]:
                raise TrainingError(f"{self.path} has other columns than train.curves writes; move it away.")
            return [LATER | row for row in reader]

    def select(self, settings: dict) -> list[dict[str, str]]:
        """The rows with these settings."""
        wanted = {name: str(value) for name, value in settings.items()}
        return [row for row in self.rows() if wanted.items() <= row.items()]

    def add(self, row: dict) -> None:
        """Append a row; whoever reads the file, or stops this process, never sees half of one."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*self.rows(), {name: "" if value is None else value for name, value in row.items()}])
        write_atomically(self.path, lambda unfinished: unfinished.write_text(text.getvalue(), "utf-8"))


@dataclass(frozen=True, eq=False)
class Point:
    """What one row of a table is about: samples of one checkpoint.

    Attributes:
        folder: of the checkpoint.
        info: what it says of itself.
        draw: which samples.
    """

    folder: Path
    info: CheckpointInfo
    draw: Draw


def settings_of(point: Point, generator: Generator, judge: Judge, count: int) -> dict:
    """The first part of a row, see SETTINGS; and the images seen."""
    conditions, draw = judge.conditions(), point.draw
    return {
        "images": images_seen(point.info),
        "sampler": draw.sampler,
        "steps": draw.steps,
        "spacing": draw.spacing,
        "eps_scale": draw.eps_scale,
        "guidance_scale": draw.guidance.scale,
        "guidance_interval": draw.guidance.interval_text,
        "guide": guide_of(generator, draw),
        "n": count,
        "first_seed": draw.seed,
        "sampled_on": computed_on(draw.identity(generator)),
        "weights": weights_of(point.info.files),
        "reference": f"{conditions['reference']['split']} {conditions['reference']['sha256'][:8]}",
        "classifier": conditions["classifier"]["sha256"][:8],
    }


def guide_of(generator: Generator, draw: Draw) -> str:
    """Whose guess is the worse one; a weaker model by the beginning of its weights' hash."""
    if draw.guidance.guide != WEAK_MODEL:
        return draw.guidance.guide
    return f"{WEAK_MODEL} {weights_of(generator.guide.info.files)}"


def measure(point: Point, generator: Generator, judge: Judge, count: int, floor: dict, samples: Path) -> dict:
    """The second part of a row: cost and figures of `count` samples, kept in `samples`, and the `floor`'s figures."""
    draw = point.draw
    if generator.info.weights != point.info.weights:
        exchange_weights(generator, point.folder)
    began = time.monotonic()
    pictures = draw.pictures(generator, samples / draw.name(generator) / SHARDS, count)
    seconds = round(time.monotonic() - began, 1)
    figures = judge.figures(pictures, draw.class_names(generator, count))
    return {
        "nfe": draw.evaluations(generator),
        "seconds": seconds,
        **{name: figures[name] for name in MEASURED},
        **{f"floor_{name}": floor[name] for name in MEASURED},
    }


def draw_curves(rows: Sequence[dict[str, str]], x: str, path: Path, title: str) -> Path:
    """Draw Fréchet distance, and class agreement where there is one, over the column `x`, a line for each sampler.

    The rows must agree in all `shared_settings`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, NullLocator

    panels = {"frechet_distance": "Fréchet distance"}
    if rows[0]["class_agreement"]:
        panels["class_agreement"] = "class agreement"
    figure = Figure(figsize=(4.5 * len(panels), 3.8), dpi=200, layout="constrained")
    for axes, (name, label) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for sampler in dict.fromkeys(row["sampler"] for row in rows):
            points = sorted((float(row[x]), float(row[name])) for row in rows if row["sampler"] == sampler)
            axes.plot(*np.transpose(points), marker="o", markersize=4, label=sampler)
        axes.axhline(float(rows[0][f"floor_{name}"]), color="0.5", linestyle="--", linewidth=1, label="real pictures")
        if x == OVER_TRAINING:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if x == "steps":
            axes.set_xscale("log")
            measured = sorted({int(row[x]) for row in rows})
            axes.set_xticks(measured, map(str, measured))
            axes.xaxis.set_minor_locator(NullLocator())
        if name == "frechet_distance":
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(LABELS[x])
        axes.set_ylabel(label)
        axes.grid(True, which="both", color="0.92", linewidth=0.6)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title if len(panels) > 1 else title.replace(": ", "\n", 1), fontsize=10, parse_math=False)
    return save_figure(figure, path)


def entries(flag: str, text: str) -> list[str]:
    """The parts of "1,2,5"; RequestError if there is none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise RequestError(f"{flag} needs one value or more, with commas between them, or none.")
    return parts


@dataclass(frozen=True, kw_only=True)
class Options(MeasuringOptions):
    """What only curves have."""

    model: str = flag(MISSING, "Whose samples to measure.", metavar="KEY|FOLDER")
    count: int = flag(1000, "Pictures a row.", names=("-n",), metavar="N")
    steps: str = flag(STEPS, "Numbers of denoising steps; none for no such curve.", may_be_empty=True)
    samplers: str = flag(",".join(SAMPLER_NAMES), "Samplers of the curves over steps.", may_be_empty=True)
    guidance: str = flag(GUIDANCE, "Guidance scales; none for no such curve.", may_be_empty=True)
    training: bool = flag(True, f"The curve over training, if the folder holds a run's {SNAPSHOTS}.")
    out: Path | None = flag(None, "Folder for the curves.", "the checkpoint's own")
    samples: Path = flag(Path("runs/evaluate"), "Folder for the samples.")

    def __post_init__(self):
        super().__post_init__()
        validate.whole_number("-n", self.count, LEAST, 50_000)


def main(options: Options, given: set[str]) -> None:
    """Measure a model at many step counts with every sampler, at several guidances, and over training, and draw that.

    The curve over training needs the checkpoints that a run with --snapshot-every-images keeps on the way. Each row is
    kept as soon as it is measured: the same command again goes on where the last one was stopped, and one with other
    grids adds to what is there. For example, in minutes on two CPU cores:

        python -m train.curves --model attention_unet -n 500 --steps 2,5,10,20 --samplers ddim,dpmpp --compile
    """
    options.set_up_process()
    folder, generator = options.load(options.model)
    draw = partial(Draw.of, generator, options.seed, **options.sampling())
    draws: dict[str, list[Draw]] = {}  # by the column that curves are over
    if options.steps != "none":
        grid = itertools.product(entries("--samplers", options.samplers), entries("--steps", options.steps))
        draws["steps"] = [draw(sampler=sampler, steps=number) for sampler, number in grid]
    if options.guidance != "none" and (generator.classes or generator.guide):
        draws["guidance_scale"] = [draw(guidance_scale=scale) for scale in entries("--guidance", options.guidance)]
    curves = {x: [Point(folder, generator.info, draw) for draw in of_x] for x, of_x in draws.items()}
    if options.training and (folder / SNAPSHOTS).is_dir():
        curves[OVER_TRAINING] = [Point(*snapshot, draw()) for snapshot in snapshots(folder)]
    if not curves:
        raise RequestError("There is no curve to measure; name --steps, or --guidance for a model with classes.")
    count, splits = options.count, load_splits(options.data, generator.classes)
    looking = load_classifier(options.classifier, options.device)
    judge = Judge(options.data, splits, options.reference, looking, None)
    floor = judge.floor(count)
    if floor["n"] != count:
        raise RequestError(
            f"There are only {floor['n']:,} real pictures for the floor; choose -n {floor['n']} or less."
        )
    title = f"{generator.key}: {count:,} pictures against {judge.conditions()['reference']['source']}"
    with locked(options.samples / f"curves-{generator.key}"):  # not in a checkpoint's folder, which holds no lock
        for x, points in curves.items():
            columns = (x, *COLUMNS) if x == OVER_TRAINING else COLUMNS
            table = Table((options.out or folder) / TABLES[x], columns)
            for point in tqdm(points, unit="row", desc=table.path.stem):
                settings = settings_of(point, generator, judge, count)
                settings = {name: value for name, value in settings.items() if name in columns}
                if not table.select(settings):
                    table.add(settings | measure(point, generator, judge, count, floor["figures"], options.samples))
            alike = table.select({name: settings[name] for name in shared_settings(x)})
            figure = draw_curves(alike, x, table.path.with_name(graph_of(table.path.name)), title)
            print(f"Wrote {table.path} and {figure.name}, which shows {len(alike)} of its rows.")


if __name__ == "__main__":
    run_command(main, Options)
