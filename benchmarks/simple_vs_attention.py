"""What does attention do? python -m benchmarks.simple_vs_attention --images 60000 --jobs 2

Trains the simple and the attention UNet with the same data, settings, number of pictures and seeds, measures samples of
each run with train.evaluate, and writes the curves as CSV and figure and the figures of every run as a table. What is
finished is not done again, so a stopped command goes on where it was.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from diffdemo.checkpoint import read_info
from diffdemo.errors import CheckpointError
from diffdemo.figures import save_figure
from diffdemo.training_log import history_columns, moving_mean

MODELS = {"simple_unet": "tab:blue", "attention_unet": "tab:orange"}
MEASURED = ("frechet_distance", "kernel_distance", "precision", "recall")


def train_and_measure(model: str, seed: int, args: argparse.Namespace) -> None:
    """One run, and its evaluation, unless they are finished; CalledProcessError if a script fails."""
    run = args.out / f"{model}-{seed}"
    shared = ["--data", str(args.data), "--threads", str(args.threads)]
    if not finished(run, args.images):
        flags = ["--model", model, "--seed", str(seed), "--images", str(args.images), *(["--compile"] * args.compile)]
        _call("train.unet", *flags, *(["--resume"] if (run / "state.safetensors").exists() else []), run, shared)
    flags = ["--model", str(run), "-n", str(args.samples), "--guidance", str(args.guidance), "--no-fid"]
    _call("train.evaluate", *flags, "--precision", args.precision, run / "evaluation", shared)


def _call(module: str, *flags: str | Path | list) -> None:
    *flags, out, shared = flags
    log = Path(f"{out}.log" if module == "train.unet" else f"{out.parent}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        command = [sys.executable, "-m", module, *flags, "--out", str(out), *shared]
        subprocess.run(command, stdout=file, stderr=file, check=True)


def finished(run: Path, images: int) -> bool:
    """Whether a run has seen all its pictures."""
    try:
        return read_info(run).training["images_seen"] >= images
    except (CheckpointError, KeyError):
        return False


def rows(runs: dict[str, list[Path]]) -> Iterable[dict]:
    """What there is to say of each run."""
    for model, folders in runs.items():
        for seed, folder in enumerate(folders):
            training = read_info(folder).training
            figures = json.loads((folder / "evaluation" / "evaluation.json").read_text())["figures"]
            yield {
                "model": model,
                "seed": seed,
                "images": training["images_seen"],
                "minutes": training["minutes"],
                "loss": training["loss"],
                **{name: round(figures[name], 4) for name in MEASURED},
                "class_agreement": round(figures["class_agreement"], 4),
            }


def draw(runs: dict[str, list[Path]], path: Path) -> None:
    """The training losses of all runs, each model in its colour, smoothed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for model, colour in MODELS.items():
        for seed, folder in enumerate(runs[model]):
            columns = history_columns(folder / "history.csv")
            images, means, _ = moving_mean(columns["images"], columns["loss"])
            axes.plot(images, means, color=colour, linewidth=1, label=model if seed == 0 else None)
    axes.set(xlabel="images seen", ylabel="training loss, moving mean", yscale="log")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(True, which="both", color="0.92", linewidth=0.6)
    axes.legend(frameon=False)
    axes.set_title(f"{len(runs[model])} seeds each")
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60_000, help="of each run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each model")
    parser.add_argument("--samples", type=int, default=1000, help="to measure of each run")
    parser.add_argument("--guidance", type=float, default=1.0, help="of the samples")
    parser.add_argument("--precision", default="fp32", help="of the sampling")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs/simple_vs_attention"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=Path("docs"), help="folder of the CSV and the figure")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a run")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()

    pairs = [(model, seed) for seed in range(args.seeds) for model in MODELS]
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda pair: train_and_measure(*pair, args), pairs))
    runs = {model: [args.out / f"{model}-{seed}" for seed in range(args.seeds)] for model in MODELS}
    table = list(rows(runs))
    args.results.mkdir(parents=True, exist_ok=True)
    with (args.results / "simple_vs_attention.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    draw(runs, args.results / "simple_vs_attention.png")
    for name in ("minutes", "loss", *MEASURED, "class_agreement"):
        for model in MODELS:
            values = [row[name] for row in table if row["model"] == model]
            print(f"{name:18} {model:15} {np.mean(values):8.4f}  (from {min(values):.4f} to {max(values):.4f})")


if __name__ == "__main__":
    main()
