"""The latent model behind the generator's face."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentences import refused

import diffdemo
from diffdemo.checkpoint import load_weights, save_checkpoint
from diffdemo.data.pixels import to_pixels
from diffdemo.description import read_info
from diffdemo.errors import CheckpointError, RequestError
from diffdemo.generator import BATCH


@pytest.fixture(scope="module")
def model(all_checkpoints):
    return diffdemo.load("latent_diffusion", device="cpu", checkpoints=all_checkpoints)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def test_encoding_is_the_networks_and_standardised(model, pictures):
    latents = model.encode(pictures)
    assert latents.shape == (5, *model.shape) and latents.dtype == np.float32
    with torch.no_grad():
        raw = model.network.autoencoder.encode((to_pixels(pictures) + 1) / 2)
    expected = (raw - model.network.latent_mean) / model.network.latent_std
    np.testing.assert_allclose(latents, expected.numpy(), atol=1e-5)


def test_reconstruction_is_encoding_and_decoding(model, pictures):
    restored = model.reconstruct(pictures)
    assert restored.shape == pictures.shape and restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, model.decode(model.encode(pictures)))


def test_pictures_do_not_depend_on_the_batch(model):
    many = np.random.default_rng(1).integers(0, 256, (BATCH + 3, 32, 32, 3), dtype=np.uint8)
    together = model.reconstruct(many).astype(int)
    for index in (0, BATCH, BATCH + 2):
        assert abs(model.reconstruct(many[index : index + 1])[0].astype(int) - together[index]).max() <= 1


def test_class_probabilities_add_up_to_one(model, pictures):
    believed = model.class_probabilities(pictures)
    assert believed.shape == (5, 2)
    np.testing.assert_allclose(believed.sum(axis=1), 1, atol=1e-5)


def test_guesses_of_latents_are_not_clipped(model):
    x0 = torch.tensor([[3.0, -4.0]])
    assert torch.equal(model.bound(x0), x0)


def test_a_sample_decodes_the_last_latent(model):
    *_, last = model.denoise("cat", steps=3, seeds=[4, 5])
    np.testing.assert_array_equal(model.sample("cat", steps=3, seeds=[4, 5]), model.decode(last.x_prev.numpy()))


@pytest.mark.parametrize("said", [{"trained": ["autoencoder"]}, {"training": {"images_seen": 0}}], ids=["now", "once"])
def test_an_untrained_denoiser_is_refused_and_its_autoencoder_works(all_checkpoints, tmp_path, pictures, said):
    folder = tmp_path / "autoencoder"
    shutil.copytree(all_checkpoints / "latent_diffusion", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | said))
    model = diffdemo.load(str(folder), device="cpu")
    assert model.reconstruct(pictures).shape == pictures.shape
    with refused(CheckpointError, "train its denoiser with python -m train.latent"):
        model.sample("cat", steps=1)


def test_a_denoiser_that_has_seen_no_picture_in_its_own_run_may_be_trained_all_the_same(all_checkpoints, tmp_path):
    info = read_info(all_checkpoints / "latent_diffusion")
    both = replace(info, trained=("autoencoder", "denoiser"), training={"images_seen": 0, "started_from": {}})
    save_checkpoint(tmp_path, both, load_weights(all_checkpoints / "latent_diffusion", info))
    assert diffdemo.load(str(tmp_path), device="cpu").sample("cat", steps=1).shape == (1, 32, 32, 3)
    assert "trained" not in json.loads((all_checkpoints / "latent_diffusion" / "config.json").read_text())


def test_a_model_of_pixels_has_no_autoencoder(all_checkpoints, pictures):
    model = diffdemo.load("patch_unet", device="cpu", checkpoints=all_checkpoints)
    with refused(RequestError, "patch_unet denoises pixels and has no autoencoder"):
        model.reconstruct(pictures)


def test_the_list_counts_pictures_of_the_autoencoder_and_minutes_of_both(all_checkpoints, tmp_path):
    folder = tmp_path / "latent_diffusion"
    shutil.copytree(all_checkpoints / "latent_diffusion", folder)
    config = json.loads((folder / "config.json").read_text())
    config["training"] = {"images_seen": 9_000, "minutes": 1.5, "autoencoder": {"images_seen": 700, "minutes": 40.2}}
    (folder / "config.json").write_text(json.dumps(config))
    (model,) = diffdemo.list_models(tmp_path)
    assert (model["images_seen"], model["minutes"]) == (700, 41.7)
