"""The fast cache, the Dataset, and the toy data; the other sources have files of their own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from data_helpers import sentence, write_class

from diffdemo.data import CIFAR10_CLASSES, load_dataset, make_toy_dataset


def test_toy_data_load_as_a_memory_map_with_both_splits(tmp_path):
    root = make_toy_dataset(tmp_path / "new" / "toy", per_class=8)
    train, test = load_dataset(root, "train"), load_dataset(str(root), "test", download=False)
    assert train.images.shape == (80, 32, 32, 3) and train.images.dtype == np.uint8 and train.labels.dtype == np.int64
    assert isinstance(train.images, np.memmap) and not train.images.flags.writeable
    assert np.bincount(train.labels).tolist() == [8] * 10 and np.bincount(test.labels).tolist() == [2] * 10
    assert train.classes == CIFAR10_CLASSES and len(train) == 80
    assert {np.load(path).dtype for path in (root / "cifar10").glob("*.npy")} == {np.dtype(np.uint8)}
    assert train.source == "toy shapes train (80 pictures)" and test.source == "toy shapes test (20 pictures)"


def test_toy_data_follow_the_seed_and_their_classes_can_be_told_apart(tmp_path):
    first, again, other = (
        load_dataset(make_toy_dataset(tmp_path / name, 16, seed)) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.images, other.images)
    means = np.stack([first.images[first.labels == label].mean(0) for label in range(10)]).reshape(10, -1)
    distances = np.square(other.images.reshape(len(other), 1, -1) - means).mean(2)
    assert np.mean(distances.argmin(1) == other.labels) > 0.95


def test_toy_data_replace_toy_data_but_never_another_data_set(tmp_path):
    make_toy_dataset(tmp_path, per_class=2)
    assert len(load_dataset(make_toy_dataset(tmp_path, per_class=3))) == 30
    (tmp_path / "cifar10" / "name.txt").unlink()
    before = (tmp_path / "cifar10" / "train_images.npy").read_bytes()
    assert "holds a data set already" in sentence(make_toy_dataset, tmp_path, per_class=2)
    assert (tmp_path / "cifar10" / "train_images.npy").read_bytes() == before
    assert "at least 1 and is 0" in sentence(make_toy_dataset, tmp_path, per_class=0)


def test_toy_data_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in sentence(make_toy_dataset, tmp_path / "file")
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "notes.txt").write_text("somebody's")
    assert "cannot be written" in sentence(make_toy_dataset, tmp_path)
    assert (tmp_path / "cifar10" / "notes.txt").read_text() == "somebody's"


def test_the_cache_folder_itself_may_be_named_and_a_cache_without_a_name_is_cifar(tmp_path):
    make_toy_dataset(tmp_path, per_class=2)
    (tmp_path / "cifar10" / "name.txt").unlink()
    assert load_dataset(tmp_path / "cifar10").source == "CIFAR-10 train (20 pictures)"


def test_the_cache_is_preferred_to_class_folders(tmp_path):
    for name in ("cat", "dog"):
        write_class(tmp_path / name, 2)
    assert load_dataset(tmp_path).classes == ("cat", "dog")
    make_toy_dataset(tmp_path, per_class=1)
    assert load_dataset(tmp_path).classes == CIFAR10_CLASSES


def test_only_keeps_the_named_classes_in_the_named_order(tmp_path):
    everything = load_dataset(make_toy_dataset(tmp_path, per_class=4))
    kept = everything.only(["dog", "cat"])
    assert kept.classes == ("dog", "cat") and kept.labels.dtype == np.int64
    for label, old_label in enumerate((5, 3)):
        np.testing.assert_array_equal(
            kept.images[kept.labels == label], everything.images[everything.labels == old_label]
        )
    assert kept.source == "toy shapes train (40 pictures), of which dog, cat (8 pictures)"


def test_only_refuses_unknown_repeated_and_absent_classes(tmp_path):
    data = load_dataset(make_toy_dataset(tmp_path, per_class=1))
    message = sentence(data.only, ["cat", "unicorn"])
    assert "'unicorn'" in message and all(name in message for name in CIFAR10_CLASSES)
    assert "different names" in sentence(data.only, ["cat", "cat"])
    assert "one or more" in sentence(data.only, [])
    assert "no picture of class 'ship'" in sentence(drop_class(data, "ship").only, ["cat", "ship"])


def drop_class(data, name):
    keep = data.labels != data.classes.index(name)
    return type(data)(data.images[keep], data.labels[keep], data.classes, data.source)


@pytest.mark.filterwarnings("error")
def test_tensors_are_the_same_pictures_channels_first(tmp_path):
    data = load_dataset(make_toy_dataset(tmp_path, per_class=2))
    images, labels = data.tensors()
    assert images.shape == (20, 3, 32, 32) and images.dtype == torch.uint8 and images.is_contiguous()
    assert labels.dtype == torch.int64 and labels.tolist() == data.labels.tolist()
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), data.images)
    images.zero_()
    assert data.images.any()


def test_loading_a_cache_does_not_import_torchvision(tmp_path):
    make_toy_dataset(tmp_path, per_class=1)
    code = f"import sys, diffdemo.data as d; d.load_dataset({str(tmp_path)!r}); sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def save(**arrays):
    def spoil(cache: Path) -> None:
        for stem, array in arrays.items():
            np.save(cache / f"{stem}.npy", array)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (save(train_labels=np.zeros(19, np.uint8)), "one for each picture"),
        (save(train_labels=np.zeros(20)), "integers"),
        (save(train_labels=np.arange(20)), "from 0 to 19"),
        (save(train_labels=np.arange(20) % 10 - 1), "from -1 to 8"),
        (save(train_labels=np.full(20, 3)), "at least two classes and holds 1"),
        (save(train_images=np.zeros((20, 32, 32, 3), np.float32)), "uint8 and is (20, 32, 32, 3) float32"),
        (save(train_images=np.zeros((20, 3, 32, 32), np.uint8)), "(N, 32, 32, 3) uint8 and is (20, 3, 32, 32)"),
        (save(train_images=np.array([{"an": "object"}] * 20)), "damaged or no NumPy array"),
        (save(train_images=np.zeros((0, 32, 32, 3), np.uint8), train_labels=np.zeros(0, np.uint8)), "and holds 0"),
        (lambda cache: (cache / "train_images.npy").write_bytes(b"no array"), "damaged or no NumPy array"),
        (lambda cache: (cache / "train_labels.npy").write_bytes(b""), "damaged or no NumPy array"),
        (lambda cache: os.truncate(cache / "train_images.npy", 5000), "damaged or no NumPy array"),
        (lambda cache: (cache / "train_labels.npy").unlink(), "train_labels.npy is missing"),
        (lambda cache: (cache / "train_images.npy").unlink(), "train_images.npy is missing"),
    ],
)
def test_a_spoilt_cache_gets_a_sentence_and_the_other_split_still_loads(tmp_path, spoil, expected):
    make_toy_dataset(tmp_path, per_class=2)
    spoil(tmp_path / "cifar10")
    assert expected in sentence(load_dataset, tmp_path)
    assert len(load_dataset(tmp_path, "test")) == 10


def test_folders_and_splits_that_are_not(tmp_path):
    (tmp_path / "file.zip").write_bytes(b"")
    assert "is a file; the data must be a folder" in sentence(load_dataset, tmp_path / "file.zip")
    assert "only other files (file.zip)" in sentence(load_dataset, tmp_path)
    assert "no split 'validation'" in sentence(load_dataset, tmp_path, "validation")
