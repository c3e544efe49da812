"""Checkpoints: weights as safetensors and a JSON description, verified on loading, written whole or not at all.

A checkpoint is a folder. `model.safetensors` (or numbered shards of it) holds the weights, in fp16 (format 1) or the
large ones in int8 (format 2), see `diffdemo.tensor_files`; its header repeats what the network is. `config.json` holds
the same, the SHA-256 of every weights file, and how it was trained. A model of latents may have `map.safetensors` too,
which `diffdemo.latent.map` reads. Nothing is ever unpickled, so a checkpoint from anywhere is safe to open.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from diffdemo import validate
from diffdemo.atomic import hidden_folder, move, write_atomically
from diffdemo.errors import CheckpointError, DiffdemoError, reason
from diffdemo.process.diffusion import Diffusion
from diffdemo.process.guidance import GUIDES, WEAK_MODEL, Guidance, parse_interval
from diffdemo.process.samplers import SAMPLERS
from diffdemo.process.schedule import SPACINGS, NoiseSchedule
from diffdemo.registry import ModelSpec, spec
from diffdemo.tensor_files import (
    FP16,
    INT8,
    cannot_read,
    could_not_write,
    decode,
    encode,
    load_tensors,
    save_tensors,
    sha256,
    shards,
    write_tensors,
)

# By how the weights are kept, so that a reader that knows fp16 alone refuses the other.
FORMATS = {FP16: 1, INT8: 2}
# Of tensors in one file, which with its header is below 15 MiB: hosts of repositories are unhappy with larger ones.
SHARD_BYTES = 15 * 2**20 - 2**18
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
        defaults: {"sampler", "steps", "guidance_scale"} that show the model well; "spacing", "guidance_interval" and
            "guide" too, if they are others than trailing, everywhere and no-class.
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

    def build_network(self) -> nn.Module:
        """A freshly initialised network of these settings."""
        return self.spec.build(self.spec.config_type(**self.model))

    @property
    def spacing(self) -> str:
        """How the steps of a run are spaced where nothing else is asked for."""
        return self.defaults.get("spacing", SPACINGS[0])

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

    def build_diffusion(self) -> Diffusion:
        """The schedule and prediction type the network was trained with."""
        return Diffusion(self.schedule, self.diffusion["prediction"])


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


def save_checkpoint(
    folder: Path, info: CheckpointInfo, weights: Mapping[str, Tensor], encoding: str = FP16
) -> CheckpointInfo:
    """Write weights and their description to `folder`; return the description with the files' SHA-256.

    All files are complete, in a hidden folder, before the first of them takes its place: without space left, the
    checkpoint that was there stays. `config.json` is moved last and names the weights' hashes, so that a reader never
    takes a half-moved checkpoint for a whole one.

    Args:
        encoding: "fp16", or "int8" for the large weights, see `diffdemo.tensor_files`.

    Raises:
        CheckpointError: it could not be written, or a weight does not fit into int8. RequestError: there is no such
            encoding.
    """
    validate.choice("encoding of weights", encoding, list(FORMATS))
    parts = shards(encode(weights, encoding), SHARD_BYTES)
    header, files = _header(info), {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hidden_folder(folder) as hidden:
            for number, part in enumerate(parts):
                name = _weights_name(number, len(parts))
                write_tensors(hidden / name, part, header)
                files[name] = sha256(hidden / name)
            complete = replace(info, files=files, encoded_from={}, format=FORMATS[encoding])
            write_info(hidden, complete)
            for name in (*files, CONFIG):
                move(hidden / name, folder / name)
    except (OSError, SafetensorError) as error:
        raise could_not_write(folder, error) from error
    return complete


def _header(info: CheckpointInfo) -> dict[str, str]:
    return {"diffdemo": json.dumps(info.identity, sort_keys=True, default=list)}


def _weights_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number + 1:05}-of-{count:05}.safetensors"


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
        info.build_diffusion()
        _check_parts(info)
    except (DiffdemoError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} was edited or is damaged ({reason(error)}); restore it or train the model again."
        ) from error
    return info


def _check_parts(info: CheckpointInfo) -> None:
    """What building the network and the diffusion does not check; ValueError says what is wrong."""
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
    validate.choice("sampler", info.defaults["sampler"], list(SAMPLERS))
    validate.steps(info.defaults["steps"], info.build_diffusion().schedule.steps)
    validate.choice("spacing", info.spacing, SPACINGS)
    asked = info.guidance
    validate.real_number("guidance_scale", asked.scale, 0, validate.MAX_GUIDANCE)
    if validate.choice("guide", asked.guide, GUIDES) == WEAK_MODEL and not info.has_guide:
        raise ValueError(f"the guide is {WEAK_MODEL}, and files names none")


def load_weights(folder: Path, info: CheckpointInfo) -> dict[str, Tensor]:
    """The weights of a checkpoint as float32, verified against the hashes and settings in its description."""
    weights: dict[str, Tensor] = {}
    for name in weights_among(info.files):
        tensors, _ = read_tensors(folder, info, name)
        weights |= _decoded(Path(folder) / name, info, tensors)
    return weights


def _decoded(path: Path, info: CheckpointInfo, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in one of a checkpoint's files; CheckpointError says which tensor is none."""
    try:
        return decode(tensors, encoding_of(info))
    except ValueError as error:
        raise CheckpointError(
            f"{path} holds something else than weights ({reason(error)}); restore it or train again."
        ) from error


