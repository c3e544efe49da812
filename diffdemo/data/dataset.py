"""The data set: pictures of 32x32 pixels with a class each, as two arrays in memory or on disk.

A data folder holds one of three things, looked for in this order: the fast cache (`cifar10/train_images.npy` and its
three companions), a folder of class folders with pictures, or torchvision's own CIFAR-10 files, which are downloaded
when nothing is there. The last two are turned into arrays once, kept on disk, and memory-mapped from then on.
"""

import contextlib
import shutil
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffdemo.atomic import write_atomically
from diffdemo.data import pictures
from diffdemo.data.folders import class_folders, class_pictures
from diffdemo.data.toy import toy_images
from diffdemo.errors import DataError, reason

if TYPE_CHECKING:
    from torch import Tensor, device

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SPLITS = ("train", "test")
IMAGE_SHAPE = (32, 32, 3)
HOW_TO_GET_DATA = (
    "put cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html there, "
    "or name a folder with one folder of pictures for each class."
)
_FOLDER_CACHE = ".diffdemo-cache"
_TORCHVISION_FOLDER = "cifar-10-batches-py"
_TORCHVISION_ARCHIVE = "cifar-10-python.tar.gz"
_CIFAR_NAME = "CIFAR-10"
_TOY_NAME = "toy shapes"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures and the class of each.

    images: (N, 32, 32, 3) uint8, possibly a read-only memory map; labels: (N,) int64, an index into classes;
    source: one line for people, such as "CIFAR-10 train (49,923 pictures)".
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, names: Sequence[str]) -> "Dataset":
        """Keep the pictures of these classes, with labels 0, 1, ... in the order of `names`.

        Raises DataError if a name is unknown, repeated, or has no picture.
        """
        names = tuple(name if name in self.classes else unicodedata.normalize("NFC", name) for name in names)
        if not names or len(set(names)) != len(names):
            raise DataError(f"The classes to keep must be one or more different names and not {list(names)}.")
        new_labels = np.full(len(self.classes), -1, dtype=np.int64)
        for position, name in enumerate(names):
            if name not in self.classes:
                raise DataError(f"There is no class {name!r} in {self.source}; it has {', '.join(self.classes)}.")
            new_labels[self.classes.index(name)] = position
        labels = new_labels[self.labels]
        missing = [name for position, name in enumerate(names) if not np.any(labels == position)]
        if missing:
            raise DataError(f"There is no picture of class {missing[0]!r} in {self.source}.")
        keep = np.flatnonzero(labels >= 0)
        source = f"{self.source}, of which {', '.join(names)} ({len(keep):,} pictures)"
        return Dataset(self.images[keep], labels[keep], names, source)

    def tensors(self, device: "str | device" = "cpu") -> "tuple[Tensor, Tensor]":
        """The whole set on `device`: images (N, 3, 32, 32) uint8, contiguous, and labels (N,) int64."""
        import torch

        # np.array copies: torch must not get hold of a read-only memory map
        images = torch.from_numpy(np.array(self.images)).to(device).permute(0, 3, 1, 2).contiguous()
        return images, torch.from_numpy(np.array(self.labels)).to(device)


def load_dataset(data_dir: str | Path = "data", split: str = "train", *, download: bool = True) -> Dataset:
    """Load one split ("train" or "test") of what `data_dir` holds, downloading CIFAR-10 if it holds nothing.

    Class folders may lie in train/ and test/ (or val/, valid/, validation/); else every 20th picture of a class is the
    test split. Hidden folders and files are left out, linked ones are not.
    Raises DataError, with one sentence, for whatever cannot be used.
    """
    if split not in SPLITS:
        raise DataError(f"There is no split {split!r}; the splits are train and test.")
    root = Path(data_dir).expanduser()
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file; the data must be a folder.")
    try:
        for folder in (root / "cifar10", root):
            if _has_cache(folder):
                return _load_cache(folder, split)
        if folders := class_folders(root, leave_out=("cifar10", _TORCHVISION_FOLDER)):
            return _load_folder(root, folders, split)
        return _load_torchvision(root, split, download)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror or error}.") from error


def create_cat_dog_dataset(data_dir: str | Path = "data") -> tuple[Dataset, Dataset]:
    """Training and test pictures of cats, label 0, and dogs, label 1.

    Raises DataError if `data_dir` cannot be used or has no such classes.
    """
    train, test = (load_dataset(data_dir, split).only(("cat", "dog")) for split in SPLITS)
    return train, test


def _dataset(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], name: str, split: str) -> Dataset:
    return Dataset(images, np.asarray(labels, dtype=np.int64), classes, f"{name} {split} ({len(images):,} pictures)")


def _has_cache(folder: Path) -> bool:
    return any((folder / f"{split}_{kind}.npy").is_file() for split in SPLITS for kind in ("images", "labels"))


