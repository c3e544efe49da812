"""What several modules of page tests start from."""

import shutil
from pathlib import Path

import pytest

from diffdemo.data import make_toy_dataset
from train import latent_map


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    """A small data set in CIFAR-10's format."""
    folder = make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=80)
    (folder / "cifar10" / "name.txt").unlink()  # without a name the pictures are CIFAR-10, which may be downloaded
    return folder


@pytest.fixture(scope="session")
def mapped_checkpoints(all_checkpoints, toy, tmp_path_factory) -> Path:
    """Tiny random checkpoints of every architecture, with a map of 40 points of the latents; do not change it."""
    root = tmp_path_factory.mktemp("mapped")
    shutil.copytree(all_checkpoints, root, dirs_exist_ok=True)
    latent_map.main(root / "latent_diffusion", toy, 40, "cpu")
    return root
