"""Whatever a picture file has become, it is 32x32 pixels or one sentence."""

import io
import zlib

import numpy as np
import pytest
from data_helpers import random_picture
from doses import SMALL_DOSE
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diffdemo.data.pictures import MAX_PIXELS, read_pictures, to_square
from diffdemo.errors import DataError

KINDS = {
    "PNG": "RGBA",
    "JPEG": "RGB",
    "GIF": "P",
    "TIFF": "F",
    "WEBP": "RGB",
    "BMP": "RGB",
    "PPM": "RGB",
    "ICO": "RGBA",
}


def written(kind: str, mode: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(random_picture(1, 40, 48)).convert("L" if mode == "F" else mode).convert(mode).save(file, kind)
    return file.getvalue()


def look(path) -> None:
    """Read a file as the page does; anything but pixels or one sentence fails."""
    try:
        pixels = read_pictures([path])
    except DataError as error:
        said = str(error)
        assert said.startswith(str(path)) and "\n" not in said and said.endswith(".") and len(said) < 400, said
    else:
        assert pixels.shape == (1, 32, 32, 3) and pixels.dtype == np.uint8


@pytest.mark.parametrize("kind", KINDS)
@SMALL_DOSE
@given(
    flips=st.lists(st.tuples(st.integers(0, 300) | st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    extra=st.binary(max_size=30),
    place=st.integers(0, 10**6),
    end=st.none() | st.integers(0, 10**4),
)
def test_a_spoilt_picture_is_read_or_refused(tmp_path, kind, flips, extra, place, end):
    changed = bytearray(written(kind, KINDS[kind]))
    for position, value in flips:
        changed[position % len(changed)] = value
    where = place % len(changed)
    (tmp_path / "a").write_bytes(bytes(changed[:where] + extra + changed[where:])[:end])
    look(tmp_path / "a")


@SMALL_DOSE
@given(
    content=st.binary(max_size=300), magic=st.sampled_from([written(kind, mode)[:16] for kind, mode in KINDS.items()])
)
def test_a_foreign_file_is_refused(tmp_path, content, magic):
    for name, bytes_ in (("a", content), ("b", magic + content)):
        (tmp_path / name).write_bytes(bytes_)
        look(tmp_path / name)


@SMALL_DOSE
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"]),
    width=st.integers(1, 700),
    height=st.integers(1, 700),
)
def test_every_mode_and_size_is_taken(tmp_path, mode, width, height):
    assert to_square(Image.new(mode, (width, height))).shape == (32, 32, 3)


@pytest.mark.parametrize("side", [12_300, 16_384, 16_385, 2**31 - 1])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, side):
    """A small PNG whose header claims so many pixels a side."""
    header = b"IHDR" + side.to_bytes(4, "big") * 2
    png = bytearray(written("PNG", "RGBA"))
    png[12:24] = header
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(png)
    assert side**2 > MAX_PIXELS
    with pytest.raises(DataError, match="pixels; at most 16,384 a side and 150 million in all"):
        read_pictures([tmp_path / "a.png"])
