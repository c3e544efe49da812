"""What does attention do? python -m benchmarks.simple_vs_attention --images 100000 --jobs 2 --compile

Trains the simple and the attention UNet with the same data, settings, number of pictures and seeds, measures samples of
every run with train.curves, over training and at several guidances, and writes the figures as CSV, the curves as a
figure and means with their spread over the seeds on stdout. What is finished is not done again, so a stopped command
goes on where it was.
"""

import csv
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffdemo.description import read_info
from diffdemo.errors import CheckpointError, TrainingError
from diffdemo.figures.plots import save_figure
from diffdemo.records.quality_curves import LABELS, TABLES
from diffdemo.records.run_folder import history_columns, moving_mean
from train.flags import flag, run_command

MODELS = {"simple_unet": "tab:blue", "attention_unet": "tab:orange"}
MEASURED = ("frechet_distance", "kernel_distance", "precision", "recall", "class_agreement")
DRAWN = ("sampler", "steps", "spacing", "guidance_scale", "n", "sampled_on")
CURVES = ("images", "guidance_scale")  # what figures are measured over
SNAPSHOTS = 5  # in a run


@dataclass(frozen=True)
class Options:
    """How long, how often, and where."""

    images: int = flag(100_000, "Of each run.")
    seeds: int = flag(3, "Runs of each model, 2 or more.")
    samples: int = flag(1000, "To measure at each point.")
    guidance: str = flag("1,2,4", "To measure the finished runs with.")
    precision: str = flag("bf16", "Of the sampling.")
    data: Path = flag(Path("data"), "Data folder.")
    out: Path = flag(Path("runs/simple_vs_attention"), "Folder of the runs.")
    results: Path = flag(Path("docs"), "Folder of the CSV and the figure.")
    jobs: int = flag(1, "Runs at once.")
    threads: int = flag(1, "CPU threads of a run.")
    compile: bool = flag(False, "Compile the networks.")

    def __post_init__(self):
        if self.seeds < 2:
            raise TrainingError(f"--seeds must be 2 or more for a spread, not {self.seeds}.")


