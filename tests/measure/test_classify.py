"""The diffusion classifier: exact where the answer is known, paired, seeded, and the same on any batch."""

import json
from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest
import torch
from cli_helpers import complaint
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sentences import refused
from torch import nn

import diffdemo
from diffdemo.__main__ import main
from diffdemo.errors import CheckpointError, RequestError
from diffdemo.generator import Generator
from diffdemo.loading import generator_for
from diffdemo.measure import diffusion_classifier as classify_module
from diffdemo.measure.diffusion_classifier import classify, refine, timesteps
from diffdemo.models.classifier import Classifier, ClassifierConfig
from diffdemo.models.unet import UNet
from diffdemo.registry import SPECS
from diffdemo.trajectory import Trajectory

PICTURES = np.random.default_rng(5).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
with_classes = pytest.mark.parametrize("key", [key for key, spec in SPECS.items() if spec.classes])


@pytest.fixture(scope="module")
def load(all_checkpoints):
    kept = {}
    return lambda key: kept.setdefault(key, diffdemo.load(key, device="cpu", checkpoints=all_checkpoints))


class GreyLevels(nn.Module):
    """The exact denoiser of classes whose pixels are independent normal numbers around a grey level of their own."""

    def __init__(self, means: list[float], deviation: float, schedule):
        super().__init__()
        self.means, self.variance = torch.tensor(means), deviation**2
        self.alpha_bar = torch.from_numpy(schedule.alpha_bar).float()

    def forward(self, x, t, label):
        a, mean = (values[index][:, None, None, None] for values, index in ((self.alpha_bar, t), (self.means, label)))
        return mean + a.sqrt() * self.variance / (a * self.variance + 1 - a) * (x - a.sqrt() * mean)


@pytest.fixture(scope="module")
def grey(load) -> Generator:
    """Ten classes with grey levels from -0.9 to 0.9; class k has mean -0.9 + 0.2 k and deviation 0.1."""
    model = load("attention_unet")
    info = replace(model.info, diffusion={**model.info.diffusion, "prediction": "clean"})
    means = [-0.9 + 0.2 * k for k in range(10)] + [0.0]
    return Generator(GreyLevels(means, 0.1, model.diffusion.schedule), info, "cpu")


