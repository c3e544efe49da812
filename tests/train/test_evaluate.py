"""train.evaluate: from a model or a folder to figures that say how they were measured."""

import csv
import json
import shutil
import sys
import urllib.error
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from sentences import refused

from diffdemo.checkpoint import load_network, parameter_count, read_info, save_checkpoint
from diffdemo.data import CIFAR10_CLASSES as CLASSES
from diffdemo.data import load_dataset, make_toy_dataset
from diffdemo.errors import CheckpointError, RequestError
from diffdemo.loading import exchange_weights, load_generator
from diffdemo.measure.classifier import ClassifierInfo
from diffdemo.measure.metrics import frechet_distance
from diffdemo.models.classifier import Classifier, ClassifierConfig
from diffdemo.records.measured import computed_on, measured
from diffdemo.records.quality_curves import read_curves, weights_of
from train import curves
from train.evaluate import __main__ as evaluate
from train.evaluate import draw as drawn
from train.evaluate.__main__ import pictures_in
from train.evaluate.draw import SHARD, Draw, shard_size
from train.evaluate.inception import Inception
from train.flags import run_command


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """40 training pictures and 10 test pictures."""
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=4)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The checkpoint of a small classifier with random weights: its features are as good as any for arithmetic."""
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    config = ClassifierConfig((8, 16))
    network = Classifier(config)
    save_checkpoint(folder, ClassifierInfo(asdict(config), CLASSES, parameter_count(network)), network.state_dict())
    return folder


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory):
    """Weights of pytorch-fid's Inception, random ones of the right shape; large enough for signals to get through."""
    from pytorch_fid import inception

    torch.manual_seed(0)
    with (
        mock.patch.object(inception, "load_state_dict_from_url"),
        mock.patch.object(torch.nn.Module, "load_state_dict"),
    ):
        network = inception.fid_inception_v3()
    state = {name: 6**0.5 * value if value.ndim == 4 else value for name, value in network.state_dict().items()}
    torch.save(state, path := tmp_path_factory.mktemp("inception") / "inception.pth")
    return path


@pytest.fixture
def run(toy, classifier, all_checkpoints, tmp_path, monkeypatch, capsys):
    """A function that runs the command with these flags; its stdout, or its stderr if `code` is not 0."""

    def run_once(*flags: object, code: int = 0, command: Callable = evaluate.main) -> str:
        standard = ["--data", toy, "--classifier", classifier, "--device", "cpu"]
        if "--model" in flags:
            standard += ["--checkpoints", all_checkpoints, "--steps", 2]
        monkeypatch.setattr(sys, "argv", ["command", *map(str, [*standard, *flags])])
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(drawn, "SHARD", 10)  # nothing here asks for many more
        monkeypatch.setattr("diffdemo.device.relative_time", {"fp32": 1.0, "bf16": 3.0}.__getitem__)
        try:
            run_command(command, sys.modules[command.__module__].Options)
        except SystemExit as stopped:
            out, err = capsys.readouterr()
            assert (stopped.code, out) == (code, ""), err
            return err
        assert code == 0
        return capsys.readouterr().out

    return run_once


@pytest.fixture
def refusal(run):
    """A function that runs the command and gives the one sentence with which it must refuse."""

    def refuse(*flags: object, command: Callable = evaluate.main, code: int = 2) -> str:
        said = run(*flags, code=code, command=command)
        assert said.startswith("Error: ") and said.endswith(".\n") and said.count("\n") == 1 and len(said) < 500, said
        return said

    return refuse


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_a_model_of_two_classes_is_measured_against_these_and_twice_alike(run, all_checkpoints, tmp_path):
    flags = ["--model", "patch_unet", "-n", 12, "--no-fid", "--out", tmp_path / "a", "--seed", 7, "--json"]
    result = json.loads(run(*flags))
    assert result == json.loads((tmp_path / "a" / "evaluation.json").read_text())
    info = read_info(all_checkpoints / "patch_unet")
    assert result["drawn"] == {
        "model": "patch_unet",
        "weights": info.files,
        **{
            "sampler": "dpmpp",
            "steps": 2,
            "spacing": "trailing",
            "guidance_scale": 2.0,
            "guidance_interval": "all",
            "guide": "no-class",
            "guide_weights": None,
            "nfe": 4,
            "first_seed": 7,
            "precision": "fp32",
            "device": "cpu",
            "compiled": False,
        },
    }
    reference = result["reference"]
    assert (result["n"], reference["split"], reference["n"], len(reference["sha256"])) == (12, "train", 8, 64)
    assert "of which cat, dog" in reference["source"] and len(result["classifier"]["sha256"]) == 64
    figures = result["figures"]
    assert figures["class_agreement_by_class"].keys() == {"cat", "dog"}
    assert figures["frechet_distance"] > 0 and 0 <= figures["precision"] <= 1 and figures["fid"] is None
    assert result["floor"] == {"split": "test", "n": 2, "figures": None}  # there are no more test cats and dogs
    shutil.rmtree(tmp_path / "a")
    assert json.loads(run(*flags)) == result


