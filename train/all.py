"""Train every model within one budget of time: `python -m train.all --max-minutes 25 --compile --out runs/all`."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from diffdemo.checkpoint import CONFIG, read_info, write_json
from diffdemo.errors import CheckpointError, Interrupted, TrainingError
from train.denoising import SIZES
from train.flags import flag, run_command
from train.install import install
from train.resume import RUN, alone

STATE = "all.json"
LEAST_MINUTES = 0.05  # below that nothing is trained worth drawing
FIRST_OVERHEAD = 0.3  # minutes that a script takes besides training, until one of them has shown it


@dataclass(frozen=True)
class Part:
    """One script's run.

    Attributes:
        name: of the part and of its folder under --out.
        module: the script.
        flags: what makes it train this part.
        share: of the time, in relation to the others.
        needs: a part that must have a checkpoint before, named to the script by a flag of the same name.
        start: the checkpoint it may start from, if that is not called as the part is.
    """

    name: str
    module: str
    flags: tuple[str, ...]
    share: float
    needs: str = ""
    start: str = ""


# The pair gets equal time, or comparing it would mean nothing. The latent denoiser is done in a minute or two.
PARTS = (
    Part("attention_unet", "train.unet", ("--model", "attention_unet"), 6),
    Part("simple_unet", "train.unet", ("--model", "simple_unet"), 6),
    Part("ddpm_unet", "train.unet", ("--model", "ddpm_unet"), 5),
    Part("multihead_unet", "train.unet", ("--model", "multihead_unet"), 2),
    Part("patch_unet", "train.patch_unet", (), 3),
    Part("autoencoder", "train.autoencoder", (), 2, start="latent_diffusion"),
    Part("latent_diffusion", "train.latent", (), 1, needs="autoencoder"),
)


@dataclass(frozen=True)
class Options:
    """Where, how long and what."""

    out: Path = flag(Path("runs/all"), "Folder of the runs, one folder inside it for each part.")
    max_minutes: float = flag(25.0, "For everything together, with start-up and drawing.")
    images: int = flag(0, "End each part after so many pictures, if its time is not over before; 0 is no such end.")
    shares: str = flag("", "Shares of the time that differ from the usual, such as ddpm_unet=8,patch_unet=0.")
    resume: bool = flag(False, "Go on with the parts in --out that are not done.")
    init_from: str = flag("", "Folder with checkpoints to start from, such as checkpoints, where it has them.")
    install: str = flag("", "Folder to copy finished checkpoints into, such as checkpoints; none is copied otherwise.")
    data: Path = flag(Path("data"), "Data folder, as in every training script.")
    device: str = flag("auto", "auto, cpu, cuda or mps.")
    threads: int = flag(0, "CPU threads; 0 is all of them.")
    size: str = flag("small", SIZES)
    precision: str = flag("auto", "auto, fp32, bf16 or fp16.")
    compile: bool = flag(False, "Compile the networks: faster, after a minute of compiling each.")
    seed: int = flag(0, "Of everything random in the runs.")

    def __post_init__(self):
        if not 0 < self.max_minutes < float("inf"):
            raise TrainingError(f"--max-minutes must be above 0, not {self.max_minutes}.")
        if self.images < 0:
            raise TrainingError(f"--images must be 0 or more, not {self.images}.")

    def parts(self) -> list[Part]:
        """The parts that get time."""
        shares = {part.name: part.share for part in PARTS}
        for entry in filter(None, self.shares.split(",")):
            name, _, share = entry.partition("=")
            if name not in shares:
                raise TrainingError(f"--shares names {name!r}; choose from: {', '.join(shares)}.")
            try:
                shares[name] = float(share)
            except ValueError:
                shares[name] = -1.0
            if not 0 <= shares[name] < float("inf"):
                raise TrainingError(f"--shares must look like {name}=2, with a number of 0 or more, not {entry!r}.")
        if not any(shares.values()):
            raise TrainingError("--shares leaves no part any time; give at least one a number above 0.")
        return [replace(part, share=shares[part.name]) for part in PARTS if shares[part.name]]


class Plan:
    """Divides the time that is left among the parts that are left, and remembers what became of each.

    Args:
        parts: in the order of training.
        minutes: for all of them.
        outcomes: {part: {"outcome", "seconds"}} of those that an earlier process dealt with.
    """

    def __init__(self, parts: Sequence[Part], minutes: float, outcomes: dict[str, dict] | None = None):
        self.outcomes = outcomes or {}
        self.left = [part for part in parts if self.outcomes.get(part.name, {}).get("outcome") != "done"]
        self._end = time.monotonic() + 60 * minutes
        self._overhead = FIRST_OVERHEAD

    def minutes(self, part: Part) -> float:
        """What a part may train: its share of what is left, without what its script takes besides."""
        left = (self._end - time.monotonic()) / 60
        share = left * part.share / sum(other.share for other in self.left)
        # Of a share that is hardly longer than starting up, half is still spent on training.
        return max(share - self._overhead, share / 2)

    def close(self, part: Part, outcome: str, seconds: float, minutes: float) -> None:
        """A part is over after `seconds`, of which `minutes` were meant for training."""
        self.left.remove(part)
        self.outcomes[part.name] = {"outcome": outcome, "seconds": round(seconds, 1)}
        if outcome == "done":
            self._overhead = max(0.0, seconds / 60 - minutes)


def main(options: Options, given: set[str]) -> None:
    """Train all models, one after the other, each for its share of the time.

    A part that fails costs its own share only, and the next ones get the rest. For example, on two CPU cores overnight:

        python -m train.all --max-minutes 480 --compile --init-from checkpoints --out runs/all
    """
    parts, state = options.parts(), options.out / STATE
    if state.exists() and not options.resume:
        raise TrainingError(
            f"{options.out} holds runs already; add --resume to go on with them, or name another --out."
        )
    if options.resume and not state.exists():
        raise TrainingError(f"There is nothing to resume in {options.out}; start without --resume.")
    with alone(options.out):
        plan = Plan(parts, options.max_minutes, json.loads(state.read_text("utf-8")) if state.exists() else None)
        write_json(state, plan.outcomes)
        for number, part in enumerate(parts, 1):
            if part not in plan.left:
                continue
            tqdm.write(f"{part.name}, {number} of {len(parts)}:", file=sys.stderr)
            _train(part, options, plan)
            write_json(state, plan.outcomes)
    print(_table(parts, options.out, plan.outcomes))
    failed = [part.name for part in parts if plan.outcomes[part.name]["outcome"] != "done"]
    if failed:
        raise TrainingError(f"Not trained: {', '.join(failed)}; their messages are above, and --resume tries again.")


def _train(part: Part, options: Options, plan: Plan) -> None:
    """Run one part's script to its end, whatever that is."""
    if part.needs and not (options.out / part.needs / CONFIG).exists():
        plan.close(part, f"needs {part.needs}", 0.0, 0.0)
        return
    minutes = plan.minutes(part)
    if minutes < LEAST_MINUTES:
        plan.close(part, "no time left", 0.0, 0.0)
        return
    began = time.monotonic()
    process = subprocess.Popen(_command(part, options, minutes))
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()  # it got the same Ctrl-C and saves itself
        code = 130
    if code == 130:
        raise Interrupted(f"Interrupted in {part.name}, which is saved; go on with --resume.")
    plan.close(part, "failed" if code else "done", time.monotonic() - began, minutes)
    if options.install and not code and part.name not in {other.needs for other in PARTS}:
        install(options.out / part.name, Path(options.install) / part.name)