def grey_pictures(labels: list[int]) -> np.ndarray:
    values = np.random.default_rng(1).normal([[-0.9 + 0.2 * k] for k in labels], 0.1, (len(labels), 3072))
    return ((values.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8).reshape(-1, 32, 32, 3)


def test_exact_denoisers_find_every_class(grey):
    labels = list(range(10)) * 2
    scores = classify(grey, grey_pictures(labels), draws=4)
    assert scores.best == [grey.classes[label] for label in labels]


def test_the_errors_of_an_exact_denoiser_are_those_worked_out_by_hand(grey):
    """eps_hat - eps = sqrt(a(1-a)) / (a v + 1 - a) (x0 - mean_c) - a v / (a v + 1 - a) eps, v the variance."""
    pictures, draws = grey_pictures([2, 7]), 6
    a = grey.diffusion.schedule.alpha_bar[timesteps(draws, 1000)]
    x0 = grey.states(pictures).double().flatten(1).numpy()
    noises = classify_module.SeededNoise([11], grey.shape)
    eps = np.stack([noises().double().flatten().numpy() for _ in range(draws)])
    total = a * 0.01 + 1 - a
    expected = np.empty((draws, 2, 10))
    for draw in range(draws):
        for label in range(10):
            away = sqrt(a[draw] * (1 - a[draw])) * (x0 - (-0.9 + 0.2 * label)) - a[draw] * 0.01 * eps[draw]
            expected[draw, :, label] = (away / total[draw]).__pow__(2).mean(axis=1)
    scores = classify(grey, pictures, draws=draws, seed=11)
    np.testing.assert_allclose(scores.errors, expected.mean(axis=0), rtol=1e-4)
    relative = expected - expected.mean(axis=2, keepdims=True)
    errors = relative.std(axis=0, ddof=1) * sqrt(10 / 9) / sqrt(draws)
    np.testing.assert_allclose(scores.standard_errors, errors, rtol=1e-3)
    likelihood = np.exp(-3 * 3072 * (scores.errors - scores.errors.min(axis=1, keepdims=True)))
    np.testing.assert_allclose(scores.probabilities, likelihood / likelihood.sum(axis=1, keepdims=True))


@with_classes
def test_every_model_with_classes_scores_each_of_them(load, key):
    model = load(key)
    scores = classify(model, PICTURES, draws=3)
    assert scores.classes == model.classes and scores.draws == 3
    assert scores.evaluations == 3 * len(model.classes)
    for values in (scores.errors, scores.standard_errors, scores.probabilities):
        assert values.shape == (3, len(model.classes)) and values.dtype == np.float64 and (values >= 0).all()
    np.testing.assert_allclose(scores.probabilities.sum(axis=1), 1)
    assert (scores.probabilities.argmax(axis=1) == scores.errors.argmin(axis=1)).all()
    assert len({*scores.errors[0]}) > 1


@with_classes
def test_the_first_error_is_that_of_the_networks_guess(load, key):
    model = load(key)
    scores = classify(model, PICTURES[:1], draws=1, seed=9)
    trajectory = Trajectory(model, PICTURES[:1], [9])
    level, x_t = trajectory.level(500), trajectory.at(500)
    for label in range(len(model.classes)):
        with torch.inference_mode():
            x0 = model.diffusion.denoise(model.network, x_t, torch.tensor([500]), torch.tensor([label]))
        guess = (x_t - level.signal * x0) / level.noise
        assert scores.errors[0, label] == pytest.approx(float((guess - trajectory.eps).square().mean()), rel=1e-4)


@with_classes
def test_scores_depend_on_the_picture_and_the_seed_alone(load, key, monkeypatch):
    model = load(key)
    together = classify(model, PICTURES, draws=3, seed=4)
    monkeypatch.setattr(classify_module, "BATCH", 3)
    alone = [classify(model, PICTURES[k : k + 1], draws=3, seed=4) for k in range(3)]
    np.testing.assert_allclose(np.concatenate([scores.errors for scores in alone]), together.errors, rtol=1e-3)
    again = classify(model, PICTURES[:1], draws=3, seed=4)
    assert again.errors.tobytes() == alone[0].errors.tobytes()
    assert abs(classify(model, PICTURES[:1], draws=3, seed=5).errors - again.errors).max() > 1e-6


def test_the_network_is_asked_once_for_each_draw_and_class_in_bounded_batches(load, monkeypatch):
    model, asked = load("attention_unet"), []
    hook = model.network.register_forward_pre_hook(lambda _, inputs: asked.append([len(part) for part in inputs]))
    labels = []
    names = model.network.register_forward_pre_hook(lambda _, inputs: labels.extend(inputs[2].tolist()))
    monkeypatch.setattr(classify_module, "BATCH", 12)
    scores = classify(model, PICTURES, draws=2)
    hook.remove()
    names.remove()
    assert [sizes[0] for sizes in asked] == [12, 12, 6] * 2
    assert len(labels) == 3 * scores.evaluations == 60
    assert labels == list(range(10)) * 6


def test_scores_come_after_every_draw_and_closing_stops_at_once(load):
    model, asked = load("attention_unet"), []
    hook = model.network.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    run = refine(model, PICTURES[:1], draws=5)
    assert asked == []
    first, second = next(run), next(run)
    assert asked == [10, 10] and (first.draws, second.draws) == (1, 2)
    assert np.isnan(first.standard_errors).all() and np.isfinite(second.standard_errors).all()
    run.close()
    hook.remove()
    assert asked == [10, 10]
    np.testing.assert_array_equal(classify(model, PICTURES[:1], draws=2).errors, second.errors)


@given(st.integers(1, 1000), st.integers(2, 1000))
def test_timesteps_spread_evenly_whatever_their_number(count, total):
    visited = timesteps(count, total)
    assert len(visited) == count and min(visited) >= 0 and max(visited) < total
    assert visited == timesteps(count + 1, total)[:count]
    share = np.searchsorted(np.sort(visited), np.arange(total + 1)) / count
    assert abs(share - np.arange(total + 1) / total).max() <= (2 + log(count)) / count + 1 / total


def unconditional(model: Generator) -> Generator:
    config = replace(model.info.build_network().config, num_classes=0)
    return Generator(UNet(config), replace(model.info, classes=()), "cpu")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"draws": 0}, "draws must be a whole number from 1 to 1000, not 0"),
        ({"draws": 1001}, "draws must be a whole number from 1 to 1000, not 1001"),
        ({"draws": 2.5}, r"draws must be a whole number from 1 to 1000, not 2\.5"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"pictures": PICTURES[0]}, r"of shape \(N, 32, 32, 3\), not uint8 of shape \(32, 32, 3\)"),
        ({"pictures": PICTURES[:0]}, r"not uint8 of shape \(0, 32, 32, 3\)"),
        ({"pictures": PICTURES / 255}, r"not float64 of shape \(3, 32, 32, 3\)"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_first_evaluation(load, arguments, said):
    with refused(RequestError, said):
        refine(load("attention_unet"), **{"pictures": PICTURES, **arguments})


def test_a_model_without_classes_is_refused_with_a_sentence(load):
    for model in (load("ddpm_unet"), load("multihead_unet"), unconditional(load("simple_unet"))):
        with refused(RequestError, f"{model.key} is unconditional and has no classes to tell apart; use a model"):
            refine(model, PICTURES)


def test_an_autoencoder_alone_is_refused(load):
    model = load("latent_diffusion")
    untrained = generator_for(model.network, replace(model.info, trained=("autoencoder",)), "cpu")
    with refused(CheckpointError, "Only the autoencoder of this checkpoint is trained"):
        refine(untrained, PICTURES)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path) -> str:
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


