"""Checkpoints: weights as safetensors and a JSON description, verified on loading, written whole or not at all.

A checkpoint is a folder. `model.safetensors` (or numbered shards of it) holds the weights, in fp16 (format 1) or the
large ones in int8 (format 2), see `diffdemo.weights`; its header repeats what the network is. `config.json`, see
`diffdemo.description`, holds the same, the SHA-256 of every weights file, and how it was trained. A model of latents
may have `map.safetensors` too, which `diffdemo.latent.map` reads. Nothing is ever unpickled, so a checkpoint from
anywhere is safe to open.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from diffdemo import validate
from diffdemo.atomic import hidden_folder, move
from diffdemo.description import (
    CONFIG,
    FORMATS,
    FP16,
    GUIDE_CONFIG,
    CheckpointInfo,
    encoding_of,
    read_info,
    weights_among,
    write_info,
)
from diffdemo.errors import CheckpointError, cannot_read, reason
from diffdemo.weights.tensor_files import (
    could_not_write,
    decode,
    encode,
    load_tensors,
    save_tensors,
    sha256,
    shards,
    write_tensors,
)

# Of tensors in one file, which with its header is below 15 MiB: hosts of repositories are unhappy with larger ones.
SHARD_BYTES = 15 * 2**20 - 2**18


def save_checkpoint(
    folder: Path, info: CheckpointInfo, weights: Mapping[str, Tensor], encoding: str = FP16
) -> CheckpointInfo:
    """Write weights and their description to `folder`; return the description with the files' SHA-256.

    All files are complete, in a hidden folder, before the first of them takes its place: without space left, the
    checkpoint that was there stays. `config.json` is moved last and names the weights' hashes, so that a reader never
    takes a half-moved checkpoint for a whole one.

    Args:
        encoding: "fp16", or "int8" for the large weights, see `diffdemo.weights`.

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
