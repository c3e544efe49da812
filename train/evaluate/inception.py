"""FID's own features: the Inception network of pytorch-fid, with its weights from the net, from a cache or from a file.

pytorch-fid is imported when it is needed: nothing but `train.evaluate` asks for it.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from tqdm import tqdm

from diffdemo.atomic import write_atomically
from diffdemo.device import choose_device
from diffdemo.errors import TrainingError
from diffdemo.measure.metrics import Moments
from diffdemo.weights.tensor_files import sha256

STANDARD = "6726825d"  # how the SHA-256 of the weights that everyone's FID is measured with begins
BATCH = 50
TIMEOUT = 20  # seconds without an answer, after which there is no network
INSTEAD = "name a copy of the file with --inception-weights, or leave the FID out with --no-fid"


class Inception:
    """pytorch-fid's `InceptionV3`, up to its last average pooling: 2,048 numbers a picture.

    Args:
        weights: file of the weights; without one torch.hub's cache has them, or they are downloaded into it.
        device: "auto", "cpu", "cuda" or "mps".

    Attributes:
        name: what to call it beside a figure; weights that are not the standard ones are said to be others.
        hash: SHA-256 of the weights.

    Raises:
        TrainingError: pytorch-fid or the weights are not there, or the file holds something else.
    """

    def __init__(self, weights: Path | None = None, device: str = "auto"):
        try:
            from pytorch_fid import inception
        except ImportError:
            raise TrainingError("The FID needs pytorch-fid; install it (pip install pytorch-fid).") from None
        self.device = choose_device(device)
        path = weights or _standard_weights(inception.FID_WEIGHTS_URL)
        try:
            self.hash = sha256(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
            # pytorch-fid takes its weights from one address only, and would unpickle whatever comes from there
            with _taken_from(inception, state):
                self.network = inception.InceptionV3().eval().to(self.device)
        except OSError as error:
            raise TrainingError(f"{path} cannot be read: {error.strerror or error}; {INSTEAD}.") from error
        except Exception as error:  # what a damaged file makes of unpickling and of load_state_dict is anything
            raise TrainingError(f"{path} does not hold the weights of pytorch-fid's Inception; {INSTEAD}.") from error
        self.is_standard = self.hash.startswith(STANDARD)
        self.name = "pytorch-fid Inception" if self.is_standard else "pytorch-fid Inception with other weights"

    @torch.inference_mode()
    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Features (N, 2048) float32 of pictures (N, 32, 32, 3) uint8, as `pytorch_fid.fid_score` computes them."""
        parts = []
        with tqdm(total=len(pictures), unit="picture", desc="Inception", delay=2, leave=False) as bar:
            for start in range(0, len(pictures), BATCH):
                batch = torch.from_numpy(np.array(pictures[start : start + BATCH])).to(self.device)
                pooled = self.network(batch.permute(0, 3, 1, 2).float() / 255)[0]  # (N, 2048, 1, 1)
                parts.append(pooled.flatten(1).cpu().numpy())
                bar.update(len(batch))
        return np.concatenate(parts)

    def moments_once(self, pictures: np.ndarray, pictures_hash: str, cache: Path) -> Moments:
        """The moments of the features of pictures (N, 32, 32, 3) uint8, kept in the folder `cache`."""
        name = f"moments-{self.hash[:16]}-{pictures_hash[:16]}-{len(pictures)}-{self.device.type}.npz"
        # moments that are not there or not whole are computed again
        with contextlib.suppress(ValueError, OSError, KeyError), np.load(cache / name) as file:
            return Moments(file["mean"], file["root"])
        moments = Moments.of(self.features(pictures))
        with contextlib.suppress(OSError):
            write_atomically(cache / name, lambda p: np.savez(p, mean=moments.mean, root=moments.root))
        return moments


def _standard_weights(url: str) -> Path:
    """The file of the standard weights in torch.hub's cache, downloaded if need be."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _timeout():
                torch.hub.download_url_to_file(url, str(path), hash_prefix=STANDARD)
        except (OSError, RuntimeError, ValueError) as error:  # no network, another file, another kind of address
            reason = str(error).splitlines()[0].strip("<>. ") if str(error) else type(error).__name__
            raise TrainingError(
                f"The FID needs pytorch-fid's Inception weights, and they cannot be downloaded ({reason}); {INSTEAD}."
            ) from error
    return path


@contextlib.contextmanager
def _taken_from(inception: ModuleType, state: dict) -> Iterator[None]:
    """Let pytorch-fid's module find these weights wherever it looks for its own."""
    before = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        yield
    finally:
        inception.load_state_dict_from_url = before


@contextlib.contextmanager
def _timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
