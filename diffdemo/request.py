"""What a run is asked for, checked once, for the library, the command line, the page, its links and measurements."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from diffdemo import validate
from diffdemo.description import CheckpointInfo
from diffdemo.process.guidance import NO_CLASS, Guidance, checked_guidance
from diffdemo.process.names import SAMPLER_NAMES
from diffdemo.process.schedule import SPACINGS

ANY = "any"  # no class: what an unconditional model draws, and others on request


@dataclass(frozen=True)
class SamplingRequest:
    """A run of one model, every setting checked and filled in.

    Attributes:
        classes: for each image the name of its class, or ANY.
        seeds: for each image its own, 0 to 2^64 - 1.
        steps: 1 to the schedule's length.
        sampler: one of `diffdemo.process.names.SAMPLER_NAMES`.
        spacing: one of `diffdemo.process.schedule.SPACINGS`.
        guidance: how the class, or the model's lead over a weaker one, is exaggerated.
        eps_scale: what guessed noise is divided by, 0.9 to 1.1, see `diffdemo.process.diffusion.rescale_eps`.
        eta: of ddim, 0 to 1, or None where it was not named.
        variance: of ddpm, "small" or "large", or None where it was not named.
    """

    classes: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    sampler: str
    spacing: str
    guidance: Guidance
    eps_scale: float = 1.0
    eta: float | None = None
    variance: str | None = None

    @classmethod
    def of(
        cls,
        info: CheckpointInfo,
        class_name: str | Sequence[str | None] | None = None,
        *,
        seeds: object = (0,),
        steps: object = None,
        sampler: str | None = None,
        spacing: str | None = None,
        eps_scale: object = None,
        guidance_scale: object = None,
        guidance_interval: object = None,
        guide: str | None = None,
        most: int | None = None,
        **options: object,
    ) -> "SamplingRequest":
        """The request for a checkpoint's model; what is None is the checkpoint's default.

        Args:
            info: of the checkpoint.
            class_name: a class for all images, or one for each; None and "any" are no class.
            most: steps there are, if fewer than the schedule has.
            options: `eta` for ddim, `variance` for ddpm.

        Raises:
            RequestError: a setting is out of range or unknown.
        """
        seeds = tuple(validate.seeds(seeds))
        classes = _classes(class_name, len(seeds), info)
        most = info.schedule.steps if most is None else most
        count = min(info.defaults["steps"], most) if steps is None else validate.steps(steps, most)
        name = validate.choice("sampler", info.defaults["sampler"] if sampler is None else sampler, SAMPLER_NAMES)
        spacing = validate.choice("spacing", info.spacing if spacing is None else spacing, SPACINGS)
        eps_scale = validate.eps_scale(info.eps_scale if eps_scale is None else eps_scale)
        options = validate.sampler_options(name, options)
        usual = info.guidance
        guidance = checked_guidance(
            usual.scale if guidance_scale is None else guidance_scale,
            usual.interval if guidance_interval is None else guidance_interval,
            usual.guide if guide is None else guide,
            key=info.key,
            classes=info.classes,
            has_weak_model=info.has_guide,
        )
        return cls(classes, seeds, count, name, spacing, guidance, eps_scale, **options)

    @property
    def options(self) -> dict[str, object]:
        """What the sampler takes besides the number of steps."""
        own = {"eta": self.eta, "variance": self.variance}
        return {"spacing": self.spacing, **{name: value for name, value in own.items() if value is not None}}

    @property
    def class_name(self) -> str:
        """The class of all images; of a request for several classes, that of the first."""
        return self.classes[0]

    @property
    def guided(self) -> bool:
        """Whether guidance changes anything: without a class, a guess has nothing that one without a class lacks."""
        return self.guidance.scale != 1 and (self.guidance.guide != NO_CLASS or any(c != ANY for c in self.classes))

    def part(self, images: slice) -> "SamplingRequest":
        """The same for some of the images."""
        return replace(self, classes=self.classes[images], seeds=self.seeds[images])


def _classes(class_name: str | Sequence[str | None] | None, count: int, info: CheckpointInfo) -> tuple[str, ...]:
    if class_name is None or isinstance(class_name, str):
        names = [class_name] * count
    elif len(class_name) != count:
        raise validate.RequestError(f"There must be one class for each seed: {len(class_name)} for {count}.")
    else:
        names = list(class_name)
    for name in names:
        validate.class_index(name, info.classes, info.key)
    return tuple(ANY if name is None else name for name in names)
