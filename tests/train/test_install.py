"""Installing a run: in int8 unless asked, whole, with what was measured of its weights and nothing of others'."""

import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentences import refused

import diffdemo
from diffdemo.checkpoint import load_weights, parameter_count, save_checkpoint
from diffdemo.description import CONFIG, encoding_of, read_config, read_info, write_info
from diffdemo.errors import CheckpointError, RequestError
from diffdemo.latent.space import psnr
from diffdemo.measure.classifier import ClassifierInfo, load_classifier
from diffdemo.models.classifier import Classifier, ClassifierConfig
from diffdemo.records.quality_curves import measured_as, measured_at, read_curves, weights_of
from diffdemo.request import SamplingRequest
from train import install as script
from train.curves import COLUMNS, Table
from train.evaluate.report import KEYS, RESULT
from train.flags import run_app
from train.install import install

WEIGHTS = "model.safetensors"


@pytest.fixture
def run(tiny_checkpoints, tmp_path) -> Path:
    """A run in fp16 with a figure, an evaluation, a curve and a history."""
    folder = Path(shutil.copytree(tiny_checkpoints / "attention_unet", tmp_path / "run"))
    info = read_info(folder)
    write_info(folder, replace(info, metrics={"fid": 12.5}))
    (folder / "history.csv").write_text("step,loss\n1,0.5\n")
    (folder / "state.safetensors").write_text("what a run goes on from")
    write_evaluation(folder, info.files)
    write_curve(folder, weights_of(info.files), 3.0)
    return folder


def write_evaluation(folder: Path, files: dict) -> None:
    (folder / RESULT).write_text(json.dumps({name: {} for name in KEYS} | {"drawn": {"weights": files}}))


def write_curve(folder: Path, weights: str, figure: float) -> None:
    row = dict.fromkeys(COLUMNS, "") | {"weights": weights, "sampler": "ddim", "spacing": "trailing", "steps": 10}
    row |= {"guidance_scale": 2.0, "n": 100, "frechet_distance": figure, "floor_frechet_distance": 0.1}
    path = folder / "quality_steps.csv"
    before = path.read_text() if path.exists() else ",".join(COLUMNS) + "\n"
    path.write_text(before + ",".join(str(row[name]) for name in COLUMNS) + "\n")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_installed_in_int8_with_all_that_was_measured(run, tmp_path):
    target = install(run, tmp_path / "checkpoints" / "attention_unet")
    before, info = read_info(run), read_info(target)
    assert encoding_of(before) == "fp16" and encoding_of(info) == "int8"
    assert info.metrics == {"fid": 12.5} and info.encoded_from == before.files
    assert replace(info, files=before.files, encoded_from={}, format=1) == before
    assert sorted(contents(target)) == [CONFIG, RESULT, "history.csv", WEIGHTS, "quality_steps.csv"]
    assert (target / WEIGHTS).stat().st_size < (run / WEIGHTS).stat().st_size
    models = (diffdemo.load(str(folder), device="cpu") for folder in (run, target))
    assert psnr(*(model.sample("dog", steps=5, seeds=[1, 2]) / 255 for model in models)).min() > 30


@pytest.mark.parametrize("encoding", [None, "int8"])
def test_installing_int8_again_changes_no_byte(run, tmp_path, encoding):
    target = install(run, tmp_path / "installed")
    before = contents(target)
    assert contents(install(target, tmp_path / "elsewhere", encoding)) == before
    assert contents(install(target, target, encoding)) == before


def test_fp16_is_installed_as_it_is(run, tmp_path):
    installed, had = contents(install(run, tmp_path / "installed", "fp16")), contents(run)
    assert installed == {name: content for name, content in had.items() if name != "state.safetensors"}


def test_int8_can_be_taken_back_to_fp16(run, tmp_path):
    eighths = install(run, tmp_path / "int8")
    halves = install(eighths, tmp_path / "fp16", "fp16")
    info = read_info(halves)
    assert encoding_of(info) == "fp16" and info.encoded_from == read_info(eighths).files
    rounded = load_weights(eighths, read_info(eighths))
    for name, weight in load_weights(halves, info).items():
        assert torch.equal(weight, rounded[name].half().float()), name


def test_an_evaluation_of_other_weights_stays_behind(run, tmp_path):
    for encoding in ("int8", "fp16"):
        assert (install(run, tmp_path / encoding, encoding) / RESULT).exists()
    installed = install(run, tmp_path / "installed")
    assert (install(installed, tmp_path / "again") / RESULT).exists()
    write_evaluation(installed, read_info(installed).files)
    assert (install(installed, tmp_path / "again") / RESULT).exists()
    for source in (installed, run):
        for text in ("{}", "no JSON", '{"drawn": 3}'):
            (source / RESULT).write_text(text)
            assert not (install(source, tmp_path / "again") / RESULT).exists()
        write_evaluation(source, {WEIGHTS: "0" * 64})
        assert not (install(source, tmp_path / "again") / RESULT).exists()


