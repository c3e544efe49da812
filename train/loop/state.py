"""The file of a run's state: everything that decides how it goes on, but for its settings.

One safetensors file, written whole or not at all: tensors as "group/name", the rest as JSON in the header. Randomness
is no part of it (see `train.loop.randomness`).
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diffdemo.errors import TrainingError, reason
from diffdemo.records.files import STATE
from diffdemo.weights.tensor_files import save_tensors

if TYPE_CHECKING:
    from train.loop.trainer import Trainer

# Numbers of a trainer that go on counting.
COUNTERS = ("step", "images_seen", "seconds", "waiting", "best_val_loss")


def state_of(trainer: "Trainer") -> dict:
    """Everything that decides how the run goes on: groups of tensors by name, and what JSON can hold."""
    return {name: getattr(trainer, name) for name in COUNTERS} | {
        "network": trainer.task.network.state_dict(),
        "averaged": trainer.averaged.state_dict(),
        "slow": trainer.slow.state_dict() if trainer.slow else {},
        "optimizer": optimizer_tensors(trainer.optimizer),
        "loop": trainer.meter.tensors,
        "scaler": trainer.scaler.state_dict(),
        "rows": [asdict(row) for row in trainer.meter.rows],
        "processes": trainer.group.size,
        "measured": {trainer.device.type: trainer.precision} if trainer.settings.precision == "auto" else {},
    }


def restore(trainer: "Trainer", state: dict) -> None:
    """Go on from what `state_of` gave.

    Raises:
        TrainingError: it is of another network or number of processes.
    """
    folder, processes = trainer.settings.out, state.get("processes", 1)
    if processes != trainer.group.size:
        how = f"with torchrun --nproc-per-node={processes}" if processes > 1 else "without torchrun"
        raise TrainingError(
            f"{folder} holds a run of {processes} processes, which decide its batches, and this is "
            f"{trainer.group.size}; resume it {how}."
        )
    try:
        trainer.task.network.load_state_dict(state["network"])
        trainer.averaged.load_state_dict(state["averaged"])
        if trainer.slow:
            trainer.slow.load_state_dict(state["slow"])
        restore_optimizer(trainer.optimizer, state.get("optimizer", {}))
    except (KeyError, RuntimeError, ValueError) as error:
        raise TrainingError(f"{folder} holds a run of another network; resume with its flags.") from error
    trainer.meter.restore(state["loop"], state["rows"])
    if state["scaler"]:  # of a run in fp16; any other begins with a fresh one
        trainer.scaler.load_state_dict(state["scaler"])
    for name in COUNTERS:
        setattr(trainer, name, state[name])


def save_state(folder: Path, state: dict) -> None:
    """Write what `state_of` gave; CheckpointError if there is no room."""
    groups = {name: part for name, part in state.items() if isinstance(part, dict) and _has_tensors(part)}
    facts = {name: part for name, part in state.items() if name not in groups}
    tensors = {f"{group}/{name}": tensor for group, members in groups.items() for name, tensor in members.items()}
    save_tensors(folder / STATE, tensors, {"facts": json.dumps(facts)})


def load_state(folder: Path) -> dict:
    """What `save_state` wrote; TrainingError if there is nothing, or nothing readable."""
    path = folder / STATE
    if not path.is_file():
        raise TrainingError(f"There is no run to resume in {folder}; start it without --resume.")
    try:
        with safe_open(str(path), framework="pt") as file:
            state = json.loads(file.metadata()["facts"])
            for key in file.keys():  # noqa: SIM118 - no mapping
                group, name = key.split("/", 1)
                state.setdefault(group, {})[name] = file.get_tensor(key)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise TrainingError(f"{path} is damaged ({reason(error)}); start the run again without --resume.") from error
    return state


def _has_tensors(part: dict) -> bool:
    return any(isinstance(value, Tensor) for value in part.values())


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
