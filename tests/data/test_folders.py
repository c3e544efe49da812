"""What people's data folders look like: taken, left out aloud, or refused in a sentence before anything is trained."""

import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from data_helpers import random_picture, sentence, write_class
from PIL import Image

from diffdemo import validate
from diffdemo.data import load_dataset
from diffdemo.errors import RequestError


@pytest.fixture
def pets(tmp_path) -> Path:
    """A folder of class folders: 4 cats (seeds 0 to 3) and 3 dogs (100 to 102)."""
    write_class(tmp_path / "pets" / "cat", 4)
    write_class(tmp_path / "pets" / "dog", 3, first_seed=100)
    return tmp_path / "pets"


def two_classes(folder: Path, seed: int = 0) -> None:
    write_class(folder / "cat", 2, seed)
    write_class(folder / "cow", 1, seed + 10)


def test_copies_in_hidden_folders_of_a_class_are_no_pictures_of_it(pets, capsys):
    write_class(pets / "cat" / ".ipynb_checkpoints", 4)
    (pets / "cat" / ".DS_Store").touch()
    both = np.concatenate([load_dataset(pets, split).images for split in ("train", "test")])
    assert len(both) == len(np.unique(both, axis=0)) == 7
    assert capsys.readouterr().err == f"Note: Left out in {pets}: 2 hidden.\n"


@pytest.mark.parametrize("names", ["train val", "train valid", "train validation", "Train Val", "train TEST"])
def test_val_beside_train_is_the_test_split(tmp_path, names):
    for number, name in enumerate(names.split()):
        two_classes(tmp_path / name, 50 * number)
    train, test = load_dataset(tmp_path), load_dataset(tmp_path, "test")
    assert train.classes == test.classes == ("cat", "cow")
    np.testing.assert_array_equal(train.images, [random_picture(seed) for seed in (0, 1, 10)])
    np.testing.assert_array_equal(test.images, [random_picture(seed) for seed in (50, 51, 60)])


def test_a_third_part_beside_train_and_test_is_said_to_be_unused(tmp_path, capsys):
    for number, name in enumerate(("train", "test", "val")):
        two_classes(tmp_path / name, 50 * number)
    np.testing.assert_array_equal(load_dataset(tmp_path, "test").images[0], random_picture(50))
    assert "only train and test are used, not val." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: two_classes(root / "train"), "has train, and needs the same class folders in train and in test"),
        (lambda root: two_classes(root / "train"), "or name .*train, which is then split itself"),
        (
            lambda root: two_classes(root / "pets"),
            r"only one class folder \(pets\).*if .*pets is the data",
        ),
        (lambda root: [write_class(root / name, 3) for name in ("train", "val")], "has .*train.*needs the same class"),
        (lambda root: (two_classes(root / "train"), write_class(root / "test", 3)), "or name .*train, which is then"),
    ],
    ids=["train alone", "train alone, what to do", "wrapped", "pictures in train and val", "test without classes"],
)
def test_half_of_a_layout_gets_a_sentence_that_helps(tmp_path, make, said):
    make(tmp_path / "data")
    assert re.search(said, sentence(load_dataset, tmp_path / "data"))


def test_a_train_and_a_bus_are_classes(tmp_path):
    write_class(tmp_path / "train" / "steam", 2)
    write_class(tmp_path / "bus", 2)
    assert load_dataset(tmp_path).classes == ("bus", "train")


def test_every_suffix_of_a_jpeg_and_avif_is_taken_and_others_are_counted(pets, capsys):
    smooth = Image.fromarray(np.full((32, 32, 3), 90, np.uint8))
    for name in ("a.jfif", "b.JPE", "c.jpeg"):
        smooth.save(pets / "cat" / name, format="JPEG")
    smooth.save(pets / "cat" / "d.avif")
    for name in ("a.heic", "b.heic", "notes.txt"):
        (pets / "dog" / name).touch()
    data = load_dataset(pets)
    assert (data.labels == 0).sum() == 4 - 1 + 4
    assert (np.abs(data.images[data.images.std(axis=(1, 2, 3)) < 2].astype(int) - 90) <= 1).all()
    load_dataset(pets, "test")
    assert capsys.readouterr().err == f"Note: Left out in {pets}: 2 .heic, 1 .txt.\n"  # once


def test_linked_folders_are_followed_and_circles_end(pets, tmp_path, capsys):
    write_class(tmp_path / "elsewhere" / "deep", 2, first_seed=50)
    (pets / "cat" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(pets / "cat")
    (pets / "cat" / "again").symlink_to(tmp_path / "elsewhere" / "deep")
    write_class(tmp_path / "birds", 3)
    (pets / "bird").symlink_to(tmp_path / "birds")
    train, test = load_dataset(pets), load_dataset(pets, "test")
    assert train.classes == ("bird", "cat", "dog")
    assert sum((split.labels == 1).sum() for split in (train, test)) == 4 + 2
    assert "2 linked twice" in capsys.readouterr().err


def test_a_folder_that_may_not_be_read_is_counted_and_a_picture_is_named(pets, monkeypatch, capsys):
    write_class(pets / "cat" / "private", 2)
    scandir = os.scandir

    def closed(path):
        if Path(path).name == "private":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert len(load_dataset(pets)) == 5
    assert "1 unreadable" in capsys.readouterr().err
    os.utime(pets / "dog" / "001.png", (1, 1))
    monkeypatch.setattr(Image, "open", lambda path: closed(Path(path, "private")))
    assert "png cannot be read: Permission denied; let this user read it" in sentence(load_dataset, pets)


def test_a_class_called_any_is_refused(pets):
    (pets / "dog").rename(pets / "any")
    assert "any cannot be a class, because any stands for no class; rename the folder" in sentence(load_dataset, pets)


def test_a_name_that_is_no_utf8_is_refused_before_anything_is_read(pets):
    os.rename(pets / "dog", os.fsencode(pets) + b"/caf\xe9")
    assert r"'caf\udce9' is no UTF-8; rename it" in sentence(load_dataset, pets)


def test_a_name_is_one_however_its_accent_is_spelt(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for split, name in (("train", composed), ("test", decomposed)):
        write_class(tmp_path / split / name, 2)
        write_class(tmp_path / split / "cafz", 2)
    train, test = load_dataset(tmp_path), load_dataset(tmp_path, "test")
    assert train.classes == test.classes == ("cafz", composed)
    assert train.only([decomposed]).classes == (composed,)
    assert validate.class_index(decomposed, train.classes, "a model") == 1
    with pytest.raises(RequestError, match="There is no class 'cafe'"):
        validate.class_index("cafe", train.classes, "a model")
    write_class(tmp_path / "train" / decomposed, 2)
    assert "has two folders called café, spelt differently in Unicode" in sentence(load_dataset, tmp_path)
