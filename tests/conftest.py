"""What several test files need."""

import os

# Before torch is imported: on a busy machine its threads wait for each other longer than tiny networks compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import hypothesis
import pytest
import torch

from diffdemo.checkpoint import parameter_count, save_checkpoint
from diffdemo.data import make_toy_dataset
from diffdemo.description import CheckpointInfo
from diffdemo.process.schedule import NoiseSchedule
from diffdemo.registry import SPECS

# Wall-clock deadlines of single examples say more about the machine than about the code.
hypothesis.settings.register_profile("diffdemo", deadline=None)
hypothesis.settings.load_profile("diffdemo")


def save_tiny_checkpoint(root: Path, key: str, seed: int = 0) -> CheckpointInfo:
    """Save a tiny network of architecture `key` with random weights as the checkpoint `root/key`."""
    spec = SPECS[key]
    config = spec.configure("tiny")
    torch.manual_seed(seed)
    network = spec.build(config)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # zero-initialised layers must speak too
    info = CheckpointInfo(
        key=key,
        model=asdict(config),
        diffusion={"schedule": asdict(NoiseSchedule()), "prediction": "edm"},
        classes=spec.classes,
        parameters=parameter_count(network),
        defaults={"sampler": "dpmpp", "steps": 20, "guidance_scale": 2.0 if spec.classes else 1.0},
        training={"images_seen": 1234, "minutes": 1.5, "hardware": "a test"},
    )
    return save_checkpoint(root / key, info, network.state_dict())


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny random checkpoints of simple_unet and attention_unet; do not change it."""
    root = tmp_path_factory.mktemp("checkpoints")
    for key in ("simple_unet", "attention_unet"):
        save_tiny_checkpoint(root, key)
    return root


@pytest.fixture(scope="session")
def all_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny random checkpoints of every architecture; do not change it."""
    root = tmp_path_factory.mktemp("all-checkpoints")
    for key in SPECS:
        save_tiny_checkpoint(root, key)
    return root


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set in CIFAR-10's format."""
    folder = make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=80)
    (folder / "cifar10" / "name.txt").unlink()  # without a name the pictures are CIFAR-10, which may be downloaded
    return folder


@pytest.fixture(scope="session")
def mapped_checkpoints(all_checkpoints: Path, toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `all_checkpoints`, with a map of 40 points of the latents; do not change it."""
    from train import latent_map

    root = tmp_path_factory.mktemp("mapped")
    shutil.copytree(all_checkpoints, root, dirs_exist_ok=True)
    latent_map.main(root / "latent_diffusion", toy, 40, "cpu")
    return root


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A headless Chromium; of one module, because Playwright runs but once at a time."""
    from playwright.sync_api import Error

    from benchmarks.support.browser import chromium

    with ExitStack() as stack:
        try:
            running = stack.enter_context(chromium())
        except Error:
            if os.environ.get("CI"):
                raise
            pytest.skip("there is no Chromium on this machine")
        yield running


@pytest.fixture(scope="module")
def zoo(all_checkpoints):
    """What the page offers: every architecture, unless a module has a zoo of its own."""
    from benchmarks.support.browser import open_shelf

    return open_shelf(all_checkpoints)


@pytest.fixture(scope="module")
def address(zoo) -> Iterator[str]:
    """Where the page with this zoo is served."""
    from benchmarks.support.browser import served

    with served(zoo) as url:
        yield url


@pytest.fixture
def open_page(browser, address) -> Iterator[Callable]:
    """A function that opens the page at `address`, see `page_helpers.visits`."""
    from page_helpers import visits

    with visits(browser, address) as open_one:
        yield open_one


@pytest.fixture
def unhurried(monkeypatch) -> None:
    """Every step takes 10 ms and more: tiny networks may have done a long run before a busy browser shows its start."""
    from diffdemo.ui.runs.sampling_run import SamplingRun

    advance = SamplingRun.advance

    def slowly(*arguments):
        time.sleep(0.01)
        return advance(*arguments)

    monkeypatch.setattr(SamplingRun, "advance", slowly)
