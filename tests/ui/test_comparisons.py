"""What the Compare tab says of its runs."""

import base64
import csv
from dataclasses import replace
from urllib.parse import parse_qsl

import numpy as np
import pytest
from sentences import refused

from benchmarks.support.browser import open_shelf
from diffdemo import RequestError
from diffdemo.generator import Generator
from diffdemo.measure.difference import compare
from diffdemo.records.quality_curves import SETTINGS, TABLES, weights_of
from diffdemo.ui.runs.compare_link import asked_for, link
from diffdemo.ui.runs.comparisons import details, pair_of, pairs, start, table
from diffdemo.ui.runs.settings import Settings, linked
from diffdemo.ui.runs.stream import stream
from diffdemo.ui.runs.zoo import ModelZoo


@pytest.fixture(scope="module")
def zoo(tiny_checkpoints) -> ModelZoo:
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


def side(model: str, steps: int, sampler: str, guidance: float, **shared) -> Settings:
    shared = {"class_name": "cat", "seed": "5", "count": 1, **shared}
    return Settings(model, steps=steps, sampler=sampler, guidance=guidance, **shared)


SIDE = side("simple_unet", 3, "ddim", 1)
TWO = replace(SIDE, count=2)


def test_unlinked_noise_takes_the_following_seeds(zoo):
    linked, unlinked = (start(zoo, [TWO] * 3, same) for same in (True, False))
    assert [lane.seeds for lane in linked] == [[5, 6]] * 3
    assert [lane.seeds for lane in unlinked] == [[5, 6], [7, 8], [9, 10]]
    with pytest.raises(RequestError, match="seed must be a whole number"):
        start(zoo, [replace(TWO, seed=str(2**64 - 2))] * 2, False)


def unpacked(pictures: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(pictures), np.uint8).reshape(-1, 32, 32, 3)


def test_every_pair_has_its_rows_and_the_mean_of_its_difference(zoo):
    lanes = start(zoo, [TWO, replace(TWO, model="attention_unet"), TWO], True)
    list(stream(lanes))
    assert pairs(3) == ["A and B", "A and C", "B and C"]
    assert len(pairs(4)) == 6
    sheet, words = pair_of(lanes, "A and B")
    assert sheet["columns"] == ["seed 5", "seed 6"] and sheet["size"] == [32, 32]
    first, second, difference = (unpacked(row["pictures"]) for row in sheet["rows"])
    assert np.array_equal(first, lanes[0].pictures) and np.array_equal(second, lanes[1].pictures)
    assert np.array_equal(difference, compare(first, second).pictures)
    mean = np.abs(lanes[0].pictures.astype(float) - lanes[1].pictures).mean()
    assert f"The mean over all pixels is {mean:.1f} of 255." in words
    sheet, words = pair_of(lanes, "A and C")  # the same run twice
    assert unpacked(sheet["rows"][2]["pictures"]).min() == 255 and "is 0.0 of 255" in words
    with pytest.raises(RequestError, match="There is no pair of runs 'A and D'"):
        pair_of(lanes, "A and D")


def test_the_tables_have_a_row_for_each_measured_figure_and_a_dash_where_there_is_none(zoo, tmp_path):
    def with_figures(key: str, metrics: dict) -> Generator:
        return Generator(zoo[key].network, replace(zoo[key].info, metrics=metrics), "cpu")

    def figure(value: float, n: int, steps: int = 10) -> dict:
        how = {"measured": f"n = {n} against this; classifier", "drawn": f"ddim, {steps} steps"}
        return {"value": value, "floor": 0.5} | how

    first = with_figures("simple_unet", {"fid": figure(41.237, 10), "recall": figure(0.25, 10), "class_agreement": 0.5})
    second = with_figures("attention_unet", {"fid": figure(30.0, 20), "recall": figure(0.75, 10, steps=20)})
    both = ModelZoo({"simple_unet": first, "attention_unet": second}, {})
    lanes = start(both, [SIDE, side("attention_unet", 3, "ddim", 2)], True)
    list(stream(lanes))
    rows = dict(line.strip("| ").split(" | ", 1) for line in table(lanes).splitlines()[2:])
    assert len(rows) <= 8
    assert rows["parameters"] == "0.0712 million | 0.0757 million"
    assert rows["network evaluations"] == "3 | 6"
    assert rows["as varied as real pictures (recall)"] == "25% | 75%"
    assert rows["pictures of what was asked for"] == "50% | -"
    rows = dict(line.strip("| ").split(" | ", 1) for line in details(lanes, tmp_path).splitlines()[2:])
    assert rows["recall"] == r"0.25 \(real: 0.5\) | 0.75 \(real: 0.5\)"
    # measured with different n: they never share a row
    assert rows["FID, n = 10 against this; classifier"] == r"41.24 \(real: 0.5\) | -"
    assert rows["FID, n = 20 against this; classifier"] == r"- | 30 \(real: 0.5\)"
    # they are of other runs than these, and the table says of which
    assert rows["*the checkpoint, drawn by*"] == "ddim, 10 steps | ddim, 10 steps"
    assert "quality figures" in details(start(zoo, [SIDE], True), tmp_path)
    shared = figure(30.0, 20) | {"measured": "n = 20 against that"}
    own = {"simple_unet": first, "attention_unet": with_figures("attention_unet", {"frechet_distance": shared})}
    own["simple_unet"] = with_figures("simple_unet", {"frechet_distance": figure(41.237, 10)})
    lanes = start(ModelZoo(own, {}), [SIDE, side("attention_unet", 3, "ddim", 2)], True)
    assert r"| 41 | 30\* |" in table(lanes)  # which a line below the table explains


