"""python -m diffdemo nearest: is a picture a copy of a training picture?"""

import json

import numpy as np
import pytest
from classifiers import save_classifier
from cli_helpers import complaint
from PIL import Image

from diffdemo.__main__ import main
from diffdemo.data import load_dataset, make_toy_dataset
from diffdemo.measure.nearest import TrainingPictures, Usual, together


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=8)


@pytest.fixture
def copy(toy, tmp_path):
    """The file of a training picture."""
    Image.fromarray(load_dataset(toy, "train").images[17]).save(path := tmp_path / "copy.png")
    return path


@pytest.mark.parametrize("by", ["pixels", "features"])
def test_a_copy_is_found_with_its_class_and_drawn(toy, copy, tmp_path, capsys, by):
    save_classifier(tmp_path / "classifier")
    flags = ["nearest", str(copy), "--by", by, "-n", "3", "--data", str(toy), "--checkpoints", str(tmp_path)]
    for _ in range(2):  # the second time with what the classifier has seen before
        assert main([*flags, "--out", str(tmp_path / "near.png"), "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
    train, (first, *others) = load_dataset(toy, "train"), answer["neighbours"]
    assert first["index"] == 17 and first["class"] == train.classes[train.labels[17]]
    assert first["distance"] == pytest.approx(0, abs=1e-4)
    assert first["distance"] < others[0]["distance"] <= others[1]["distance"]
    drawn = np.asarray(Image.open(tmp_path / "near.png"))
    assert drawn.shape == (128, 5 * 128 + 4 * 8, 3)
    np.testing.assert_array_equal(drawn[:, :128], drawn[:, 272:400])
    if by == "pixels":
        difference = train.images[others[0]["index"]].astype(float) - train.images[17]
        assert others[0]["distance"] == pytest.approx(np.sqrt(np.square(difference).mean()))
    else:
        assert answer["test_median"] > 0 and list((toy / ".diffdemo-cache").glob("seen-*.npy"))


def test_a_sample_has_neighbours_too(toy, tiny_checkpoints, tmp_path, capsys):
    flags = ["--checkpoints", str(tiny_checkpoints), "--data", str(toy), "--out", str(tmp_path / "near.png")]
    assert main(["nearest", "--model", "simple_unet", "--class", "cat", "--seed", "3", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and all("training picture" in line for line in lines[:8])


def test_what_is_usual_is_how_near_the_test_pictures_come(toy, monkeypatch):
    train, test = (load_dataset(toy, split).images.astype(float) for split in ("train", "test"))
    apart = np.sqrt(np.square(test[:, None] - train).mean(axis=(2, 3, 4))).min(axis=1)
    for _ in range(2):
        usual = TrainingPictures(toy).usual
        assert usual.n == len(test)
        assert (usual.median, usual.low) == pytest.approx((np.median(apart), np.quantile(apart, 0.05)))
        monkeypatch.setattr(TrainingPictures, "_test_distances", None)  # from now on out of the cache


@pytest.mark.parametrize(
    "distance, words",
    [(0, "is a copy"), (0.9, "may be a copy"), (1.1, "is no nearer"), (9, "is no nearer")],
)
def test_a_distance_is_judged_by_those_of_test_pictures(distance, words):
    assert words in Usual(1000, 2.0, 1.0).judge(distance)


def test_comparisons_that_agree_say_so_in_one_sentence_and_others_each():
    agreed = together({"features": "apart", "pixels": "apart"})
    assert (
        agreed.startswith("By its features and its pixels alike, this picture is no nearer")
        and agreed[:-1].count(".") == 0
    )
    differ = together({"features": "copy", "pixels": "apart"})
    assert "by its features it is a copy, but by its pixels it is no nearer" in differ
    assert together({"pixels": "near"}).startswith("By its pixels, this picture is nearer")


@pytest.mark.parametrize(
    "flags, code, words",
    [
        ([], 2, "a picture, or a model"),
        (["picture.png", "--model", "simple_unet"], 2, "a picture, or a model"),
        (["picture.png", "--by", "colour"], 2, "choose one of: features, pixels"),
        (["picture.png", "--out", "x.gif"], 2, "nearest.png"),
        (["{copy}", "-n", "0"], 2, "from 1 to 50"),
        (["{copy}", "--data", "nowhere"], 1, "training pictures are needed"),
        (["{copy}", "--by", "features", "--checkpoints", "nowhere"], 1, "no checkpoint"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(toy, copy, capsys, flags, code, words):
    asked = ["nearest", *(flag.format(copy=copy) for flag in flags)]
    assert words in complaint(capsys, main(asked if "--data" in asked else [*asked, "--data", str(toy)]), code)
