"""What a checkpoint's `config.json` says, checked: which network it is of, how that was trained, and its files.

Until a network is built nothing here needs PyTorch, so that whoever lists checkpoints does not wait seconds for it.
Their weights are read and written by `diffdemo.checkpoint`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from diffdemo import validate
from diffdemo.atomic import write_atomically
from diffdemo.errors import CheckpointError, DiffdemoError, cannot_read, reason
from diffdemo.process.guidance import GUIDES, WEAK_MODEL, Guidance, parse_interval
from diffdemo.process.names import PREDICTION_NAMES, SAMPLER_NAMES
from diffdemo.process.schedule import SPACINGS, NoiseSchedule
from diffdemo.registry import ModelSpec, spec

if TYPE_CHECKING:
    from torch import nn

FP16, INT8 = "fp16", "int8"  # how the weights are kept, see `diffdemo.weights`
# By that, so that a reader that knows fp16 alone refuses the other.
FORMATS = {FP16: 1, INT8: 2}
CONFIG = "config.json"
GUIDE = "guide"  # folder of a weaker version of the model, a checkpoint of its own: see `diffdemo.process.guidance`
GUIDE_CONFIG = f"{GUIDE}/{CONFIG}"  # whose hash stands for the guide's: it names those of its weights
AUTOENCODER, DENOISER = "autoencoder", "denoiser"  # what a checkpoint may have trained
MAP = "map.safetensors"  # of the latent space, see `diffdemo.latent.map`: no weights, and a checkpoint may lack it


@dataclass(frozen=True)
class CheckpointInfo:
    """What `config.json` says.

    Attributes:
        key: architecture, a key of `diffdemo.registry.SPECS`.
        model: settings of the network, as keyword arguments of its config dataclass.
        diffusion: {"schedule": arguments of NoiseSchedule, "prediction": name}.
        classes: names of the classes the network is conditioned on, in the order of its labels.
        parameters: number of weights.
        defaults: {"sampler", "steps", "guidance_scale"} that show the model well; "spacing", "eps_scale",
            "guidance_interval" and "guide" too, if they are others than trailing, 1, everywhere and no-class.
        training: images_seen, minutes, hardware, images_per_second, command and the loss reached; started_from, the
            same of the weights that it began with, if it did.
        metrics: measured quality figures, by name: numbers, or as `diffdemo.records.measured.record` makes them.
        files: {file: SHA-256} of the weights, and of the map of the latent space and the guide if there are any.
        encoded_from: {file: SHA-256} of the weights that these were before they were kept in another encoding, which
            may be those that were measured; empty if they never were.
        trained: the parts that are; of a model of latents first AUTOENCODER alone, later DENOISER too.
        format: one of FORMATS.
    """

    key: str
    model: dict
    diffusion: dict
    classes: tuple[str, ...]
    parameters: int
    defaults: dict
    training: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    encoded_from: dict = field(default_factory=dict)
    trained: tuple[str, ...] = (DENOISER,)
    format: int = FORMATS[FP16]

    @property
    def spec(self) -> ModelSpec:
        return spec(self.key)

    @property
    def identity(self) -> dict:
        """The part that decides what the weights mean; it is written into the weights' header too."""
        return {"key": self.key, "model": self.model, "diffusion": self.diffusion, "classes": list(self.classes)}

    def build_network(self) -> "nn.Module":
        """A freshly initialised network of these settings."""
        return self.spec.build(self.spec.config_type(**self.model))

    @property
    def spacing(self) -> str:
        """How the steps of a run are spaced where nothing else is asked for."""
        return self.defaults.get("spacing", SPACINGS[0])

    @property
    def eps_scale(self) -> float:
        """What guessed noise is divided by where nothing else is asked for."""
        return self.defaults.get("eps_scale", 1.0)

    @property
    def guidance(self) -> Guidance:
        """How a run is guided where nothing else is asked for."""
        asked = self.defaults
        interval, guide = parse_interval(asked.get("guidance_interval")), asked.get("guide", GUIDES[0])
        return Guidance(float(asked["guidance_scale"]), interval, guide)

    @property
    def has_guide(self) -> bool:
        """Whether a weaker version of the model lies in the checkpoint, to guide it."""
        return GUIDE_CONFIG in self.files

    @property
    def has_denoiser(self) -> bool:
        """Whether there is more to it than an autoencoder."""
        return DENOISER in self.trained

    @property
    def weights(self) -> dict[str, str]:
        """{file: SHA-256} of the model's own weights."""
        return weights_among(self.files)

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule the network was trained with."""
        return NoiseSchedule(**self.diffusion["schedule"])


def weights_among(files: Mapping[str, str]) -> dict[str, str]:
    """Those of a description's files that hold weights of its own network."""
    return {name: digest for name, digest in files.items() if name not in (MAP, GUIDE_CONFIG)}