def test_the_floor_are_real_pictures_and_copies_of_training_pictures_are_found_out(run, toy, tmp_path):
    np.save(tmp_path / "copies.npy", load_dataset(toy, "train").images[:10])
    table = run("--from", tmp_path / "copies.npy", "--no-fid", "--out", tmp_path / "out")
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert result["n"] == result["floor"]["n"] == 10
    assert result["figures"]["copying_share_5"] == 1 > result["floor"]["figures"]["copying_share_5"]
    # each class has one test picture: the classifier is right about as many as it is
    assert len(result["floor"]["figures"]["class_agreement_by_class"]) == 10
    assert result["figures"]["class_agreement"] is None
    assert "n = 10" in table and "floor" in table and "--no-fid" in table


def test_training_pictures_as_the_floor_have_no_figures_that_they_would_be_too_good_at(run, tmp_path):
    run("--model", "simple_unet", "-n", 10, "--no-fid", "--reference", "test", "--out", tmp_path / "out")
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert result["floor"]["split"] == "train"
    for name in ("class_agreement", "copying_share_5"):
        assert result["figures"][name] is not None and result["floor"]["figures"][name] is None


def test_a_folder_of_other_samples_is_refused(run, refusal, tmp_path):
    asked = ["--model", "simple_unet", "-n", 10, "--no-fid", "--out", tmp_path / "out"]
    run(*asked)
    before = (tmp_path / "out" / "evaluation.json").read_bytes()
    said = refusal(*asked, "--steps", 3, "--guidance", 1)
    assert "samples with other settings (steps, guidance_scale); name another folder" in said
    assert (tmp_path / "out" / "evaluation.json").read_bytes() == before
    (tmp_path / "out" / "shards" / "samples.json").unlink()
    assert "samples with other settings" in refusal(*asked)  # whose they are nobody knows


def test_a_stopped_evaluation_draws_only_what_is_missing_and_the_same_pictures(all_checkpoints, tmp_path, monkeypatch):
    generator = load_generator(all_checkpoints / "simple_unet", "cpu")
    draw = Draw.of(generator, steps=1, sampler="ddim", guidance_scale=1)
    count = 2 * SHARD + 5
    whole = draw.pictures(generator, tmp_path / "whole", count)
    assert whole.shape == (count, 32, 32, 3)
    alone = generator.sample(CLASSES[:3], steps=1, sampler="ddim", guidance_scale=1, seeds=range(3))
    assert np.abs(whole[:3].astype(int) - alone).max() <= 1

    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    (tmp_path / "killed" / "shard-00002.npy").unlink()
    damaged = tmp_path / "killed" / "shard-00001.npy"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    first_seeds = []
    draw_part = generator.run
    monkeypatch.setattr(generator, "run", lambda asked: first_seeds.append(asked.seeds[0]) or draw_part(asked))
    np.testing.assert_array_equal(draw.pictures(generator, tmp_path / "killed", count), whole)
    assert first_seeds == [SHARD, 2 * SHARD]


@pytest.mark.parametrize(("gib", "size"), [(2, 100), (8, 200), (16, 400), (80, 1000)])
def test_a_batch_fills_the_gpu(monkeypatch, gib, size):
    facts = SimpleNamespace(total_memory=gib * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: facts)
    assert shard_size(torch.device("cuda")) == size
    assert shard_size(torch.device("cpu")) == SHARD


