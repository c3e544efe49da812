"""torchvision's CIFAR-10 files, downloaded or there already, become the fast cache."""

import functools
import multiprocessing
import os
import pickle
import tarfile
import threading
from collections.abc import Iterator
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from data_helpers import at_once, sentence
from torchvision.datasets import CIFAR10

from diffdemo.data import CIFAR10_CLASSES, load_dataset


@pytest.fixture
def torchvision_data(tmp_path, monkeypatch) -> Path:
    """torchvision's files with 10 pictures a batch in place of 10,000, and its checksums changed to match."""
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)

    def write(name: str, content: dict) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, md5((folder / name).read_bytes()).hexdigest()]

    def batch() -> dict:
        return {"data": rng.integers(0, 256, (10, 3072), dtype=np.uint8), "labels": [*range(9, -1, -1)]}

    monkeypatch.setattr(CIFAR10, "train_list", [write(f"data_batch_{n}", batch()) for n in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch())])
    meta = write("batches.meta", {"label_names": list(CIFAR10_CLASSES)})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    return tmp_path / "data"


@pytest.fixture
def archive(torchvision_data, tmp_path, monkeypatch) -> Path:
    """The same files as the archive that torchvision downloads; its address is one where nothing answers."""
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(torchvision_data / "cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(path.read_bytes()).hexdigest())
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    return path


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Requests are no part of a test's output."""


@pytest.fixture
def online(archive, monkeypatch) -> Iterator[None]:
    """The archive can be downloaded."""
    handler = functools.partial(QuietHandler, directory=archive.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
        yield
        server.shutdown()


def test_torchvision_files_are_read_and_then_cached(torchvision_data, monkeypatch):
    expected = CIFAR10(torchvision_data, train=False)
    first = load_dataset(torchvision_data, "test", download=False)
    np.testing.assert_array_equal(first.images, expected.data)
    assert first.labels.tolist() == expected.targets and first.source == "CIFAR-10 test (10 pictures)"
    monkeypatch.setattr("torchvision.datasets.CIFAR10", None)
    assert len(load_dataset(torchvision_data, "train")) == 50
    assert sorted(path.name for path in torchvision_data.iterdir()) == ["cifar-10-batches-py", "cifar10"]


def test_damaged_torchvision_files_are_never_unpickled(torchvision_data, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "unpickled",)

    (torchvision_data / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(Bomb()))
    assert "incomplete or damaged" in sentence(load_dataset, torchvision_data)
    assert not (tmp_path / "unpickled").exists() and not (torchvision_data / "cifar10").exists()


def test_an_archive_put_into_the_folder_by_hand_needs_no_network(archive, tmp_path):
    root = tmp_path / "offline"
    root.mkdir()
    archive.rename(root / archive.name)
    assert len(load_dataset(root)) == 50
    assert sorted(path.name for path in root.iterdir()) == [archive.name, "cifar10"]


def test_the_download_goes_into_the_cache_and_leaves_nothing_else(online, tmp_path):
    assert len(load_dataset(tmp_path / "new" / "data")) == 50
    assert [path.name for path in (tmp_path / "new" / "data").iterdir()] == ["cifar10"]


def test_two_processes_may_download_and_cache_at_once(online, tmp_path):
    root = tmp_path / "new"
    at_once(lambda: load_dataset(root))
    assert [path.name for path in root.iterdir()] == ["cifar10"]
    assert len(load_dataset(root, "test", download=False)) == 10


def test_a_process_killed_while_caching_leaves_no_cache(torchvision_data):
    def killed() -> None:
        np.save = lambda path, array: path.write_bytes(b"half") and os._exit(9)
        load_dataset(torchvision_data)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(timeout=60)
    assert process.exitcode == 9 and not (torchvision_data / "cifar10").exists()
    assert len(load_dataset(torchvision_data)) == 50 and (torchvision_data / "cifar10").is_dir()


def test_torchvision_files_in_a_folder_that_cannot_hold_a_cache(torchvision_data):
    (torchvision_data / "cifar10").write_text("a file where the cache would be")
    assert len(load_dataset(torchvision_data)) == 50


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_there_and_no_network_says_how_to_get_data(archive, tmp_path, exists):
    root = tmp_path / "empty"
    if exists:
        root.mkdir()
    message = sentence(load_dataset, root)
    assert "cannot be downloaded" in message and "cifar-10-python.tar.gz from https://" in message
    assert not root.exists() or not list(root.iterdir())
    assert ("is empty" if root.exists() else "does not exist") in sentence(load_dataset, root, download=False)
