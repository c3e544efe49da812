"""What the Compare tab says of its runs."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.browser import open_shelf
from diffdemo import RequestError
from diffdemo.comparison import compare
from diffdemo.generator import Generator
from diffdemo.ui.comparisons import pair_of, pairs, start, table
from diffdemo.ui.runs import stream
from diffdemo.ui.shelf import Shelf


@pytest.fixture(scope="module")
def shelf(tiny_checkpoints) -> Shelf:
    return open_shelf(tiny_checkpoints)


def test_a_difference_is_white_where_pictures_are_equal_and_darkest_where_they_differ_most():
    first = np.zeros((2, 2, 2, 3), np.uint8)
    second = first.copy()
    second[0, 0, 0], second[1, 1, 1] = (30, 60, 90), (10, 10, 10)
    difference = compare(first, second)
    assert (difference.largest, difference.mean) == (60, 70 / 8)
    assert difference.pictures[0, 0, 0].tolist() == [49, 46, 129]
    assert difference.pictures[1, 0, 0].tolist() == [255, 255, 255]
    light = difference.pictures[1, 1, 1]
    assert np.all(light > difference.pictures[0, 0, 0]) and np.all(light < 255)
    assert np.array_equal(compare(second, first).pictures, difference.pictures)


def test_equal_pictures_have_a_white_difference():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
    difference = compare(pictures, pictures)
    assert (difference.mean, difference.largest, difference.pictures.min()) == (0, 0, 255)


def test_only_pictures_alike_in_shape_are_compared():
    with pytest.raises(RequestError, match="alike in shape"):
        compare(np.zeros((1, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8))


SIDE = ("simple_unet", 3, "ddim", 1)


def test_unlinked_noise_takes_the_following_seeds(shelf):
    linked, unlinked = (start(shelf, "cat", "5", 2, same, SIDE, SIDE, SIDE) for same in (True, False))
    assert [lane.seeds for lane in linked] == [[5, 6]] * 3
    assert [lane.seeds for lane in unlinked] == [[5, 6], [7, 8], [9, 10]]
    with pytest.raises(RequestError, match="seed must be a whole number"):
        start(shelf, "cat", str(2**64 - 2), 2, False, SIDE, SIDE)


def test_every_pair_has_its_rows_and_the_mean_of_its_difference(shelf):
    lanes = start(shelf, "cat", "5", 2, True, SIDE, ("attention_unet", 3, "ddim", 1), SIDE)
    list(stream(lanes))
    assert pairs(3) == ["A and B", "A and C", "B and C"]
    assert len(pairs(4)) == 6
    (first, second), difference, words = pair_of(lanes, "A and B")
    assert first.shape == second.shape == difference.shape == (256, 512, 3)
    for row, lane in ((first, lanes[0]), (second, lanes[1])):
        assert np.array_equal(row[::8, ::8], np.concatenate(list(lane.pictures), axis=1))
    mean = np.abs(lanes[0].pictures.astype(float) - lanes[1].pictures).mean()
    assert f"The mean over all pixels is {mean:.1f} of 255." in words
    (_, _), difference, words = pair_of(lanes, "A and C")  # the same run twice
    assert difference.min() == 255 and "is 0.0 of 255" in words
    with pytest.raises(RequestError, match="There is no pair of runs 'A and D'"):
        pair_of(lanes, "A and D")


def test_the_table_has_a_row_for_each_measured_figure_and_a_dash_where_there_is_none(shelf):
    model = shelf["simple_unet"]
    metrics = {"fid": {"value": 41.237, "n": 10000}, "class_agreement": 0.5}
    measured = Generator(model.network, replace(model.info, metrics=metrics), "cpu")
    both = Shelf({"simple_unet": measured, "attention_unet": shelf["attention_unet"]}, {})
    lanes = start(both, "cat", "5", 1, True, SIDE, ("attention_unet", 3, "ddim", 2))
    list(stream(lanes))
    rows = dict(line.strip("| ").split(" | ", 1) for line in table(lanes).splitlines()[2:])
    assert rows["parameters"] == "71,228 | 75,708"
    assert rows["network evaluations"] == "3 | 6"
    assert rows["fid value"] == r"41.24 | \-"
    assert rows["fid n"].startswith("10000 |")
    assert rows["class agreement"].startswith("0.5 |")
    assert "quality figures" in table(start(shelf, "cat", "5", 1, True, SIDE))
