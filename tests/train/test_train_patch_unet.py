"""`python -m train.patch_unet`: its loss, its recipe, and what its users meet."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from training_helpers import Script

import diffdemo
from diffdemo.data import make_toy_dataset
from diffdemo.process.diffusion import Diffusion, add_noise, eps_from_x0
from diffdemo.process.samplers import SAMPLERS
from diffdemo.registry import spec
from train.loop.run import with_recipe
from train.loop.settings import Settings
from train.patch_unet import Options, PatchTask, balanced_loss
from train.tasks.recipes import reference_recipe

PATCH = Script("train.patch_unet")
TINY = ["--size", "tiny", "--batch-size", 8, "--warmup-images", 80, "--lr", 3e-3]


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=16)


def pictures(count: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) - scale / 2


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 2), count=st.integers(1, 4))
def test_each_part_of_the_loss_has_the_size_of_the_mse_and_pulls_its_own_way(seed, scale, count):
    guess, target = pictures(count, seed, scale).requires_grad_(), pictures(count, seed + 1)
    weight = torch.arange(count) + 1.0
    loss = balanced_loss(guess, target, weight)
    mse = (guess - target).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(loss, (3 * weight * mse).mean())

    # The same gradient as that of the three terms with these numbers before them.
    l1 = (guess - target).abs().mean(dim=(1, 2, 3))
    norms = [part.flatten(1).norm(dim=1).clamp(min=1) for part in (guess, target)]
    cosine = 1 - (guess * target).sum(dim=(1, 2, 3)) / (norms[0] * norms[1])
    to_l1, to_cosine = (mse / l1).detach(), (mse / cosine).detach()
    expected = (weight * (mse + to_l1 * l1 + to_cosine * cosine)).mean()
    torch.testing.assert_close(
        torch.autograd.grad(loss, guess), torch.autograd.grad(expected, guess), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("guess", ["zero", "perfect", "grey"])
def test_the_loss_is_calm_where_angles_or_errors_vanish(guess):
    target = pictures(2, 0)
    start = {"zero": torch.zeros_like(target), "perfect": target.clone(), "grey": torch.full_like(target, 1e-4)}[guess]
    start.requires_grad_()
    loss = balanced_loss(start, target if guess != "grey" else torch.zeros_like(target), torch.ones(2))
    (gradient,) = torch.autograd.grad(loss, start)
    assert loss.isfinite() and gradient.isfinite().all() and gradient.norm() < 10
    assert (loss == 0) == (guess == "perfect")


def new_task(**options) -> PatchTask:
    chosen = Options(**options)
    diffusion = Diffusion(chosen.noise_schedule(), chosen.prediction, chosen.weighting, chosen.noise_levels)
    config = spec("patch_unet").configure("tiny", **chosen.network_settings())
    return PatchTask(spec("patch_unet"), config, diffusion, ("cat", "dog"))


@pytest.mark.parametrize("weighting", ["min_snr", "flat"])
def test_noise_levels_are_weighted_by_their_bounded_signal_to_noise_ratio(weighting):
    task = new_task(weighting=weighting)
    x0, eps = torch.rand(1, 3, 32, 32), torch.randn(1, 3, 32, 32)
    weights = []
    for t in range(0, 1000, 37):
        loss = task.denoising_loss(lambda x, *_: torch.zeros_like(x), x0, torch.tensor([t]), eps)
        weights.append(float(loss / balanced_loss(torch.zeros_like(x0), x0, torch.ones(1))))
    bounds = (1, 5) if weighting == "min_snr" else (1, 1)
    assert weights == pytest.approx(np.clip(task.diffusion.schedule.snr[::37], *bounds), rel=1e-4)


def test_the_noisiest_step_is_pure_noise_and_is_where_sampling_begins():
    task = new_task()
    schedule = task.diffusion.schedule
    assert np.sqrt(schedule.alpha_bar[-1]) < 0.01
    x0, eps = torch.ones(1, 3, 32, 32), torch.randn(1, 3, 32, 32)
    x_t = add_noise(x0, eps, task.diffusion.alpha_bar(torch.tensor([schedule.steps - 1]), x0))
    torch.testing.assert_close(x_t, eps, rtol=0, atol=0.01)
    assert schedule.timesteps(task.steps)[0] == schedule.steps - 1
    drawn = task.diffusion.draw_timesteps(20_000, torch.Generator().manual_seed(0))
    assert drawn.max() == schedule.steps - 1  # training visits it


@pytest.mark.parametrize(("schedule", "enough"), [("linear", True), ("cosine", False)])
def test_ten_steps_of_a_perfect_denoiser_keep_the_variance_of_pictures(schedule, enough):
    """Of Gaussian pictures whose components have variances as those of cats and dogs: 199 and falling."""
    task = new_task(schedule=schedule)
    levels = task.diffusion.schedule.alpha_bar
    variance = 199 / torch.arange(1, 3073, dtype=torch.float64) ** 1.1

    def predict(x, t):
        x0 = np.sqrt(levels[t]) * variance / (levels[t] * variance + 1 - levels[t]) * x
        return x0, eps_from_x0(x, x0, torch.tensor(levels[t]))

    *_, last = SAMPLERS[task.sampler](predict, torch.ones_like(variance), task.diffusion.schedule, task.steps, None)
    kept = float(last.x_prev.square().sum() / variance.sum())
    assert (0.8 < kept < 1.2) == enough, kept


def test_the_network_learns_what_its_output_means():
    """A step on the loss brings the guess of x0 nearer to x0, at every noise level."""
    task = new_task()
    optimizer = torch.optim.AdamW(task.network.parameters(), 1e-2)
    random = torch.Generator().manual_seed(0)
    batch, labels = torch.rand(16, 3, 32, 32, generator=random) * 0.2 + 0.5, torch.arange(16) % 2
    losses = []
    for _ in range(60):
        loss = task.loss(task.network, batch, labels, random, True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:5])


def test_epochs_are_all_drawn_unless_they_are_short():
    task = new_task()
    assert all(task.draws_after(epoch, 10_000) for epoch in range(1, 101))
    assert [epoch for epoch in range(1, 400) if task.draws_after(epoch, 32)] == [1, 157, 313]


def test_the_reference_recipe_warms_up_for_a_tenth_and_follows_a_cosine():
    options = Options(size="reference")
    options, settings = with_recipe(options, Settings(seed=5), {"seed"}, reference_recipe("patch_unet", options))
    assert (options.epochs, settings.batch_size, settings.weight_decay, settings.seed) == (100, 64, 0.02, 5)
    settings = Settings(**{**vars(settings), "images": 1_000_000})
    rates = [settings.learning_rate(images, 0.0) for images in (50_000, 100_000, 550_000, 1_000_000)]
    assert rates == pytest.approx([0.75e-4, 1.5e-4, 0.75e-4, 0], rel=2e-3)
    assert options.prediction == "clean" and options.schedule == "linear"


def test_a_run_killed_at_a_random_moment_resumes_to_the_same_bits(toy, tmp_path):
    out = PATCH.kill_and_resume(toy, tmp_path, *TINY, "--images", 960, "--dropout", 0.1)
    killed = tmp_path / "killed"
    assert f"python -m diffdemo sample --model {killed} --class cat --steps 10" in out
    names = {"epoch_0001.png", "epoch_0001_steps.png"}
    assert {path.name for path in (killed / "epoch_visualizations").iterdir()} == names
    for name in ("samples/final.png", "samples/final_steps.png", "loss.png", "forward.png", "backward.png"):
        assert (killed / name).stat().st_size > 1000
    with (killed / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert np.mean(losses[-5:]) < 0.7 * losses[0]

    model = diffdemo.load(str(killed), device="cpu")
    assert model.info.defaults == {
        "sampler": PatchTask.sampler,
        "steps": 10,
        "guidance_scale": Options().guidance_scale,
        "spacing": "trailing",
    }
    assert model.info.diffusion["prediction"] == "clean" and model.info.diffusion["schedule"]["kind"] == "linear"
    assert model.classes == ("cat", "dog")
    assert len(list(model.denoise("dog", seeds=[3]))) == 10

    again = tmp_path / "again"
    fine = ["--images", 8, "--lr", 1e-12, "--ema-decay", 0]
    PATCH.finish("--data", toy, "--init-from", killed, *fine, "--batch-size", 8, "--out", again)
    before, after = load_file(killed / "model.safetensors"), load_file(again / "model.safetensors")
    assert all(np.allclose(before[name], after[name], atol=1e-3) for name in before)


def test_noise_levels_follow_the_length_of_the_schedule(toy, tmp_path):
    PATCH.finish("--data", toy, *TINY, "--images", 8, "--schedule-steps", 50, "--out", tmp_path)
    model = diffdemo.load(str(tmp_path), device="cpu")
    assert model.info.model["schedule_steps"] == model.info.diffusion["schedule"]["steps"] == 50


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--prediction noise", "--prediction cannot be noise here"),
        ("--prediction score", "There is no prediction type 'score'"),
        ("--size huge", "There is no size 'huge'"),
        ("--decay steep", "--decay must be linear or cosine, not steep"),
        ("--lr 0", "--lr must be above 0, not 0"),
        ("--schedule-steps 1", "needs at least 2 steps, not 1"),
        ("--guidance-scale -1", "--guidance-scale must be a number from 0 to 20"),
        ("--weighting snr", "There is no loss weighting 'snr'; choose one of: flat, min_snr"),
        ("--dropout 1", "dropout must be at least 0 and below 1"),
        ("--channels 8,8", "No such option: --channels"),
        ("--resume", "There is no run to resume in"),
        ("--init-from nowhere", "nowhere is no checkpoint"),
    ],
)
def test_bad_flags_are_refused_with_a_sentence(toy, tmp_path, flags, sentence, monkeypatch, capsys):
    assert sentence in PATCH.refusal(f"--data {toy} --size tiny {flags}", tmp_path / "run", monkeypatch, capsys)


def test_weights_of_another_architecture_are_refused(toy, tiny_checkpoints, tmp_path):
    simple = tiny_checkpoints / "simple_unet"
    _, err = PATCH.finish("--data", toy, "--init-from", simple, "--out", tmp_path / "run", code=2)
    assert f"{simple} holds a simple_unet, not a patch_unet" in err
