"""Grids of pictures on the page's own ground."""

from io import BytesIO

import numpy as np
from PIL import Image

from diffdemo.figures.plots import class_grid
from diffdemo.figures.raster import image_grid, save_png
from diffdemo.ui.components.moments import WORDS, without_paper


def test_between_the_pictures_of_a_grid_there_is_nothing_and_the_pictures_stay(tmp_path):
    pictures = np.random.default_rng(2).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    pictures[0, 3] = 255  # a white row of one picture is no gap
    file = save_png(tmp_path / "a.png", image_grid(pictures, scale=2))
    pixels = np.asarray(Image.open(BytesIO(without_paper(file.read_bytes()))))
    assert pixels.shape == (36, 36, 4)
    between = np.zeros((36, 36), bool)
    between[16:20] = between[:, 16:20] = True
    assert np.array_equal(pixels[..., 3] == 0, between)
    assert np.array_equal(pixels[..., :3][~between], image_grid(pictures, scale=2)[~between])


def test_words_beside_the_pictures_can_be_read_on_a_dark_ground(tmp_path):
    pictures = np.random.default_rng(3).integers(0, 256, (2, 3, 32, 32, 3), dtype=np.uint8)
    file = class_grid({"cat": pictures[0], "dog": pictures[1]}, tmp_path / "a.png", "a title")
    pixels = np.asarray(Image.open(BytesIO(without_paper(file.read_bytes())))).astype(int)
    opaque = pixels[..., 3] > 128
    paper = opaque & (pixels[..., :3].min(axis=2) > 230)
    left = int((np.ptp(pixels[..., :3], axis=2) > 60).any(axis=0).argmax())
    assert left > 10 and not paper[:, : left - 2].any()  # no white strip behind the names
    assert opaque[:, : left - 2].any()  # which are there
    assert {*map(tuple, pixels[:, : left - 2][opaque[:, : left - 2]][:, :3])} == {WORDS}
