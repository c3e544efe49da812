"""Train every model within one budget of time: `python -m train.all --max-minutes 25 --compile --out runs/all`."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from diffdemo.description import CONFIG, write_json
from diffdemo.errors import DiffdemoError, Interrupted, RequestError, TrainingError
from diffdemo.records.files import PLAN, RUN
from diffdemo.records.run_folder import Record
from diffdemo.records.tables import aligned
from train.flags import flag, run_command
from train.install import install
from train.loop.data import load_data, stored
from train.loop.interrupt import interruptible
from train.loop.resume import locked
from train.plans import LEAST_MINUTES, PLANS, UNFINISHED, Part, Plan
from train.running import Running, Warming, watch
from train.tasks.denoising import SIZES

AHEAD, AHEAD_IMAGES = ".ahead", 2560  # where a part's network is compiled before its turn, and with how many pictures


@dataclass(frozen=True)
class Options:
    """Where, how long and what."""

    out: Path = flag(Path("runs/all"), "Folder of the runs, one folder inside it for each part.")
    max_minutes: float = flag(25.0, "For everything together, with start-up and drawing.")
    plan: str = flag("usual", "usual, or gpu: shares and recipes for half an hour of one large GPU, see docs/gpu.md.")
    grace_minutes: float = flag(10.0, "A part that takes so much longer than it was given is stopped.")
    images: int = flag(0, "End each part after so many pictures, if its time is not over before; 0 is no such end.")
    shares: str | None = flag(
        None, "Shares of the time that differ from the plan's, such as ddpm_unet=8,patch_unet=0.", "none"
    )
    resume: bool = flag(False, "Go on with the parts in --out that are not done.")
    init_from: str | None = flag(
        None, "Folder with checkpoints to start from, such as checkpoints, where it has them.", "none"
    )
    install: str | None = flag(
        None, "Folder to copy finished checkpoints into, such as checkpoints; none is copied otherwise.", "none"
    )
    data: Path = flag(Path("data"), "Data folder, as in every training script.")
    device: str = flag("auto", "auto, cpu, cuda or mps.")
    threads: int = flag(0, "CPU threads; 0 is all of them.")
    size: str = flag("small", SIZES)
    precision: str = flag("auto", "auto, fp32, bf16 or fp16.")
    compile: bool = flag(False, "Compile the networks: faster, after a minute of compiling each.")
    cuda_graph: bool = flag(False, "Record the steps of each part on a GPU and replay them, see docs/gpu.md.")
    ahead: bool = flag(
        False,
        "Begin a part while the one before still draws, and with --compile have its network compiled by then: faster "
        "where there are cores and memory for two.",
    )
    seed: int = flag(0, "Of everything random in the runs.")

    def __post_init__(self):
        if not 0 < self.max_minutes < float("inf"):
            raise TrainingError(f"--max-minutes must be above 0, not {self.max_minutes}.")
        for name in ("images", "threads", "seed"):
            if getattr(self, name) < 0:
                raise TrainingError(f"--{name} must be 0 or more, not {getattr(self, name)}.")
        if not 0 < self.grace_minutes < float("inf"):
            raise TrainingError(f"--grace-minutes must be above 0, not {self.grace_minutes}.")
        if self.plan not in PLANS:
            raise TrainingError(f"--plan must be {' or '.join(PLANS)}, not {self.plan!r}.")

    def parts(self) -> list[Part]:
        """The parts that get time."""
        parts = PLANS[self.plan]
        shares = {part.name: part.share for part in parts}
        for entry in filter(None, (self.shares or "").split(",")):
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
        return [replace(part, share=shares[part.name]) for part in parts if shares[part.name]]


def main(options: Options, given: set[str]) -> None:
    """Train all models, one after the other, each for its share of the time.

    A part that fails costs its own share only, and the next ones get the rest. For example, on two CPU cores overnight:

        python -m train.all --max-minutes 480 --compile --init-from checkpoints --out runs/all
    """
    parts, state = options.parts(), options.out / PLAN
    if state.exists() and not options.resume:
        raise TrainingError(
            f"{options.out} holds runs already; add --resume to go on with them, or name another --out."
        )
    if options.resume and not state.exists():
        raise TrainingError(f"There is nothing to resume in {options.out}; start without --resume.")
    begun = [options.out / part.name for part in parts if options.resume and (options.out / part.name / RUN).exists()]
    if begun and "data" not in given:
        options = replace(options, data=Path(stored(begun[0]).get("data", options.data)))
    for folder in begun:
        load_data(options, folder)  # refuses other data than a part began with before any of them is trained
    with locked(options.out), interruptible() as interrupted:
        plan = Plan(parts, options.max_minutes, json.loads(state.read_text("utf-8")) if state.exists() else None)
        write_json(state, plan.outcomes)
        drawing: dict[Part, Running] = {}
        for number, part in enumerate(parts, 1):
            if part not in plan.left:
                continue
            tqdm.write(f"{part.name}, {number} of {len(parts)}:", file=sys.stderr)
            _train(part, options, plan, interrupted, drawing)
            write_json(state, plan.outcomes)
            if interrupted():
                break
        for part, running in drawing.items():
            watch(running, interrupted, lambda: None)
            _see_off(part, running, options, plan, interrupted())
        write_json(state, plan.outcomes)
    stopped = [part.name for part in parts if plan.outcomes.get(part.name, {}).get("outcome") == "interrupted"]
    if stopped:
        raise Interrupted(f"Interrupted in {' and '.join(stopped)}, which is saved; go on with --resume.")
    print(_table(parts, options.out, plan.outcomes))
    failed = [part.name for part in parts if plan.outcomes[part.name]["outcome"] != "done"]
    if failed:
        raise TrainingError(f"Not trained: {', '.join(failed)}; their messages are above, and --resume tries again.")


def _train(
    part: Part, options: Options, plan: Plan, interrupted: Callable[[], bool], drawing: dict[Part, Running]
) -> None:
    """Run one part's script to its end, whatever that is, or with --ahead until it is `drawing`."""
    out = options.out / part.name
    trained = _training(out).get("minutes") or 0.0 if options.resume else 0.0
    minutes = plan.minutes(part, trained)
    if part.needs and not (options.out / part.needs / CONFIG).exists():
        plan.close(part, f"needs {part.needs}", 0.0, 0.0)
        return
    gone_on_with = plan.outcomes.get(part.name, {}).get("outcome") in UNFINISHED  # perhaps only drawing is left
    if minutes - trained < LEAST_MINUTES and not gone_on_with:
        plan.close(part, "no time left", 0.0, 0.0)
        return
    running = Running(_command(part, options, minutes), out, 60 * (minutes - trained + options.grace_minutes))

    def look() -> None:
        for other in [part for part, running in drawing.items() if running.over()]:
            _see_off(other, drawing.pop(other), options, plan, False)

    with _compiled_ahead(part, options, plan) as warm:
        watch(running, lambda: interrupted() or (options.ahead and running.trained), lambda: (look(), warm()))
    if options.ahead and running.trained and not running.over() and not interrupted():
        drawing[part] = running
        outcome = "drawing"
    else:
        outcome = running.outcome(interrupted())
    plan.close(part, outcome, time.monotonic() - running.began, minutes, trained)
    if outcome == "done":
        _install(part, options)