def test_figures_are_installed_beside_those_that_were_there(run, all_checkpoints, tmp_path):
    shutil.copytree(all_checkpoints / "latent_diffusion", tmp_path / "latent_diffusion")
    config = tmp_path / "latent_diffusion" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"metrics": {"psnr": 24.5}}))
    flags = ["--checkpoints", tmp_path, "-n", 10, "--no-fid", "--install"]
    run("--model", "latent_diffusion", *flags)
    metrics = read_info(tmp_path / "latent_diffusion").metrics
    result = json.loads((tmp_path / "latent_diffusion" / "evaluation.json").read_text())
    assert metrics["psnr"] == 24.5 and "fid" not in metrics
    assert metrics["frechet_distance"]["value"] == result["figures"]["frechet_distance"]
    figures = {figure.name: figure for figure in measured(metrics)}
    for part in ("n = 10 ", "toy shapes train", "diffdemo classifier"):
        assert part in figures["class_agreement"].conditions
    how = figures["class_agreement"].how
    assert how.endswith("; dpmpp, 2 steps (trailing), guidance 2, seeds 0 to 9, cpu fp32")
    assert metrics["class_agreement"]["drawn"]["steps"] == 2 and metrics["class_agreement"]["n"] == 10


def test_the_fid_goes_through_pytorch_fid(run, inception_weights, tmp_path, monkeypatch):
    from pytorch_fid.fid_score import get_activations

    folder, seen, networks = tmp_path / "pictures", [], []
    folder.mkdir()
    files = [folder / f"{k}.png" for k in range(10)]
    for path, picture in zip(files, pictures(10), strict=True):
        Image.fromarray(picture).save(path)
    compute = Inception.features

    def record(self: Inception, of: np.ndarray) -> np.ndarray:
        networks.append(self.network)
        seen.append(compute(self, of))
        return seen[-1]

    monkeypatch.setattr(Inception, "features", record)
    flags = ["--from", folder, "--classes", "cat,dog", "--inception-weights", inception_weights, "--json"]
    result = json.loads(run(*flags))
    assert result["inception"]["name"] == "pytorch-fid Inception with other weights"
    real, ours = seen  # the floor has too few pictures
    assert (real.shape, ours.shape) == ((8, 2048), (10, 2048)) and ours.std() > 1e-3
    theirs = get_activations(files[:3], networks[0], batch_size=3, num_workers=0)
    np.testing.assert_allclose(ours[:3], theirs, rtol=1e-3, atol=1e-4 * theirs.std())
    assert result["figures"]["fid"] == pytest.approx(frechet_distance(ours, real), abs=1e-6)