def encoding_of(info: CheckpointInfo) -> str:
    """How the weights of a checkpoint are kept: "fp16" or "int8"."""
    return next(encoding for encoding, number in FORMATS.items() if number == info.format)


def write_json(path: Path, content: object) -> None:
    """Write JSON that people can read and git can compare."""
    write_atomically(path, lambda p: p.write_text(json.dumps(content, indent=2, default=list) + "\n", "utf-8"))


def write_info(folder: Path, info: CheckpointInfo) -> None:
    """Write what `config.json` says; OSError as the system gave it."""
    content = asdict(info)
    for name, usual in (("encoded_from", {}), ("trained", (DENOISER,))):
        if content.get(name) == usual:  # format 1 as it always was, for readers that know nothing else
            del content[name]
    write_json(folder / CONFIG, content)


def read_config(folder: Path) -> dict:
    """What `config.json` of a checkpoint holds; CheckpointError if it is missing, damaged or of another format."""
    path = Path(folder) / CONFIG
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is no checkpoint: it has no {CONFIG}; train one or name another folder."
        ) from None
    except OSError as error:
        raise cannot_read(path, error) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON; restore the checkpoint or train it again.") from error
    if not isinstance(content, dict) or content.get("format") not in FORMATS.values():
        known = " or ".join(map(str, FORMATS.values()))
        raise CheckpointError(f"{path} does not describe a diffdemo checkpoint of format {known}; use one that does.")
    return content


def trained_parts(content: Mapping) -> tuple[str, ...]:
    """Which parts of a model are trained, from what its `config.json` says, which may be older than `trained`."""
    if "trained" in content:
        return tuple(content["trained"])
    training = content.get("training")
    known = training if isinstance(training, dict) else {}
    if known.get("images_seen") == 0:
        return (AUTOENCODER,)
    return (AUTOENCODER, DENOISER) if AUTOENCODER in known else (DENOISER,)


def read_info(folder: Path) -> CheckpointInfo:
    """Read a checkpoint's description without its weights; CheckpointError if it is none."""
    content, path = read_config(folder), Path(folder) / CONFIG
    try:
        info = CheckpointInfo(**{**content, "classes": tuple(content["classes"]), "trained": trained_parts(content)})
        info.spec.config_type(**info.model)
        _check_parts(info)
    except (DiffdemoError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} was edited or is damaged ({reason(error)}); restore it or train the model again."
        ) from error
    return info


def _check_parts(info: CheckpointInfo) -> None:
    """What building the network does not check; ValueError says what is wrong."""
    schedule = info.schedule
    validate.choice("prediction type", info.diffusion["prediction"], PREDICTION_NAMES)
    for name in ("defaults", "training", "metrics", "files", "encoded_from"):
        if not isinstance(getattr(info, name), dict):
            raise ValueError(f"{name} is no object")
    missing = {"sampler", "steps", "guidance_scale"} - info.defaults.keys()
    if missing:
        raise ValueError(f"defaults has no {min(missing)}")
    for name in info.files:
        if not name.isprintable():  # a sentence will name it
            raise ValueError(f"files names {name!a}, which is no file's name")
    if not isinstance(info.parameters, int):
        raise ValueError("parameters is no whole number")
    if not all(isinstance(name, str) for name in info.classes):
        raise ValueError("classes are not all names")
    for part in info.trained:
        validate.choice("trained part", part, (AUTOENCODER, DENOISER))
    validate.choice("sampler", info.defaults["sampler"], SAMPLER_NAMES)
    validate.steps(info.defaults["steps"], schedule.steps)
    validate.choice("spacing", info.spacing, SPACINGS)
    validate.eps_scale(info.eps_scale)
    asked = info.guidance
    validate.real_number("guidance_scale", asked.scale, 0, validate.MAX_GUIDANCE)
    if validate.choice("guide", asked.guide, GUIDES) == WEAK_MODEL and not info.has_guide:
        raise ValueError(f"the guide is {WEAK_MODEL}, and files names none")
