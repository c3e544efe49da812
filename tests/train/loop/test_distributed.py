"""Two processes that train together, through torchrun on the CPU."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed_helpers import SPOILED_STEP, STEPS, MirrorTask, forty_pictures, settings
from safetensors.numpy import load_file
from sentences import refused

from diffdemo.errors import TrainingError
from train.loop.randomness import DataOrder
from train.loop.trainer import Trainer

ROOT = Path(__file__).parents[3]
MEASURED = ("loss", "val_loss", "grad_norm")


def torchrun(*arguments: object) -> subprocess.CompletedProcess:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, "-m", "tests.support.distributed_helpers", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def read_csv(path: Path) -> list[dict]:
    with path.open() as file:
        return list(csv.DictReader(file))


def single(out: Path, resume: bool = False) -> Trainer:
    """One process with the same pictures in each step, of which the same were spoiled."""
    task = MirrorTask(lambda call: call == 2 * SPOILED_STEP)
    data = forty_pictures()
    return Trainer(task, settings(out, accumulate=2), data, data, torch.device("cpu"), resume)


def test_two_processes_train_as_one_does_and_a_killed_job_is_resumed_to_the_same_bits(tmp_path):
    killed = torchrun(tmp_path)
    assert "Signal 9 (SIGKILL)" in killed.stderr, killed.stderr

    alone = single(tmp_path / "one")
    alone.run()
    expected = [part.state_dict() for part in (alone.task.network, alone.averaged, alone.slow)]
    ranks = [torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1)]
    for states, (_, _, skipped, seconds) in ranks:
        for state, other, one in zip(states, ranks[0][0], expected, strict=True):
            for name in state:
                assert torch.equal(state[name], other[name]), name
                torch.testing.assert_close(state[name], one[name], rtol=1e-4, atol=1e-5)
        assert skipped == 1 and seconds == ranks[0][1][3]
    network, averaged, slow = (
        state["0.weight"] if "0.weight" in state else state["module.0.weight"] for state in expected
    )
    for one, other in ((network, averaged), (averaged, slow), (slow, MirrorTask(None).network[0].weight)):
        assert not torch.allclose(one, other, rtol=1e-3)

    # Each takes its half of a batch, and noise of its own.
    order = DataOrder(40, 0).indices(0, 16 * STEPS).reshape(STEPS, 2, 8)
    for rank, (_, (labels, noise, *_)) in enumerate(ranks):
        assert labels == order[:, rank].tolist()
        assert not np.isin(noise, ranks[1 - rank][1][1]).any()
        assert noise == alone.task.noise[rank::2]

    # The loss curve is that of one process.
    curves = [read_csv(tmp_path / name / "history.csv") for name in ("one", "whole")]
    assert len(curves[0]) == len(curves[1]) >= 16
    for one, both in zip(*curves, strict=True):
        assert one | {name: both[name] for name in MEASURED} == both
        for name in MEASURED:
            assert float(one[name]) == pytest.approx(float(both[name]), abs=1e-5), (name, one)

    resumed = torchrun(tmp_path / "killed", "resume")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("fp32, 2 processes.") == 1  # only the first says anything
    one, other = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "killed"))
    assert one.keys() == other.keys()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
    assert (tmp_path / "whole/history.csv").read_bytes() == (tmp_path / "killed/history.csv").read_bytes()

    with refused(TrainingError, "holds a run of 2 processes.*resume it with torchrun --nproc-per-node=2"):
        single(tmp_path / "whole", resume=True)