def test_without_inceptions_weights_the_fid_is_missing_and_says_why(run, monkeypatch, tmp_path):
    def no_network(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    np.save(tmp_path / "a.npy", pictures(10))
    result = json.loads(run("--from", tmp_path / "a.npy", "--json"))
    assert (result["figures"]["fid"], result["inception"]) == (None, None)
    assert "cannot be downloaded" in result["missing"]["fid"] and "--inception-weights" in result["missing"]["fid"]


def test_figures_of_another_n_or_reference_are_not_comparable(run, refusal, tmp_path):
    np.save(tmp_path / "a.npy", pictures(20))
    for name, flags in (("ten", ["-n", 10]), ("more", []), ("test", ["-n", 10, "--reference", "test"])):
        run("--from", tmp_path / "a.npy", "--no-fid", "--out", tmp_path / name, *flags)
    ten, more, test = (tmp_path / name for name in ("ten", "more", "test"))
    said = refusal("--compare", ten, more / "evaluation.json")
    assert "not comparable: n is 10 in one and 20 in the other; evaluate both with the same -n." in said
    assert "not comparable: reference is toy shapes train" in refusal("--compare", ten, test)
    out = run("--compare", ten, ten)
    assert "frechet distance" in out and "n = 10" in out
    (tmp_path / "other.json").write_text("[1]")
    assert "holds no evaluation" in refusal("--compare", ten, tmp_path / "other.json")


def test_samples_that_other_programs_keep_in_an_npz_are_taken(tmp_path):
    np.savez(tmp_path / "samples.npz", pictures(12), np.arange(12))
    np.testing.assert_array_equal(pictures_in(tmp_path / "samples.npz", 10), pictures(12)[:10])
    np.savez(tmp_path / "named.npz", images=pictures(12))
    assert len(pictures_in(tmp_path / "named.npz", None)) == 12
    (tmp_path / "cut.npz").write_bytes((tmp_path / "samples.npz").read_bytes()[:300])
    with refused(RequestError, "a .npy or .npz file"):
        pictures_in(tmp_path / "cut.npz", None)


def test_some_of_a_folders_pictures_are_of_all_its_classes(tmp_path):
    for level, name in enumerate(("cat", "dog", "ship")):
        (tmp_path / name).mkdir()
        for k in range(20):
            Image.new("RGB", (32, 32), (80 * level,) * 3).save(tmp_path / name / f"{k:02}.png")
    assert Counter(pictures_in(tmp_path, 15)[:, 0, 0, 0].tolist()) == {0: 5, 80: 5, 160: 5}
    assert len(pictures_in(tmp_path, None)) == 60


@pytest.mark.parametrize(
    "flags, words",
    [
        ([], "--model or pictures with --from"),
        (["--model", "simple_unet", "-n", 3], "-n must be a whole number from 10 to 50000, not 3"),
        (["--model", "simple_unet", "--reference", "val"], "choose one of: train, test"),
        (["--model", "ddpm_unet", "--guidance", 2], "unconditional"),
        (["--model", "simpel"], "There is no model"),
        (["--model", "simple_unet", "--install", "--from", "x"], "either a --model or"),
        (["--model", "", "--from", "enough.npy"], "either a --model or"),
        (["--from", "enough.npy", "--classes", ""], "--classes names no class; leave it out for all of them"),
        (["--from", "enough.npy", "--classes", "cat,dgo"], "There is no class 'dgo' in toy shapes train"),
        (["--from", "nowhere"], "a folder of pictures or a .npy or .npz file"),
        (["--from", "enough.npy", "--model", ""], "either a --model or"),
        (["--from", "few.npy"], "holds 9 pictures and not 10"),
        (["--from", "flat.npy"], "must hold pictures (N, 32, 32, 3) uint8 and holds (20, 3072)"),
        (["--from", "enough.npy", "--inception-weights", "few.npy"], "does not hold the weights"),
        (["--from", "enough.npy", "--inception-weights", "nowhere.pth"], "nowhere.pth cannot be read"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_a_sentence(refusal, tmp_path, flags, words):
    np.save(tmp_path / "few.npy", pictures(9))
    np.save(tmp_path / "enough.npy", pictures(12))
    np.save(tmp_path / "flat.npy", np.zeros((20, 3072), np.uint8))
    cannot_be_used = "nowhere" in str(flags) or "dgo" in str(flags)
    assert words in refusal(*flags, code=1 if cannot_be_used else 2)


@pytest.mark.parametrize("command", [evaluate.main, curves.main], ids=["evaluate", "curves"])
def test_a_model_of_other_classes_than_the_data_is_refused(refusal, all_checkpoints, tmp_path, command):
    folder = tmp_path / "model"
    network, info = load_network(all_checkpoints / "patch_unet")
    save_checkpoint(folder, replace(info, classes=("cat", "zebra")), network.state_dict())
    flags = ["--model", folder, "-n", 10, "--out", tmp_path / "out"]
    assert "There is no class 'zebra' in toy shapes train" in refusal(*flags, command=command, code=1)
    assert not (tmp_path / "out").exists()


def test_curves_have_a_row_for_each_setting_and_measure_none_twice(run, refusal, tmp_path, monkeypatch):
    flags = ["--model", "attention_unet", "-n", 10, "--out", tmp_path / "curves", "--samplers", "ddim,heun"]
    measure, measured = curves.measure, []

    def stopped_at_the_second(point: curves.Point, *rest: object) -> dict:
        measured.append((point.draw.sampler, point.draw.steps, point.draw.guidance.scale))
        if len(measured) == 2:
            raise OSError("stopped")
        return measure(point, *rest)

    monkeypatch.setattr(curves, "measure", stopped_at_the_second)
    run(*flags, "--steps", 5, "--guidance", "1", command=curves.main, code=1)
    run(*flags, "--steps", "5,1", "--guidance", "1", command=curves.main)
    assert measured[:2] == [("ddim", 5, 2.0), ("heun", 5, 2.0)]
    assert measured[2:] == [("ddim", 1, 2.0), ("heun", 5, 2.0), ("heun", 1, 2.0), ("dpmpp", 20, 1.0)]
    with (tmp_path / "curves" / "quality_steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["sampler"], r["steps"], r["nfe"]) for r in rows] == [
        ("ddim", "5", "10"), ("ddim", "1", "2"), ("heun", "5", "18"), ("heun", "1", "2")
    ]  # fmt: skip
    assert all(float(r["frechet_distance"]) > 0 and float(r["floor_frechet_distance"]) > 0 for r in rows)
    for name in ("quality_steps.png", "quality_guidance.png"):
        assert Image.open(tmp_path / "curves" / name).width > 1000
    said = refusal(*flags[:2], "-n", 50, command=curves.main)
    assert "only 10 real pictures" in said


@pytest.fixture
def trained(all_checkpoints, tmp_path):
    """A run of 300 images that went on from one of 1,000 and kept its weights at 100, 200 and at the end."""
    network, info = load_network(all_checkpoints / "attention_unet")
    before = {"images_seen": 1000}
    for name, images in (("snapshots/a", 100), ("snapshots/b", 200), ("snapshots/c", 300), (".", 300)):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=1e-5 * images)
        training = {"images_seen": images, "started_from": before}
        save_checkpoint(tmp_path / "run" / name, replace(info, training=training), network.state_dict())
    return tmp_path / "run"


def test_the_curve_over_training_is_of_every_kept_checkpoint_and_the_last(run, trained):
    flags = ["--model", trained, "-n", 10, "--steps", "none", "--guidance", "none"]
    run(*flags, command=curves.main)
    with (trained / "quality_training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["images"] for row in rows] == ["1100", "1200", "1300"]
    folders = (trained / "snapshots/a", trained / "snapshots/b", trained)
    assert [row["weights"] for row in rows] == [weights_of(read_info(folder).files) for folder in folders]
    assert len({row["frechet_distance"] for row in rows}) == 3  # each with its own weights
    alone = curves.snapshots(folders[1])
    assert [images for _, info in alone if (images := curves.images_seen(info))] == [1200]
    (curve, *_) = read_curves(trained, "images", rows[-1]["weights"])
    assert curve.samplers["dpmpp"][0].tolist() == [1100, 1200, 1300]
    assert curve.samplers["dpmpp"][1].tolist() == [float(row["frechet_distance"]) for row in rows]
    assert read_curves(trained, "images", "other weights") == []
    assert Image.open(trained / "quality_training.png").width > 1000
    shutil.rmtree(trained / "snapshots")
    assert "no curve to measure" in run(*flags, command=curves.main, code=2)


def test_a_compiled_network_draws_the_same_pictures_and_says_so(all_checkpoints, trained):
    folder = all_checkpoints / "attention_unet"
    eager, compiled = (load_generator(folder, "cpu", compile=compile) for compile in (False, True))
    draw = Draw.of(eager, steps=2)
    assert computed_on(draw.identity(eager)) == "cpu fp32"
    assert computed_on(draw.identity(compiled)) == "cpu fp32 compiled"
    assert draw.name(eager) != draw.name(compiled)
    for _ in range(2):
        one, other = (g.sample(["cat", "dog"], steps=2, seeds=[3, 4]).astype(int) for g in (eager, compiled))
        assert np.abs(one - other).max() <= 1
        exchange_weights(eager, trained)  # the second time round with other weights
        exchange_weights(compiled, trained)
    with pytest.raises(CheckpointError, match="holds another network than the attention_unet"):
        exchange_weights(eager, all_checkpoints / "simple_unet")
