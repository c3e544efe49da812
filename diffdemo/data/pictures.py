"""Pictures of any size and kind as arrays of 32x32 pixels."""

import contextlib
import hashlib
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffdemo.atomic import write_atomically
from diffdemo.errors import DataError, RequestError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SIZE = 32
MAX_SIDE = 16_384  # pixels; the largest phone pictures have about 16,000
MAX_PIXELS = 150_000_000  # less than where Pillow itself refuses
_LARGE_NUMBERS = 2**24  # pixels of 16 or 32 bits; as the numbers below, a hundred million take four gigabytes
_MIXABLE = ("L", "LA", "RGB", "RGBA", "CMYK")
_LIMITS = f"at most {MAX_SIDE:,} a side and {MAX_PIXELS // 10**6} million in all are read."


def checked_pictures(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """`images` as one array (N, H, W, 3) uint8, N > 0; raises RequestError if they are something else."""
    shapes = {np.shape(image) for image in images}
    if len(shapes) != 1:
        found = "none" if not shapes else f"sizes {' and '.join(map(str, sorted(shapes)))}"
        raise RequestError(f"One or more pictures of one size are needed, and there are {found}.")
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or 0 in array.shape:
        raise RequestError(f"Pictures must be (N, H, W, 3) uint8 and are {array.shape} {array.dtype}.")
    return array


def _fingerprint(paths: Sequence[Path], root: Path) -> str:
    stats = [(path.relative_to(root).as_posix(), path.stat()) for path in paths]
    described = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
    return hashlib.sha256(described.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def read_pictures(paths: Sequence[Path]) -> np.ndarray:
    """Read picture files as (N, 32, 32, 3) uint8; see `to_square`. Raises DataError that names the bad file."""
    from PIL import Image

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        # Pillow warns about sizes that to_square accepts or refuses in its own words
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return np.stack(list(pool.map(_read_picture, paths)))


def read_pictures_once(paths: Sequence[Path], root: Path, cache: Path, prefix: str) -> np.ndarray:
    """`read_pictures`, kept as `<prefix>-....npy` in the folder `cache` until a file's name, size or time changes.

    `root` is the folder that names are relative to. Works without the cache where that cannot be written.
    """
    cached = cache / f"{prefix}-{_fingerprint(paths, root)}.npy"
    # a cached array that is not there or not whole is made again
    with contextlib.suppress(ValueError, OSError):
        images = np.lib.format.open_memmap(cached, mode="r")
        if images.dtype == np.uint8 and images.shape == (len(paths), IMAGE_SIZE, IMAGE_SIZE, 3):
            return images
    images = read_pictures(paths)
    with contextlib.suppress(OSError):
        outdated = [path for path in cache.glob(f"{prefix}-*.npy") if path != cached]
        write_atomically(cached, lambda unfinished: np.save(unfinished, images))
        for path in outdated:
            path.unlink(missing_ok=True)
    return images


def _read_picture(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return to_square(image, name=str(path))
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{path} has too many pixels; {_LIMITS}") from None
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; name one that is there.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder; name a picture in it.") from error
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; let this user read it, or remove it.") from error
    except Exception as error:  # decoders raise anything from SyntaxError to struct.error on damaged files
        raise DataError(f"{path} cannot be read as a picture; remove it or replace it.") from error


def to_square(image: "Image", name: str = "The picture") -> np.ndarray:
    """Any Pillow image as (32, 32, 3) uint8: upright by its EXIF tag, on white where transparent, centre square.

    The shorter side is resized to 32 with antialiasing (bicubic). A picture of 32x32 comes out as it is.
    Raises DataError, which calls it `name`, if it has more than 16,384 pixels a side or 150 million in all.
    """
    from PIL import ImageOps

    if max(image.size) > MAX_SIDE or image.width * image.height > MAX_PIXELS:
        raise DataError(f"{name} has {image.width:,} x {image.height:,} pixels; {_LIMITS}")
    # JPEG decoders shrink by 2, 4 or 8 at no cost; four times the final size keeps the quality
    image.draft(None, (4 * IMAGE_SIZE, 4 * IMAGE_SIZE))
    ImageOps.exif_transpose(image, in_place=True)  # a copy of a large picture takes half a gigabyte
    # Colours that stand for transparency must not be mixed.
    if image.mode in _MIXABLE and "transparency" not in image.info:
        image = image.reduce(max(1, min(image.size) // (4 * IMAGE_SIZE)))
    elif image.mode.startswith(("I", "F")) and image.width * image.height > _LARGE_NUMBERS:
        small = image.convert(image.mode[0]).reduce(max(1, min(image.size) // (4 * IMAGE_SIZE)))
        image = small.convert("I;16") if image.mode.startswith("I;16") else small
    return np.array(ImageOps.fit(_to_rgb(image), (IMAGE_SIZE, IMAGE_SIZE)))


def _to_rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        # convert() would clip these at 255 instead of scaling them
        values = np.asarray(image, dtype=np.float64)
        finite = np.isfinite(values)
        largest = 65535 if image.mode.startswith("I;16") else values.max(where=finite, initial=0)
        # A float picture of 0 to 1 may exceed it a little where it was sharpened.
        scales = {1: 2 if image.mode.startswith("F") else 1, 255: 255}
        peak = next((peak for peak, most in scales.items() if largest <= most), 65535)
        pixels = np.nan_to_num(values / peak * 255, nan=0).clip(0, 255)
        image = Image.fromarray(pixels.round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
