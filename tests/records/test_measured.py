"""Figures are kept as data and told as sentences; sentences that were kept before stay readable."""

import json

import pytest

from diffdemo import CHECKPOINTS
from diffdemo.records.measured import measured, record

SHIPPED = sorted(CHECKPOINTS.glob("*/evaluation.json"))
DRAWN = {"sampler": "ddim", "steps": 20, "spacing": "karras", "guidance_scale": 2.5, "guidance_interval": "0.3,5"}
DRAWN |= {"guide": "weak-model", "first_seed": 7, "device": "cpu", "precision": "bf16", "compiled": True}
EVALUATION = {
    "n": 2000,
    "drawn": DRAWN | {"model": "simple_unet", "weights": {"a": "b"}},
    "reference": {"source": "some pictures", "sha256": "0123456789"},
    "classifier": {"name": "a classifier", "sha256": "abcdefghij"},
    "inception": {"name": "a network", "sha256": "zyxwvutsrq"},
    "figures": {"fid": 3.5, "recall": 0.25},
    "floor": {"n": 2000, "figures": {"fid": 0.5, "recall": None}},
}


def test_a_figure_says_how_it_was_measured():
    metrics = {name: record(name, EVALUATION) for name in ("fid", "recall")}
    assert metrics["fid"]["drawn"] == DRAWN  # the checkpoint it stands in is its own model and weights
    fid, recall = measured(json.loads(json.dumps(metrics)))
    settings = "ddim, 20 steps (karras), guidance 2.5 (sigma 0.3 to 5), by a weaker model"
    assert fid.settings == recall.settings == settings
    assert fid.how == f"n = 2,000 against some pictures 01234567; a network zyxwvuts; {settings}, " + (
        "seeds 7 to 2006, cpu bf16 compiled"
    )
    assert recall.conditions == "n = 2,000 against some pictures 01234567; a classifier abcdefgh"
    assert (fid.text, recall.text) == ("3.5 (real: 0.5)", "0.25")


def test_a_floor_of_fewer_pictures_is_none():
    fewer = EVALUATION | {"floor": {"n": 500, "figures": {"fid": 0.5}}}
    assert "floor" not in record("fid", fewer)


@pytest.mark.parametrize(
    "known, how",
    [
        ({"measured": "n = 10", "drawn": "ddim, 5 steps, seeds 0 to 9"}, "n = 10; ddim, 5 steps, seeds 0 to 9"),
        ({"measured": "n = 10"}, "n = 10"),
        ({"drawn": {"steps": []}, "n": "many"}, ""),
        ({"drawn": 7, "n": 3, "reference": None}, ""),
        ({}, ""),
    ],
)
def test_what_was_kept_as_sentences_or_was_edited_is_shown_as_far_as_it_goes(known, how):
    (figure,) = measured({"recall": {"value": 0.5} | known})
    assert (figure.text, figure.how) == ("0.5", how)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_the_shipped_figures_are_those_of_the_evaluations_beside_them(path):
    evaluation = json.loads(path.read_text("utf-8"))
    metrics = json.loads(path.with_name("config.json").read_text("utf-8"))["metrics"]
    kept = {name: figure for name, figure in metrics.items() if isinstance(figure, dict)}
    assert "frechet_distance" in kept
    assert kept == {name: record(name, evaluation) for name in kept}