def _command(part: Part, options: Options, minutes: float) -> list[str]:
    out, start = options.out / part.name, Path(options.init_from) / (part.start or part.name)
    command = [sys.executable, "-m", part.module, "--out", str(out)]
    command += ["--data", str(options.data), "--device", options.device, "--threads", str(options.threads)]
    command += ["--precision", options.precision, *["--compile"] * options.compile]
    command += ["--images", str(options.images)] if options.images else []
    if options.resume and (out / RUN).exists():
        # A run's limit counts what it has had already.
        return [*command, "--max-minutes", f"{minutes + _trained_minutes(out):.3f}", "--resume"]
    command += ["--max-minutes", f"{minutes:.3f}", "--seed", str(options.seed), *part.flags]
    if part.needs:
        command += [f"--{part.needs}", str(options.out / part.needs)]
    if options.init_from and (start / CONFIG).exists():
        return [*command, "--init-from", str(start)]
    return [*command, "--size", options.size]


def _trained_minutes(folder: Path) -> float:
    try:
        return read_info(folder).training.get("minutes") or 0.0
    except CheckpointError:
        return 0.0


def _table(parts: Sequence[Part], out: Path, outcomes: dict[str, dict]) -> str:
    """What became of every part, as aligned lines."""
    rows = [("part", "outcome", "images", "minutes", "images/s", "loss", "validation", "folder")]
    for part in parts:
        folder = out / part.name
        try:
            info = read_info(folder)
        except CheckpointError:
            rows.append((part.name, outcomes[part.name]["outcome"], *["-"] * 5, str(folder)))
            continue
        figures = map(info.training.get, ("images_seen", "minutes", "images_per_second", "loss", "val_loss"))
        cells = ("-" if value is None else f"{value:,}" for value in figures)
        rows.append((part.name, outcomes[part.name]["outcome"], *cells, str(folder)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


if __name__ == "__main__":
    run_command(main, Options)
