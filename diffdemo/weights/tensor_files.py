"""Files of tensors, and weights as they lie in them: in fp16, or the large ones in int8.

In the encoding "int8" each weight of two or more dimensions and 4,096 or more numbers is an int8 tensor of its own name
and shape, and NAME.scale beside it, in the same file, is fp16 of shape (first dimension,): weight = int8 * scale, see
`diffdemo.weights.quantise`. All others, and everything in the encoding "fp16", are fp16.
"""

import errno
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diffdemo.atomic import write_atomically
from diffdemo.description import FP16, INT8
from diffdemo.errors import CheckpointError, cannot_read, reason
from diffdemo.weights.quantise import LARGEST, dequantise, quantise

SCALE = ".scale"
LEAST_NUMBERS = 4096  # in smaller weights there is nothing to save
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def encode(weights: Mapping[str, Tensor], encoding: str) -> Iterator[dict[str, Tensor]]:
    """The tensors that each weight becomes, by their names, one weight after the other.

    Raises:
        CheckpointError: a weight is to become int8 and is not finite, or too large.
    """
    for name, tensor in weights.items():
        weight = tensor.detach().cpu()
        if encoding == FP16 or weight.ndim < 2 or weight.numel() < LEAST_NUMBERS or not weight.is_floating_point():
            yield {name: weight.half().contiguous()}
            continue
        try:
            rounded, scale = quantise(weight)
        except ValueError as error:
            raise CheckpointError(
                f"The weight {name} {error}, which int8 has no place for; keep it in fp16."
            ) from error
        yield {name: rounded.contiguous(), name + SCALE: scale}


def decode(tensors: Mapping[str, Tensor], encoding: str) -> dict[str, Tensor]:
    """The weights in a file's tensors, as float32; ValueError says what cannot be one in this encoding."""
    quantised = {name for name, tensor in tensors.items() if encoding == INT8 and tensor.dtype == torch.int8}
    scales = {name + SCALE for name in quantised}
    weights = {}
    for name, tensor in tensors.items():
        if name in scales:
            continue
        if name in quantised:
            weights[name] = _from_int8(name, tensor, tensors.get(name + SCALE))
        elif tensor.dtype not in FLOATS:
            raise ValueError(f"{name} is {_named(tensor.dtype)}, which the encoding {encoding} has no place for")
        elif name.endswith(SCALE) and name.removesuffix(SCALE) in tensors:
            raise ValueError(f"{name} is the scale of a weight in int8, and {name.removesuffix(SCALE)} is none")
        else:
            weights[name] = tensor.float()
    return weights


def _from_int8(name: str, rounded: Tensor, scale: Tensor | None) -> Tensor:
    if rounded.ndim < 2:
        raise ValueError(f"{name} is int8 of {rounded.ndim} dimensions, and two are the least")
    if scale is None:
        raise ValueError(f"{name} is int8 and has no {name}{SCALE}")
    if scale.dtype != torch.float16:
        raise ValueError(f"{name}{SCALE} is {_named(scale.dtype)} and must be float16")
    if scale.shape != rounded.shape[:1]:
        raise ValueError(f"{name}{SCALE} has the shape {tuple(scale.shape)} and must have {tuple(rounded.shape[:1])}")
    if not bool((torch.isfinite(scale) & (scale >= 0)).all()):
        raise ValueError(f"{name}{SCALE} holds a number that is negative or not finite")
    if bool((rounded < -LARGEST).any()):
        raise ValueError(f"{name} holds -128, and {-LARGEST} is the least")
    return dequantise(rounded, scale)


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def shards(groups: Iterable[dict[str, Tensor]], most: int) -> list[dict[str, Tensor]]:
    """Groups of tensors one after the other in as few files of at most `most` bytes as that allows.

    A group stays together; one that is larger has a file of its own.
    """
    files, size = [{}], 0
    for group in groups:
        more = sum(tensor.nbytes for tensor in group.values())
        if size and size + more > most:
            files.append({})
            size = 0
        files[-1].update(group)
        size += more
    return files


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write a new safetensors file that whoever may read this process's other files may read too.

    Raises OSError or SafetensorError as they come.
    """
    path.touch()
    mode = path.stat().st_mode  # that of the umask, where safetensors 0.8 gives 0600 whatever the umask says
    save_file(dict(tensors), path, dict(header))
    path.chmod(mode)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write one safetensors file, whole or not at all; CheckpointError if there is no room for it."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        write_atomically(path, lambda unfinished: write_tensors(unfinished, kept, metadata))
    except (OSError, SafetensorError) as error:
        raise could_not_write(path, error) from error


def could_not_write(path: Path, error: Exception) -> CheckpointError:
    """What to raise of a file or folder that could not be written."""
    said = str(error)
    no_space = getattr(error, "errno", None) == errno.ENOSPC or "space left" in said or "StorageFull" in said
    why = "there is no space left on the disk" if no_space else getattr(error, "strerror", None) or reason(error)
    return CheckpointError(f"{path} could not be written because {why}; what was there before is unchanged.")


def load_tensors(path: Path, digest: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors in a safetensors file, and its header; CheckpointError unless its SHA-256 is `digest`."""
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; restore the checkpoint or train the model again.")
        if sha256(path) != digest:
            raise CheckpointError(
                f"{path} is truncated or was changed (its SHA-256 differs); restore it or train again."
            )
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except OSError as error:
        raise cannot_read(path, error) from error
    except CheckpointError:
        raise
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file ({reason(error)}); restore it or train again."
        ) from error
