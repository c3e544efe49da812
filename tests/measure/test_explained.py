"""What real pictures are explained by, as it is measured, kept and asked."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sentences import refused

import diffdemo
from diffdemo.data import load_dataset, make_toy_dataset
from diffdemo.description import read_info
from diffdemo.errors import TrainingError
from diffdemo.measure import explained
from diffdemo.measure.diffusion_classifier import classify
from train.explained import main

SHIPPED = [path.parent for path in sorted(Path(diffdemo.CHECKPOINTS).glob(f"*/{explained.FILE}"))]


def test_the_bounds_are_those_of_the_pictures(tiny_checkpoints, tmp_path):
    folder, data = tmp_path / "simple_unet", make_toy_dataset(tmp_path / "data", per_class=30)
    shutil.copytree(tiny_checkpoints / "simple_unet", folder)
    main(folder, data, count=30, draws=3, seed=4, device="cpu")
    model = diffdemo.load(str(folder), device="cpu")
    known = explained.load(folder, model.info)
    assert (known.pictures, known.seed, len(known.bounds)) == (30, 4, 3)
    test = load_dataset(data, "test").only(model.classes)
    first = np.sort(np.concatenate([np.flatnonzero(test.labels == label)[:3] for label in range(10)]))
    for draws in (1, 3):
        scores = classify(model, np.array(test.images[first]), draws, 4)
        assert np.isclose(scores.errors.min(axis=1).max(), known.bounds[draws - 1], atol=1e-6)  # 99 % of 30 are all
        assert not known.none_of(replace(scores, errors=scores.errors - 1e-5)).any()
        assert known.none_of(replace(scores, errors=scores.errors + known.bounds[draws - 1])).all()
    assert known.none_of(replace(scores, draws=500, errors=np.full((1, 10), known.bounds[-1] + 1e-9))).all()
    assert explained.load(folder, replace(model.info, files={"model.safetensors": "another"})) is None
    (folder / explained.FILE).write_text("[]")
    assert explained.load(folder, model.info) is None


def test_a_model_of_latents_is_refused_for_its_autoencoder_makes_pictures_of_noise(all_checkpoints, tmp_path):
    with refused(TrainingError, "noise is a picture like others"):
        main(all_checkpoints / "latent_diffusion", tmp_path)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_what_is_shipped_tells_noise_from_pictures(folder):
    known = explained.load(folder, read_info(folder))
    assert known.pictures >= 100 and len(known.bounds) == 16
    noise = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    scores = classify(diffdemo.load(str(folder), device="cpu"), np.concatenate([noise, grey]), 4)
    assert known.none_of(scores).tolist() == [True, False]
