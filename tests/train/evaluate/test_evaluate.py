"""train.evaluate: from a model or a folder to figures that say how they were measured."""

import json
import shutil
import urllib.error
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sentences import refused

from diffdemo.checkpoint import load_network, save_checkpoint
from diffdemo.data import CIFAR10_CLASSES as CLASSES
from diffdemo.data import load_dataset
from diffdemo.description import read_info
from diffdemo.errors import CheckpointError, RequestError
from diffdemo.loading import exchange_weights, load_generator
from diffdemo.measure.metrics import frechet_distance
from diffdemo.records.measured import computed_on, measured
from train import curves
from train.evaluate import __main__ as evaluate
from train.evaluate.__main__ import pictures_in
from train.evaluate.draw import SHARD, Draw, shard_size
from train.evaluate.inception import Inception


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
            "eps_scale": 1.0,
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