def train_and_measure(model: str, seed: int, options: Options) -> None:
    """One run, and its figures, unless they are there; CalledProcessError if a script fails."""
    run = run_of(model, seed, options)
    shared = ["--data", str(options.data), "--threads", str(options.threads), *["--compile"] * options.compile]
    if not finished(run, options.images):
        flags = ["--model", model, "--seed", str(seed), "--images", str(options.images)]
        flags += ["--snapshot-every-images", str(options.images // SNAPSHOTS), "--out", str(run)]
        _call("train.unet", flags + shared + ["--resume"] * (run / "state.safetensors").exists(), run)
    flags = ["--model", str(run), "-n", str(options.samples), "--steps", "none", "--guidance", options.guidance]
    _call("train.curves", [*flags, "--precision", options.precision, *shared], run)


def run_of(model: str, seed: int, options: Options) -> Path:
    """The folder of a run."""
    return options.out / f"{model}-{seed}"


def _call(module: str, flags: Sequence[str], run: Path) -> None:
    run.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{run}.log").open("a") as log:
        subprocess.run([sys.executable, "-m", module, *flags], stdout=log, stderr=log, check=True)


def finished(run: Path, images: int) -> bool:
    """Whether a run has seen all its pictures."""
    try:
        return read_info(run).training["images_seen"] >= images
    except (CheckpointError, KeyError):
        return False


def measured(options: Options) -> Iterable[dict]:
    """A row for every point of every run's curves."""
    for model in MODELS:
        for seed in range(options.seeds):
            run = run_of(model, seed, options)
            training = read_info(run).training
            for x in CURVES:
                with (run / TABLES[x]).open(newline="") as file:
                    for row in csv.DictReader(file):
                        yield {
                            "model": model,
                            "seed": seed,
                            "over": x,
                            "images": row.get("images", training["images_seen"]),
                            **{name: row[name] for name in (*DRAWN, *MEASURED, "floor_frechet_distance")},
                            "run_loss": training["loss"],
                            "run_validation_loss": training["val_loss"],
                            "run_minutes": training["minutes"],
                        }


def draw(rows: Sequence[dict], options: Options, path: Path) -> None:
    """The training loss and the curves of all runs: each run a thin line, the mean of a model's seeds a thick one."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, ScalarFormatter

    figure = Figure(figsize=(13, 4), dpi=150, layout="constrained")
    loss, *panels = figure.subplots(1, 1 + len(CURVES))
    for model, colour in MODELS.items():
        lines = []
        for seed in range(options.seeds):
            columns = history_columns(run_of(model, seed, options) / "history.csv")
            lines.append(moving_mean(columns["images"], columns["loss"])[:2])
        _lines(loss, lines, colour, model)
    loss.set(xlabel=LABELS["images"], ylabel="training loss, moving mean", yscale="log")
    for axes, x in zip(panels, CURVES, strict=True):
        for model, colour in MODELS.items():
            lines = [
                np.array(sorted((float(row[x]), float(row["frechet_distance"])) for row in of_run)).T
                for seed in range(options.seeds)
                if (of_run := [r for r in rows if (r["model"], r["seed"], r["over"]) == (model, seed, x)])
            ]
            _lines(axes, lines, colour, model, marker="o", markersize=4)
        axes.set(xlabel=LABELS[x], ylabel="Fréchet distance", yscale="log")
    scales = {row["guidance_scale"] for row in rows if row["over"] == "images"}
    panels[0].set_title(f"guidance {', '.join(sorted(scales))}", fontsize=10)
    panels[1].set_title(f"after {options.images:,} pictures", fontsize=10)
    loss.set_title(f"{options.seeds} seeds each, and their mean", fontsize=10)
    for axes in (loss, *panels):
        axes.grid(True, which="both", color="0.92", linewidth=0.6)
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(ScalarFormatter())
    for axes in (loss, panels[0]):
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    loss.legend(frameon=False)
    save_figure(figure, path)


def _lines(axes, lines: Sequence[Sequence[np.ndarray]], colour: str, label: str, **style) -> None:
    for x, y in lines:
        axes.plot(x, y, color=colour, linewidth=0.6, alpha=0.6)
    axes.plot(lines[0][0], np.mean([y for _, y in lines], axis=0), color=colour, linewidth=1.8, label=label, **style)


def summary(rows: Sequence[dict]) -> str:
    """Mean and standard deviation over the seeds of what each model's runs ended with, and in how many it was ahead."""
    ends = [row for row in rows if row["over"] == "guidance_scale"]
    lines = []
    for scale in dict.fromkeys(row["guidance_scale"] for row in ends):
        of_scale = [row for row in ends if row["guidance_scale"] == scale]
        lines += [_line(f"{name}, guidance {scale}", name, of_scale) for name in MEASURED]
    last = ends[-1]["guidance_scale"]
    of_run = [row for row in ends if row["guidance_scale"] == last]
    # A run of less than an epoch has no validation loss.
    losses = [name for name in ("run_loss", "run_validation_loss") if all(row[name] for row in of_run)]
    return "\n".join([*(_line(name, name, of_run) for name in losses), *lines])


def _line(label: str, name: str, rows: Sequence[dict]) -> str:
    simple, attention = (np.array([float(row[name]) for row in rows if row["model"] == model]) for model in MODELS)
    means = "   ".join(f"{np.mean(v):8.4f} +- {np.std(v, ddof=1):6.4f}" for v in (simple, attention))
    higher = int(np.sum(attention > simple))
    return f"{label:34} {means}   attention higher in {higher} of {len(simple)}"


def main(options: Options, given: set[str]) -> None:
    """Train both UNets with several seeds, measure every run, and write the table and the figure of docs/."""
    pairs = [(model, seed) for seed in range(options.seeds) for model in MODELS]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda pair: train_and_measure(*pair, options), pairs))
    rows = list(measured(options))
    options.results.mkdir(parents=True, exist_ok=True)
    with (options.results / "simple_vs_attention.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, options, options.results / "simple_vs_attention.png")
    print(f"{'mean +- deviation over the seeds':34} {'simple_unet':^19}  {'attention_unet':^19}")
    print(summary(rows))


if __name__ == "__main__":
    run_command(main, Options)
