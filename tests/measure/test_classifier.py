"""The classifier that measures samples: its network, its training, and what a damaged one says."""

import json

import numpy as np
import pytest
import torch
from training_helpers import Script

from diffdemo.data import load_dataset, make_toy_dataset
from diffdemo.errors import CheckpointError, RequestError
from diffdemo.measure.classifier import load_classifier
from diffdemo.models.classifier import Classifier, ClassifierConfig

SCRIPT = Script("train.classifier")
TINY = ["--channels", "8,16", "--batch-size", 16, "--warmup-images", 160, "--images", 1600, "--shift", 1]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=16)


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    SCRIPT.kill_and_resume(toy, folder, *TINY)
    return folder / "killed"


def test_it_learns_what_the_toy_classes_are_and_says_how_well(toy, trained):
    classifier, test = load_classifier(trained, "cpu"), load_dataset(toy, "test")
    accuracy = (classifier.probabilities(test.images).argmax(axis=1) == test.labels).mean()
    assert classifier.info.metrics == {
        "accuracy": pytest.approx(accuracy, abs=5e-5),
        "n": len(test),
        "split": test.source,
    }
    assert accuracy > 3 / len(test.classes)  # chance is one in so many
    assert {"confusion.png", "loss.png", "history.csv"} <= {path.name for path in trained.iterdir()}


def test_features_do_not_depend_on_the_batch_and_lead_to_the_probabilities(toy, trained):
    classifier, pictures = load_classifier(trained, "cpu"), load_dataset(toy, "test").images[:7]
    features, probabilities = classifier.features_and_probabilities(pictures)
    assert features.shape == (7, 16) and features.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(classifier.features(pictures[3:4]), features[3:4], atol=1e-5)
    assert len(classifier.hash) == 64


def test_whitened_patches_have_no_correlation_and_variance_one():
    pixels = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels[:, 1] = 0.5 * pixels[:, 1] + 0.5 * pixels[:, 0]
    network = Classifier(ClassifierConfig((4,), image_size=8))
    network.whiten(pixels)
    with torch.no_grad():
        bias = network.whitening.bias[None, :, None, None]
        whitened = (network.whitening(pixels) - bias).transpose(0, 1).flatten(1)
    half = len(whitened) // 2
    torch.testing.assert_close(whitened[:half], -whitened[half:])
    torch.testing.assert_close(whitened[:half].cov(), torch.eye(half), atol=0.05, rtol=0)


def test_a_level_begins_by_passing_on_what_it_gets():
    network = Classifier(ClassifierConfig((32, 32)))
    level = network.levels[1]
    x = torch.rand(2, 32, 8, 8)
    torch.testing.assert_close(level.first(x), x)


def test_wrong_settings_and_other_checkpoints_are_refused(trained, tiny_checkpoints, tmp_path, monkeypatch, capsys):
    with pytest.raises(RequestError, match="3 levels after patches of 2 do not fit 10 pixels"):
        ClassifierConfig(image_size=10)
    with pytest.raises(CheckpointError, match="describes no classifier"):
        load_classifier(tiny_checkpoints / "attention_unet")
    content = json.loads((trained / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"model": {"channels": []}}))
    with pytest.raises(CheckpointError, match="at least one positive number"):
        load_classifier(tmp_path)
    assert "--shift must be from 0 to 16" in SCRIPT.refusal("--shift 20", tmp_path / "new", monkeypatch, capsys)
