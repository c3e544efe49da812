"""How to make a run's pictures again outside the page: the command line, and Python."""

from pathlib import Path

from diffdemo import CHECKPOINTS
from diffdemo.process.guidance import number
from diffdemo.records.commands import shell_line
from diffdemo.request import ANY
from diffdemo.ui.runs.sampling_run import SamplingRun


def command(lane: SamplingRun, checkpoints: Path = CHECKPOINTS) -> str:
    """The command that writes the very PNG file that the page gives of this run."""
    asked, seeds, scale = lane.asked, lane.seeds, number(lane.asked.guidance.scale)
    class_name = [] if asked.class_name == ANY else ["--class", asked.class_name]
    words = [
        *("python", "-m", "diffdemo", "sample", "--model", lane.model.key, *class_name),
        *("--steps", str(asked.steps), "--sampler", asked.sampler),
        *_stopped(lane, "--stop-after", str(lane.shown)),
        *("--guidance", scale, *_guided_how(lane), "--seed", str(seeds[0]), "-n", str(len(seeds))),
        *("--device", lane.device, *["--compile"] * lane.compiled, "--out", f"{file_name(lane)}.png"),
        *([] if is_shipped(checkpoints) else ["--checkpoints", str(checkpoints)]),
    ]
    return shell_line(words)


def python(lane: SamplingRun, checkpoints: Path = CHECKPOINTS) -> str:
    """The same in Python: `images` is then (N, 32, 32, 3) uint8."""
    asked, seeds = lane.asked, lane.seeds
    elsewhere = "" if is_shipped(checkpoints) else f", checkpoints={str(checkpoints)!r}"
    elsewhere += ", compile=True" * lane.compiled
    class_name = None if asked.class_name == ANY else asked.class_name
    flags = iter(_guided_how(lane))
    stopped = "".join(_stopped(lane, f", stop_after={lane.shown}"))
    how = "".join(f"{flag[2:].replace('-', '_')}={value!r}, " for flag, value in zip(flags, flags, strict=True))
    wanted = f"[{seeds[0]}]" if len(seeds) == 1 else f"range({seeds[0]}, {seeds[-1] + 1})"
    return f"""import diffdemo

model = diffdemo.load({lane.model.key!r}, device={lane.device!r}{elsewhere})
images = model.sample(
    {class_name!r}, steps={asked.steps}, sampler={asked.sampler!r}, guidance_scale={number(asked.guidance.scale)},
    {how}seeds={wanted}{stopped},
)"""


def _guided_how(lane: SamplingRun) -> list[str]:
    """The flags of what differs from the checkpoint's own guidance, besides its scale."""
    asked, usual = lane.asked.guidance, lane.model.info.guidance
    interval = [] if asked.interval == usual.interval else ["--guidance-interval", asked.interval_text]
    return interval + ([] if asked.guide == usual.guide else ["--guide", asked.guide])


def _stopped(lane: SamplingRun, *words: str) -> tuple[str, ...]:
    """What to say of a run that did not come to its end, of which the last step on display is to be repeated."""
    return words if lane.film and not lane.finished else ()


def file_name(lane: SamplingRun, step: int | None = None) -> str:
    """Model, class and seeds, and the step that the pictures are of if it is not the run's last; without a suffix.

    The step is the last one on display unless given.
    """
    parts = [lane.model.key]
    if lane.asked.class_name != ANY:
        parts.append(lane.asked.class_name)
    parts.append(f"{lane.seeds[0]}" if len(lane.seeds) == 1 else f"{lane.seeds[0]}-to-{lane.seeds[-1]}")
    step = step or lane.shown or lane.total
    if step < lane.total:
        parts.append(f"after-{step}-of-{lane.total}-steps")
    return "-".join(parts)


def is_shipped(checkpoints: Path) -> bool:
    """Whether these are the checkpoints that the command line and Python take by themselves."""
    return Path(checkpoints).resolve() == CHECKPOINTS.resolve()