def _load_cache(folder: Path, split: str) -> Dataset:
    images_file, labels_file = folder / f"{split}_images.npy", folder / f"{split}_labels.npy"
    images, labels = _memory_map(images_file), _memory_map(labels_file)
    if images.dtype != np.uint8 or images.shape[1:] != IMAGE_SHAPE:
        raise DataError(f"{images_file} must be (N, 32, 32, 3) uint8 and is {images.shape} {images.dtype}.")
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        wanted = f"({len(images)},) integers, one for each picture,"
        raise DataError(f"{labels_file} must be {wanted} and is {labels.shape} {labels.dtype}.")
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError(f"{labels_file} must hold at least two classes and holds {len(present)}.")
    if present[0] < 0 or present[-1] >= len(CIFAR10_CLASSES):
        raise DataError(f"The labels in {labels_file} must be from 0 to 9 and are from {present[0]} to {present[-1]}.")
    name_file = folder / "name.txt"
    name = name_file.read_text("utf-8").strip() if name_file.is_file() else _CIFAR_NAME
    return _dataset(images, labels, CIFAR10_CLASSES, name, split)


def _memory_map(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise DataError(f"{path} is missing; the cache needs images and labels of the train and test splits.") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged or no NumPy array; remove it and make the cache again.") from error


def _write_cache(folder: Path, arrays: dict[str, np.ndarray], name: str) -> None:
    def write(unfinished: Path) -> None:
        unfinished.mkdir()
        (unfinished / "name.txt").write_text(f"{name}\n", "utf-8")
        for stem, array in arrays.items():
            np.save(unfinished / f"{stem}.npy", array.astype(np.uint8))

    write_atomically(folder, write)


def _load_folder(root: Path, folders: dict[str, Path], split: str) -> Dataset:
    chosen = class_pictures(root, folders, split)
    labels = np.repeat(np.arange(len(chosen)), [len(paths) for paths in chosen.values()])
    paths = [path for of_class in chosen.values() for path in of_class]
    images = pictures.read_pictures_once(paths, root, root / _FOLDER_CACHE, split)
    return _dataset(images, labels, tuple(chosen), root.resolve().name, split)


def _load_torchvision(root: Path, split: str, download: bool) -> Dataset:
    if (root / _TORCHVISION_FOLDER).is_dir():
        try:
            arrays = _read_torchvision(root)
        except RuntimeError as error:
            raise DataError(f"{root / _TORCHVISION_FOLDER} is incomplete or damaged; {HOW_TO_GET_DATA}") from error
    else:
        arrays = _download(root, download)
    # if it cannot be written, or another process was faster, the arrays in hand are as good
    with contextlib.suppress(OSError):
        _write_cache(root / "cifar10", arrays, _CIFAR_NAME)
    if _has_cache(root / "cifar10"):
        return _load_cache(root / "cifar10", split)
    return _dataset(arrays[f"{split}_images"], arrays[f"{split}_labels"], CIFAR10_CLASSES, _CIFAR_NAME, split)


def _read_torchvision(root: Path, download: bool = False) -> dict[str, np.ndarray]:
    from torchvision.datasets import CIFAR10

    files = {split: CIFAR10(root, train=split == "train", download=download) for split in SPLITS}
    images = {f"{split}_images": part.data for split, part in files.items()}
    return images | {f"{split}_labels": np.array(part.targets) for split, part in files.items()}


def _download(root: Path, allowed: bool) -> dict[str, np.ndarray]:
    present = {path.name for path in root.iterdir() if not path.name.startswith(".")} if root.is_dir() else set()
    if others := sorted(present - {"cifar10", _TORCHVISION_ARCHIVE}):
        raise DataError(f"{root} holds no data set, only other files ({others[0]}); {HOW_TO_GET_DATA}")
    if not allowed:
        raise DataError(f"{root} {'is empty' if root.is_dir() else 'does not exist'}; {HOW_TO_GET_DATA}")
    # a folder of its own: two processes unpacking into one would read each other's half-written files
    private = root / f".{uuid.uuid4().hex}-download"
    try:
        private.mkdir(parents=True)
        if _TORCHVISION_ARCHIVE in present:
            shutil.copy(root / _TORCHVISION_ARCHIVE, private)
        return _read_torchvision(private, download=True)
    except (OSError, RuntimeError) as error:
        failure = f"{root} holds no data and CIFAR-10 cannot be downloaded ({reason(error)})"
        raise DataError(f"{failure}; {HOW_TO_GET_DATA}") from error
    finally:
        shutil.rmtree(private, ignore_errors=True)


def make_toy_dataset(folder: str | Path, per_class: int = 32, seed: int = 0) -> Path:
    """Write ten classes of coloured shapes as a data folder, so that a smoke test needs no real data set.

    `per_class` pictures of each class for training, a quarter of that (at least one) for testing, in the format of
    the fast cache. Returns `folder`. Raises DataError if it holds another data set or cannot be written.
    """
    folder, rng = Path(folder), np.random.default_rng(seed)
    cache = folder / "cifar10"
    if per_class < 1:
        raise DataError(f"per_class must be at least 1 and is {per_class}.")
    if _has_cache(cache) and not _load_cache(cache, "train").source.startswith(_TOY_NAME):
        raise DataError(f"{cache} holds a data set already; toy data needs a folder of its own.")
    arrays = {}
    for split, count in (("train", per_class), ("test", max(1, per_class // 4))):
        labels = rng.permutation(np.repeat(np.arange(len(CIFAR10_CLASSES)), count))
        arrays |= {f"{split}_labels": labels, f"{split}_images": toy_images(labels, rng)}
    try:
        if _has_cache(cache):
            shutil.rmtree(cache)
        _write_cache(cache, arrays, _TOY_NAME)
    except OSError as error:
        raise DataError(f"The toy data cannot be written to {cache}: {error.strerror}.") from error
    return folder