def read_tensors(folder: Path, info: CheckpointInfo, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """One of the files that `info` names, and its header, verified; CheckpointError says what is wrong with it."""
    path = Path(folder) / Path(name).name
    tensors, header = load_tensors(path, info.files[name])
    try:
        identity = json.loads(header.get("diffdemo", "null"))
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not a safetensors file ({reason(error)}); restore it or train again."
        ) from error
    if identity != json.loads(json.dumps(info.identity, default=list)):
        raise CheckpointError(f"{Path(folder) / CONFIG} does not belong to {path.name}: one was edited; restore both.")
    return tensors, header


def guide_folder(folder: Path, info: CheckpointInfo) -> Path:
    """Where the guide of a checkpoint that has one lies, a checkpoint itself; CheckpointError if it is another one."""
    path = Path(folder) / GUIDE_CONFIG
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; restore the checkpoint or install the guide again.")
        if sha256(path) != info.files[GUIDE_CONFIG]:
            raise CheckpointError(f"{path} was changed (its SHA-256 differs); restore it or install the guide again.")
    except OSError as error:
        raise cannot_read(path, error) from error
    return path.parent


def add_tensors(folder: Path, name: str, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> CheckpointInfo:
    """Write one more file into a checkpoint and its hash into the description, which is returned.

    Raises:
        CheckpointError: there is no checkpoint, or no room for the file.
    """
    info = read_info(folder)
    save_tensors(folder / name, tensors, {**header, **_header(info)})
    complete = replace(info, files=info.files | {name: sha256(folder / name)})
    write_info(folder, complete)
    return complete


def load_network(folder: Path) -> tuple[nn.Module, CheckpointInfo]:
    """A checkpoint's network on the CPU, in evaluation mode, and its description."""
    info = read_info(folder)
    return build_network(folder, info), info


def build_network(folder: Path, info: CheckpointInfo) -> nn.Module:
    """The network that `info`, the description of the checkpoint in `folder`, describes, with its weights."""
    # Weights first: they are verified, and an edited description cannot ask for a network that fills the memory.
    weights = load_weights(folder, info)
    try:
        with torch.device("meta"):  # where a network takes no memory, whatever size it is described to have
            info.build_network().load_state_dict(weights, assign=True)
        network = info.build_network()
        network.load_state_dict(weights)
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:
        last = reason(str(error).splitlines()[-1])
        raise CheckpointError(
            f"The weights in {folder} are not those of {info.key} as its {CONFIG} describes it ({last}); fix it."
        ) from error
    return network.eval().requires_grad_(False)


def parameter_count(network: nn.Module) -> int:
    """Number of weights of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