@with_classes
def test_the_command_prints_what_the_package_says(load, key, all_checkpoints, picture, capsys):
    shared = [picture, "--model", key, "--draws", "3", "--seed", "6", "--device", "cpu"]
    assert main(["classify", *shared, "--checkpoints", str(all_checkpoints), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    scores = classify(load(key), PICTURES[:1], draws=3, seed=6)
    assert (answer["model"], answer["draws"], answer["seed"]) == (key, 3, 6)
    assert answer["best"] == scores.best[0] and answer["evaluations"] == scores.evaluations
    for index, name in enumerate(scores.classes):
        assert answer["classes"][name] == {
            "probability": pytest.approx(scores.probabilities[0, index], rel=1e-3),
            "error": pytest.approx(scores.errors[0, index], rel=1e-3),
            "standard_error": pytest.approx(scores.standard_errors[0, index], rel=1e-3),
        }
    assert ("autoencoder" in answer) == (key == "latent_diffusion")
    if key == "latent_diffusion":
        expected = load(key).class_probabilities(PICTURES[:1])[0]
        np.testing.assert_allclose(list(answer["autoencoder"].values()), expected, rtol=1e-4)
    assert main(["classify", *shared, "--checkpoints", str(all_checkpoints)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{scores.best[0]}, says {key} (3 draws x {len(scores.classes)} classes = ")
    assert lines[1].split()[0] == scores.best[0]


def test_one_draw_has_no_standard_error(all_checkpoints, picture, capsys):
    shared = ["classify", picture, "--draws", "1", "--checkpoints", str(all_checkpoints)]
    assert main([*shared, "--json"]) == 0
    assert {of["standard_error"] for of in json.loads(capsys.readouterr().out)["classes"].values()} == {None}
    assert main(shared) == 0
    assert "±" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["nothing.png"], "There is no file nothing.png; name one that is there", 1),
        (["{picture}", "--model", "ddpm_unet"], "ddpm_unet is unconditional and has no classes to tell apart", 2),
        (["{picture}", "--draws", "0"], "draws must be a whole number from 1 to 1000", 2),
        (["{picture}", "--draws", "many"], "draws must be a whole number from 1 to 1000, not 'many'", 2),
        (["{picture}", "--seed", "-1"], "seed must be a whole number", 2),
    ],
)
def test_what_cannot_be_classified_is_refused_with_a_sentence(all_checkpoints, picture, capsys, arguments, said, code):
    named = [argument.format(picture=picture) for argument in arguments]
    assert said in complaint(capsys, main(["classify", *named, "--checkpoints", str(all_checkpoints)]), code)


@pytest.mark.parametrize("size", [(1, 1), (300, 20), (20_000, 1)])
def test_pictures_of_any_size_work_or_are_refused(all_checkpoints, tmp_path, capsys, size):
    Image.new("RGBA", size, (200, 10, 10, 128)).save(tmp_path / "odd.png")
    code = main(["classify", str(tmp_path / "odd.png"), "--draws", "1", "--checkpoints", str(all_checkpoints)])
    if max(size) > 16_384:
        assert "has 20,000 x 1 pixels" in complaint(capsys, code, 1)
    else:
        assert code == 0


def test_a_device_without_float64_such_as_a_macs_classifies(grey, monkeypatch):
    moved, on_the_cpu, double = set(), torch.Tensor.cpu, torch.Tensor.double

    def cpu(tensor):
        result = on_the_cpu(tensor).view_as(tensor)
        moved.add(id(result))
        return result

    def no_float64_elsewhere(tensor):
        assert id(tensor) in moved, "Cannot convert a MPS Tensor to float64 dtype"
        return double(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    monkeypatch.setattr(torch.Tensor, "double", no_float64_elsewhere)
    assert classify(grey, grey_pictures([3]), draws=2).best == [grey.classes[3]]
    Classifier(ClassifierConfig((4,), image_size=8)).whiten(torch.rand(4, 3, 8, 8))