def _see_off(part: Part, running: Running, options: Options, plan: Plan, interrupted: bool) -> None:
    """What became of a part that was drawing while the next ones trained."""
    plan.outcomes[part.name]["outcome"] = outcome = running.outcome(interrupted)
    if outcome == "done":
        _install(part, options)


@contextmanager
def _compiled_ahead(part: Part, options: Options, plan: Plan) -> Iterator[Callable[[], None]]:
    """Beside a part, compile the network of the one that comes next; yields what is to be called now and then."""
    after = [other for other in plan.left if other is not part and not other.needs]
    if not (options.ahead and options.compile and after):
        yield lambda: None
        return
    out = options.out / AHEAD / after[0].name
    command = _command(after[0], replace(options, out=out.parent, resume=False, images=AHEAD_IMAGES), 0.0)
    warming = Warming(command, out)
    try:
        yield warming.look
    finally:
        warming.end()


def _install(part: Part, options: Options) -> None:
    """Copy a finished part's checkpoint to where it is wanted; trouble with that costs no other part its time."""
    if not options.install or part.name in {other.needs for other in PLANS[options.plan]}:
        return
    try:
        install(options.out / part.name, Path(options.install) / part.name)
    except (DiffdemoError, OSError) as error:
        tqdm.write(f"{part.name} was not installed: {error}", file=sys.stderr)


def _command(part: Part, options: Options, minutes: float) -> list[str]:
    out = options.out / part.name
    command = [sys.executable, "-m", part.module, "--out", str(out)]
    command += ["--data", str(options.data), "--device", options.device, "--threads", str(options.threads)]
    command += ["--precision", options.precision]
    command += [*["--compile"] * options.compile, *["--cuda-graph"] * options.cuda_graph]
    command += ["--max-minutes", f"{minutes:.3f}"]  # counts what a resumed run has had already
    ended = ["--images", str(options.images)] if options.images else []
    if options.resume and (out / RUN).exists():
        return [*command, *ended, "--resume"]
    command += ["--seed", str(options.seed), *part.flags, *ended]
    if part.needs:
        command += [f"--{part.needs}", str(options.out / part.needs)]
    start = Path(options.init_from or "") / (part.start or part.name)
    if options.init_from and (start / CONFIG).exists():
        return [*command, "--init-from", str(start)]
    return [*command, "--size", options.size]


def _training(folder: Path) -> dict:
    """What a run's checkpoint says of its training; nothing of one that is not there or damaged."""
    try:
        return Record(folder.name, folder).reached()
    except RequestError:
        return {}


def _table(parts: Sequence[Part], out: Path, outcomes: dict[str, dict]) -> str:
    """What became of every part, as aligned lines."""
    rows = [("part", "outcome", "images", "minutes", "images/s", "loss", "validation", "folder")]
    for part in parts:
        folder = out / part.name
        figures = map(_training(folder).get, ("images_seen", "minutes", "images_per_second", "loss", "val_loss"))
        cells = ("-" if value is None else f"{value:,}" for value in figures)
        rows.append((part.name, outcomes[part.name]["outcome"], *cells, str(folder)))
    return aligned(rows)


if __name__ == "__main__":
    run_command(main, Options)