def test_the_table_has_the_figures_of_runs_with_these_settings_where_they_were_measured(zoo, tmp_path):
    def rows(*sides, class_name: str = "cat") -> dict:
        lanes = start(zoo, [replace(one, class_name=class_name) for one in sides], True)
        list(stream(lanes))
        return dict(line.strip("| ").split(" | ", 1) for line in details(lanes, tmp_path).splitlines()[2:])

    def write(key: str, x: str, *measured: dict) -> None:
        (tmp_path / key).mkdir(exist_ok=True)
        weights = weights_of(zoo[key].info.files)
        how = {
            "spacing": "trailing",
            "n": 1500,
            "weights": weights,
            "reference": "train",
            "floor_frechet_distance": 0.5,
        }
        with (tmp_path / key / TABLES[x]).open("w", newline="") as file:
            names = [*SETTINGS, "frechet_distance", "floor_frechet_distance", "class_agreement"]
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(how | row for row in measured)

    def point(sampler: str, steps: int, guidance: float, distance: float, **other) -> dict:
        settings = {"sampler": sampler, "steps": steps, "guidance_scale": guidance, "frechet_distance": distance}
        return settings | other

    other = point("ddim", 3, 1.0, 8.0, weights="other")
    write("attention_unet", "steps", other, point("ddim", 3, 2.0, 7.25), point("ddpm", 3, 2.0, 9.5))
    write("attention_unet", "guidance_scale", point("ddim", 3, 1.5, 6.0))
    asked = [
        side("attention_unet", *rest) for rest in ((3, "ddim", 2), (3, "ddpm", 2), (3, "ddim", 1.5), (3, "ddim", 1))
    ]
    name = "Fréchet distance of such runs, n = 1,500"
    assert rows(*asked)[name] == r"7.25 \(real: 0.5\) | 9.5 \(real: 0.5\) | 6 \(real: 0.5\) | -"
    assert name not in rows(*asked, class_name="any")
    (tmp_path / "attention_unet" / TABLES["steps"]).write_text("no table\n1")
    assert name not in rows(*asked)


def read(address: str) -> dict:
    return dict(parse_qsl(address.removeprefix("?")))


@pytest.mark.parametrize("same", [True, False])
def test_a_link_brings_back_every_run(zoo, same):
    sides = [("simple_unet", 3, "ddim", 0.1 + 0.2), ("attention_unet", 4, "heun", 1), ("simple_unet", 5, "ddpm", 20)]
    lanes = start(zoo, [side(*one, seed=str(2**64 - 9), count=2) for one in sides], same)
    asked = asked_for(zoo, read(link(lanes, same)))
    again = start(zoo, asked.sides, asked.linked)
    assert asked.linked == same
    for one, other in zip(lanes, again, strict=True):
        assert (one.model.key, one.settings, one.seeds) == (other.model.key, other.settings, other.seeds)


def test_a_link_may_leave_settings_out_and_is_for_its_tab_only(zoo):
    assert asked_for(zoo, {"model": "simple_unet", "seed": "3"}) is None
    assert asked_for(zoo, {"tab": "forward", "seed": "3"}) is None
    assert asked_for(zoo, {"tab": "compare", "utm": "x"}) is None
    asked = asked_for(zoo, {"tab": "compare", "sampler_c": "heun"})
    assert [one.model for one in asked.sides] == ["simple_unet", "attention_unet", "attention_unet"]
    assert [one.sampler for one in asked.sides] == ["dpmpp", "dpmpp", "heun"]
    assert linked(zoo, {"tab": "compare", "seed": "3"}) is None  # not for the Generate tab


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"model_b": "vae"}, "There is no model 'vae'"),
        ({"class": "cow"}, "There is no class 'cow'"),
        ({"steps_d": "0"}, "steps must be a whole number from 1 to 1000, not '0'"),
        ({"sampler_a": "euler"}, "There is no sampler 'euler'"),
        ({"guidance_a": "nan"}, "guidance must be a number from 0 to 20"),
        ({"seed": "-1"}, "seed must be a whole number from 0"),
        ({"images": "9"}, "the number of images must be a whole number from 1 to 8"),
        ({"linked": "perhaps"}, "There is no answer 'perhaps'"),
    ],
)
def test_a_bad_link_gets_one_sentence(zoo, query, sentence):
    with refused(RequestError, sentence):
        asked_for(zoo, {"tab": "compare", **query})
