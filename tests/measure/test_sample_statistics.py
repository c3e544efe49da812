"""The check of samples' colour and variance tells real pictures from mush."""

import sys

import numpy as np
import pytest

from benchmarks import sample_statistics
from benchmarks.sample_statistics import ColourStatistics, verdict
from diffdemo.data import make_toy_dataset
from train.flags import run_app


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)


def test_statistics_are_the_mean_colour_and_the_mean_variance_of_colours(real):
    figures = ColourStatistics.of(real)
    for index, colour in enumerate(("red", "green", "blue")):
        assert getattr(figures, colour) == pytest.approx(real[..., index].mean() / 255)
    assert figures.variance == pytest.approx(np.mean([real[..., index].var() for index in range(3)]) / 255**2)


def test_real_pictures_pass_and_grey_mush_does_not(real):
    figures = ColourStatistics.of(real)
    half = ColourStatistics.of(real[::2]).ratios(figures)
    assert all(verdict(ratio) == "PASS" for ratio in half.values())
    mush = ColourStatistics.of((127 + 0.3 * (real - 127.0)).astype(np.uint8)).ratios(figures)
    assert verdict(mush["variance"]) == "over 20 %: -91%"
    assert verdict(mush["red"]) == "PASS"
    yellow = real * np.array([1, 1, 0.5])
    assert verdict(ColourStatistics.of(yellow.astype(np.uint8)).ratios(figures)["blue"]).startswith("over 20 %: -50%")


@pytest.mark.parametrize(
    ("ratio", "said"), [(0.8, "PASS"), (1.2, "PASS"), (0.79, "over 20 %: -21%"), (1.5, "over 20 %: +50%")]
)
def test_the_limit_is_a_fifth_either_way(ratio, said):
    assert verdict(ratio) == said


def test_the_command_compares_every_class_of_a_model(all_checkpoints, tmp_path, monkeypatch, capsys):
    data = make_toy_dataset(tmp_path, per_class=4)
    words = ["--model", all_checkpoints / "patch_unet", "--data", data, "-n", 3, "--steps", 2, "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["sample_statistics", *map(str, words)])
    run_app(sample_statistics.main)
    lines = capsys.readouterr().out.splitlines()
    assert "'steps': 2" in lines[0]
    assert [line.split()[:2] for line in lines[2:]] == [
        [name, figure] for name in ("cat", "dog") for figure in ("red", "green", "blue", "variance")
    ]
