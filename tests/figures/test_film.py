"""A run as an animation: both halves, what is written on it, and how long it takes."""

import numpy as np
import pytest
from PIL import Image

from diffdemo.figures.film import LINE, MARGIN, Moment, caption, film, save_film, scale_of
from diffdemo.figures.raster import image_grid

SEED = 3


def moments(steps: int, images: int = 1) -> list[Moment]:
    random = np.random.default_rng(SEED)
    pictures = 85 * random.integers(
        0, 4, (steps, 2, images, 32, 32, 3), dtype=np.uint8
    )  # few colours are quickly written
    return [Moment(number + 1, x_t, x0) for number, (x_t, x0) in enumerate(pictures)]


@pytest.mark.parametrize(("images", "scale"), [(1, None), (4, None), (8, None), (1, 2), (9, 5)])
def test_a_frame_holds_both_halves_pixel_for_pixel(images, scale):
    run = moments(3, images)
    frames = film(run, "a title", 3, scale)
    grid = image_grid(run[1].x_t, scale=scale or scale_of(images, 32))
    height, width = grid.shape[:2]
    top, left = MARGIN + LINE, (frames.shape[2] - 2 * width - MARGIN) // 2
    assert frames.shape[2] >= 512 + 2 * MARGIN
    assert np.array_equal(frames[1, top : top + height, left : left + width], grid)
    right = frames[1, top : top + height, left + width + MARGIN : left + 2 * width + MARGIN]
    assert np.array_equal(right, image_grid(run[1].x0, scale=scale or scale_of(images, 32)))
    assert scale or 512 <= 2 * width < 700


def test_title_and_step_are_written_below_and_fit_however_long_they_are():
    frames = film(moments(3), caption("A model whose name is long", "automobile", [2**64 - 9, 2**64 - 1]), 3)
    below = frames[:, -LINE - MARGIN + 4 :]
    assert below.min() < 100
    assert not np.array_equal(below[0], below[1])  # the step
    assert np.all(frames[:, :, : MARGIN - 2] == 255) and np.all(frames[:, :, -MARGIN + 2 :] == 255)
    assert not np.array_equal(frames[1, : MARGIN + LINE], frames[2, : MARGIN + LINE])  # the finished picture


@pytest.mark.parametrize("count", [1, 2, 5, 21, 48])
def test_a_run_lasts_two_to_four_seconds_and_rests_for_the_last(tmp_path, count):
    path = save_film(tmp_path / "a.gif", moments(count), "a title", count)
    with Image.open(path) as shown:
        durations = []
        for number in range(shown.n_frames):
            shown.seek(number)
            durations.append(shown.info["duration"])
    assert len(durations) == count and durations[-1] == 1000
    assert count == 1 or 2000 <= sum(durations) <= 4000
    assert count == 1 or max(durations[:-1]) - min(durations[:-1]) <= 10


def test_a_title_names_model_class_and_seeds():
    assert caption("Simple UNet", "ship", [4]) == "Simple UNet, ship, seed 4"
    assert caption("Simple UNet", "any", [4, 5, 6]) == caption("Simple UNet", None, [4, 5, 6])
    assert caption("Simple UNet", None, [4, 5, 6]) == "Simple UNet, seeds 4 to 6"