def test_curves_of_the_fp16_weights_hold_until_there_are_some_of_the_int8_ones(run, tmp_path):
    target = install(run, tmp_path / "installed")
    info = read_info(target)
    weights = measured_as(info.files, info.encoded_from)
    asked = SamplingRequest.of(info, sampler="ddim", steps=10, guidance_scale=2.0, spacing="trailing")
    (curve,) = read_curves(target, "steps", *weights)
    assert curve.samplers["ddim"][1] == [3.0] and curve.how["weights"] == weights_of(info.encoded_from)
    assert measured_at(target, weights, asked)["frechet_distance"] == "3.0"
    assert read_curves(target, "steps", weights_of(info.files)) == []
    write_curve(target, weights_of(info.files), 4.0)
    (curve,) = read_curves(target, "steps", *weights)
    assert curve.samplers["ddim"][1] == [4.0] and curve.how["weights"] == weights_of(info.files)
    assert measured_at(target, weights, asked)["frechet_distance"] == "4.0"


def test_a_curve_holds_for_runs_whose_noise_is_scaled_as_it_was_measured(run):
    info = read_info(run)
    how = {"sampler": "ddim", "steps": 10, "guidance_scale": 2.0, "spacing": "trailing"}
    weights = weights_of(info.files)
    assert measured_at(run, [weights], SamplingRequest.of(info, **how))["frechet_distance"] == "3.0"
    assert measured_at(run, [weights], SamplingRequest.of(info, eps_scale=1.01, **how)) is None
    table = run / "quality_steps.csv"  # one from before there was such a setting
    table.write_text(table.read_text().replace("spacing,eps_scale,", "spacing,").replace("trailing,,", "trailing,"))
    assert "eps_scale" not in table.read_text()
    assert measured_at(run, [weights], SamplingRequest.of(info, **how))["frechet_distance"] == "3.0"
    (curve,) = read_curves(run, "steps", weights)
    assert curve.samplers["ddim"][1] == [3.0]
    assert Table(table).rows()[0]["eps_scale"] == "1.0"


def test_a_classifier_stays_in_fp16_unless_asked(tmp_path):
    config = ClassifierConfig((16, 32), num_classes=3)
    torch.manual_seed(0)
    network = Classifier(config)
    info = ClassifierInfo(asdict(config), ("a", "b", "c"), parameter_count(network), metrics={"accuracy": 0.5})
    run = tmp_path / "run"
    save_checkpoint(run, info, network.state_dict())
    same = install(run, tmp_path / "same")
    assert contents(same) == contents(run)
    smaller = install(run, tmp_path / "smaller", "int8")
    assert read_config(smaller)["format"] == 2 and read_config(smaller)["metrics"] == {"accuracy": 0.5}
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    classifiers = [load_classifier(folder, "cpu") for folder in (same, smaller)]
    assert classifiers[0].hash != classifiers[1].hash
    np.testing.assert_allclose(*(one.probabilities(pictures) for one in classifiers), atol=0.02)
    assert contents(install(smaller, tmp_path / "again", "int8")) == contents(smaller)
    assert encoding_of(load_classifier(install(smaller, tmp_path / "back"), "cpu").info) == "fp16"


def test_what_cannot_be_installed_leaves_what_was_there(run, tmp_path):
    target = install(run, tmp_path / "installed")
    before, info = contents(target), read_info(run)
    with refused(RequestError, "There is no encoding of weights 'int4'; choose one of: fp16, int8"):
        install(run, target, "int4")
    weights = load_weights(run, info)
    name = next(name for name, weight in weights.items() if weight.numel() >= 4096)
    weights[name].view(-1)[0] = float("nan")
    save_checkpoint(run, info, weights)
    with refused(CheckpointError, f"The weight {name} holds numbers that are not finite"):
        install(run, target)
    assert contents(target) == before


@pytest.mark.parametrize(("flags", "encoding"), [([], "int8"), (["--weights", "fp16"], "fp16")])
def test_the_command_takes_which(run, tmp_path, monkeypatch, capsys, flags, encoding):
    monkeypatch.setattr(sys, "argv", ["install", str(run), "--checkpoints", str(tmp_path / "zoo"), *flags])
    with pytest.raises(SystemExit) as ended:
        run_app(script.main)
        sys.exit(0)
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"Installed {run} as {tmp_path / 'zoo' / 'attention_unet'}.\n"
    assert encoding_of(read_info(tmp_path / "zoo" / "attention_unet")) == encoding


def test_an_unknown_encoding_is_a_sentence_of_the_command(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["install", str(run), "--checkpoints", str(tmp_path), "--weights", "int4"])
    with pytest.raises(SystemExit) as ended:
        run_app(script.main)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "Error: There is no encoding of weights 'int4'; choose one of: fp16, int8.\n"
    assert not (tmp_path / "attention_unet").exists()
