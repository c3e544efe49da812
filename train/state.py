"""Saving and restoring a run, exactly.

Everything is in one safetensors file, written whole or not at all: tensors under prefixed names, the rest as JSON in
the header. Randomness is no part of it (see `train.randomness`).
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diffdemo.checkpoint import save_tensors
from diffdemo.errors import TrainingError

STATE = "state.safetensors"


def save_state(folder: Path, groups: dict[str, dict[str, Tensor]], facts: dict) -> None:
    """Write named groups of tensors and a JSON-able dictionary; CheckpointError if there is no room."""
    tensors = {f"{group}/{name}": tensor for group, members in groups.items() for name, tensor in members.items()}
    save_tensors(folder / STATE, tensors, {"facts": json.dumps(facts)})


def load_state(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict]:
    """What `save_state` wrote; TrainingError if there is nothing, or nothing readable."""
    path = folder / STATE
    if not path.is_file():
        raise TrainingError(f"There is no run to resume in {folder}; start it without --resume.")
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(str(path), framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
            for key in file.keys():  # noqa: SIM118 - no mapping
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} is damaged ({error}); start the run again without --resume.") from error
    return groups, facts


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as flat names, such as "3.exp_avg"."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, entry in state.items() for name, tensor in entry.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    # Fused kernels walk raw memory: the averages must lie in it as their parameter does (channels_last, for one),
    # which load_state_dict does not see to.
    for parameter, entry in optimizer.state.items():
        for name, value in entry.items():
            if value.shape == parameter.shape:
                entry[name] = torch.empty_like(parameter).copy_(value)
