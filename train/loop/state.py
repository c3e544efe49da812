"""Saving and restoring a run, exactly.

Everything is in one safetensors file, written whole or not at all: tensors under prefixed names, the rest as JSON in
the header. Randomness is no part of it (see `train.loop.randomness`).
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diffdemo.checkpoint import save_tensors
from diffdemo.errors import TrainingError
from diffdemo.records.files import STATE

if TYPE_CHECKING:
    from train.loop.trainer import Trainer

# Numbers of the trainer that go on counting.
COUNTERS = ("step", "images_seen", "seconds", "waiting", "best_val_loss")


def save_run(trainer: "Trainer") -> None:
    """Write everything that decides how a run goes on into its folder; CheckpointError if there is no room."""
    groups = {
        "network": trainer.task.network.state_dict(),
        "averaged": trainer.averaged.state_dict(),
        "slow": trainer.slow.state_dict() if trainer.slow else {},
        "optimizer": optimizer_tensors(trainer.optimizer),
        "loop": trainer.meter.tensors,
    }
    facts = {name: getattr(trainer, name) for name in COUNTERS} | {
        "scaler": trainer.scaler.state_dict(),
        "rows": [asdict(row) for row in trainer.meter.rows],
        "processes": trainer.group.size,
    }
    save_state(trainer.settings.out, groups, facts)


def restore_run(trainer: "Trainer") -> None:
    """Put a trainer where the run in its folder was saved.

    Raises:
        TrainingError: there is no such run, it is damaged, or it is one of another network or number of processes.
    """
    folder, size = trainer.settings.out, trainer.group.size
    groups, facts = load_state(folder)
    processes = facts.get("processes", 1)
    if processes != size:
        raise TrainingError(
            f"{folder} holds a run of {processes} processes, which decide its batches, and this is {size}; resume it "
            f"{f'with torchrun --nproc-per-node={processes}' if processes > 1 else 'without torchrun'}."
        )
    try:
        trainer.task.network.load_state_dict(groups["network"])
        trainer.averaged.load_state_dict(groups["averaged"])
        if trainer.slow:
            trainer.slow.load_state_dict(groups["slow"])
        restore_optimizer(trainer.optimizer, groups.get("optimizer", {}))
    except (KeyError, RuntimeError, ValueError) as error:
        raise TrainingError(f"{folder} holds a run of another network; resume with its flags.") from error
    trainer.meter.restore(groups["loop"], facts["rows"])
    if facts["scaler"]:  # of a run in fp16; any other begins with a fresh one
        trainer.scaler.load_state_dict(facts["scaler"])
    for name in COUNTERS:
        setattr(trainer, name, facts[name])


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
