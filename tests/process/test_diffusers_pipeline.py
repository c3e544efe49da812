"""Our weights in a pipeline of diffusers draw our pictures."""

import numpy as np
import pytest

import diffdemo
from benchmarks import speed
from benchmarks.support.diffusers_adapter import SCHEDULERS, Adapter, Pipeline, scheduler
from diffdemo.latent.space import psnr

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers
SEEDS, STEPS = [3, 7], 8


@pytest.mark.parametrize("sampler", SCHEDULERS)
def test_a_pipeline_of_diffusers_draws_the_same_pictures(sampler):
    ours, theirs = (diffdemo.load("attention_unet", device="cpu") for _ in range(2))
    settings = {"seeds": SEEDS, "steps": STEPS, "sampler": sampler, "spacing": "trailing", "guidance_scale": 1}
    drawn = ours.sample("ship", **settings)
    pipeline = Pipeline(Adapter(theirs, "ship"), scheduler(sampler, theirs.diffusion.schedule))
    with np.errstate(divide="ignore"):
        assert psnr(pipeline(SEEDS, STEPS) / 255, drawn / 255).min() >= 40
    assert psnr(pipeline(SEEDS[::-1], STEPS) / 255, drawn / 255).max() < 30


def test_the_table_of_speeds_has_a_row_for_each_case(tiny_checkpoints, capsys):
    folder = str(tiny_checkpoints / "simple_unet")
    speed.main(folder, "1,2", "1,3", "2", rounds=1, compiled=False, training_seconds=0, device="cpu")
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    compared = [row[:2] for row in rows if row[0] in SCHEDULERS]
    assert compared == [[sampler, pictures] for sampler in SCHEDULERS for pictures in ("1", "2")]
    for row in rows:
        if row[0] in SCHEDULERS:
            _, ratio, likeness = row[3].split(", ")
            assert float(ratio.removesuffix(" x")) > 0
            assert likeness == "the same" or float(likeness.removesuffix(" dB")) >= 40
    assert [row[:3] for row in rows if row[0].isdigit()] == [
        *(["1", "10", "1"], ["2", "10", "1"], ["1", "1", "1"], ["1", "3", "1"], ["1", "10", "2"])
    ]
