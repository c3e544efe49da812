"""`python -m train.autoencoder` and `python -m train.latent` as their users meet them."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentences import refused
from training_helpers import ROOT, Script

import diffdemo
from diffdemo.checkpoint import load_network
from diffdemo.data import create_cat_dog_dataset, load_dataset, make_toy_dataset
from diffdemo.description import read_info
from diffdemo.errors import CheckpointError, TrainingError
from diffdemo.latent.map import load_map
from train.autoencoder import AutoencoderTask, Options, Settings, with_others
from train.flags import whole_numbers
from train.loop.run import with_recipe
from train.tasks.augment import shifted
from train.tasks.latents import latent_dataset, raw_latents
from train.tasks.recipes import reference_recipe

AUTOENCODER, LATENT = Script("train.autoencoder"), Script("train.latent")
TINY = ["--size", "tiny", "--warmup-images", 80]
PLAIN = ["--perceptual-weight", 0]  # the shipped classifier is many times as large as the tiny autoencoder


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=40)


@pytest.fixture(scope="module")
def autoencoder(toy, tmp_path_factory):
    """A finished run of train.autoencoder; do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "autoencoder"
    AUTOENCODER.finish("--data", toy, *TINY, *PLAIN, "--images", 12_000, "--lr", 0.003, "--out", folder)
    return folder


@pytest.fixture(scope="module")
def latent_diffusion(toy, autoencoder, tmp_path_factory):
    """A finished run of train.latent and what it printed; do not change it."""
    folder = tmp_path_factory.mktemp("runs") / "latent"
    flags = ["--data", toy, "--autoencoder", autoencoder, "--batch-size", 64, "--images", 128_000]
    out, _ = LATENT.finish(*flags, *TINY, "--lr", 0.003, "--out", folder)
    return folder, out


def test_an_autoencoder_killed_at_a_random_moment_resumes_to_the_same_bits(toy, tmp_path):
    AUTOENCODER.kill_and_resume(toy, tmp_path, *TINY, *PLAIN, "--images", 4_800)
    one, other = (read_info(tmp_path / name).metrics for name in ("whole", "killed"))
    assert one == other


def test_a_denoiser_killed_at_a_random_moment_resumes_to_the_same_bits(toy, autoencoder, tmp_path):
    flags = [*TINY, "--autoencoder", autoencoder, "--batch-size", 8, "--images", 8_000, "--shifted-latents", 1]
    out = LATENT.kill_and_resume(toy, tmp_path, *flags)
    assert f"python -m diffdemo sample --model {tmp_path / 'killed'} --class cat" in out


def test_a_finished_autoencoder_says_what_one_command_measures_again(toy, autoencoder):
    metrics = read_info(autoencoder).metrics
    command = [sys.executable, "-m", "benchmarks.latent_quality", "--model", autoencoder, "--data", toy]
    again = subprocess.run([*command, "--device", "cpu"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == metrics
    assert metrics["psnr"] > metrics["pca_psnr"] - 1 and metrics["pca_components"] == 16
    assert metrics["classifier_accuracy"] == 1.0  # the toy cats and dogs differ in colour
    assert metrics["n"] == 20 and "toy shapes test" in metrics["split"]
    drawn = {path.name for path in (autoencoder / "figures").iterdir()}
    assert drawn == {"reconstructions.png", "latent_space.png"}


def test_latents_of_a_finished_autoencoder_are_standardised(toy, autoencoder):
    network, _ = load_network(autoencoder)
    train, _ = create_cat_dog_dataset(toy)
    latents = latent_dataset(network, train, raw_latents(network, train)).latents
    assert latents.shape == (160, 16)
    assert torch.allclose(latents.mean(0), torch.zeros(16), atol=0.01)
    assert torch.allclose(latents.std(0), torch.ones(16), atol=0.01)


def test_an_untrained_denoiser_is_not_sampled_from(autoencoder):
    model = diffdemo.load(str(autoencoder), device="cpu")
    with refused(CheckpointError, "Only the autoencoder of this checkpoint is trained"):
        model.sample("cat")
    assert model.reconstruct(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 32, 32, 3)


def test_the_result_samples_the_class_that_was_asked_for(toy, autoencoder, latent_diffusion):
    folder, out = latent_diffusion
    model = diffdemo.load(str(folder), device="cpu")
    for label, name in enumerate(("cat", "dog")):
        samples = model.sample(name, seeds=range(16), steps=20)
        assert samples.shape == (16, 32, 32, 3)
        right = model.class_probabilities(samples).argmax(axis=1) == label
        assert right.mean() > 0.85
    assert f"python -m diffdemo sample --model {folder} --class cat" in out
    drawn = {path.name for path in (folder / "figures").iterdir()}
    assert drawn >= {
        "samples_grid.png",
        "denoising_steps.png",
        "diffusion.gif",
        "latent_space.png",
        "reconstructions.png",
    }


def test_each_run_ends_with_a_map_of_its_latents(toy, autoencoder, latent_diffusion):
    test = create_cat_dog_dataset(toy)[1]
    for folder in (autoencoder, latent_diffusion[0]):
        latent_map = load_map(folder)
        encoded = diffdemo.load(str(folder), device="cpu").encode(test.images)
        np.testing.assert_allclose(latent_map.latents, encoded, rtol=2e-3, atol=2e-3)


def test_the_result_is_one_checkpoint_with_the_autoencoder_as_it_was(autoencoder, latent_diffusion):
    folder, _ = latent_diffusion
    (one, before), (other, after) = load_network(autoencoder), load_network(folder)
    for name, weight in one.autoencoder.state_dict().items():
        assert torch.equal(weight, other.autoencoder.state_dict()[name]), name
    assert after.metrics == before.metrics
    assert before.training["images_seen"] == 0 and after.training["images_seen"] == 128_000
    assert after.training["autoencoder"] == before.training["autoencoder"]
    assert after.training["autoencoder"]["images_seen"] == 12_000
    assert after.training["command"].startswith("python -m train.latent")
    assert after.diffusion["prediction"] == "noise" and after.diffusion["schedule"]["steps"] == 1000


def test_what_is_trained_already_is_skipped_unless_forced(toy, autoencoder, latent_diffusion):
    for script, folder, flags in (
        (AUTOENCODER, autoencoder, []),
        (LATENT, latent_diffusion[0], ["--autoencoder", autoencoder]),
    ):
        before = (folder / "config.json").read_bytes()
        out, err = script.finish("--data", toy, *TINY, *flags, "--out", folder)
        assert out == (
            f"{folder} holds a finished run; nothing was trained. Add --force to train it again from the beginning.\n"
        )
        assert err == "" and (folder / "config.json").read_bytes() == before


def test_force_trains_again_from_the_beginning(toy, tmp_path):
    flags = ["--data", toy, *TINY, *PLAIN, "--images", 320, "--out", tmp_path]
    AUTOENCODER.finish(*flags, "--seed", 1)
    AUTOENCODER.finish(*flags, "--force")
    trained = read_info(tmp_path).training["autoencoder"]
    assert (trained["seed"], trained["images_seen"]) == (0, 320)
    AUTOENCODER.finish("--data", toy, "--resume", "--images", 640, "--out", tmp_path)
    assert read_info(tmp_path).training["autoencoder"]["images_seen"] == 640
    assert read_info(tmp_path).metrics


def test_an_unfinished_run_is_not_taken_for_a_finished_one(toy, tmp_path):
    AUTOENCODER.finish("--data", toy, *TINY, *PLAIN, "--images", 320, "--out", tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"metrics": {}}))
    _, err = AUTOENCODER.finish("--data", toy, *TINY, "--out", tmp_path, code=2)
    assert "holds a run already; add --resume to go on with it" in err


def test_both_start_from_shipped_weights(toy, autoencoder, latent_diffusion, tmp_path):
    gentle = ["--images", 64, "--lr", 1e-9, "--ema-decay", 0]
    AUTOENCODER.finish("--data", toy, "--init-from", latent_diffusion[0], *gentle, *PLAIN, "--out", tmp_path / "a")
    LATENT.finish("--data", toy, "--init-from", latent_diffusion[0], *gentle, "--out", tmp_path / "b")
    before, _ = load_network(latent_diffusion[0])
    for name in ("a", "b"):
        after, _ = load_network(tmp_path / name)
        for key, weight in before.autoencoder.state_dict().items():
            assert torch.allclose(weight, after.autoencoder.state_dict()[key], atol=1e-3), key
    for key, weight in before.denoiser.state_dict().items():
        assert torch.allclose(weight, after.denoiser.state_dict()[key], atol=1e-3), key
    assert torch.allclose(before.latent_std, after.latent_std, rtol=1e-2)


@pytest.mark.parametrize(
    ("script", "flags", "sentence"),
    [
        (AUTOENCODER, "--channels 8,x", "--channels must be widths such as 64,128,128, not '8,x'"),
        (AUTOENCODER, "--channels=", "Invalid value for '--channels': it must not be empty"),
        (AUTOENCODER, "--latent-dim 0", "latent_dim must be at least 1, not 0"),
        (AUTOENCODER, "--patch-size 0", "patch_size must be at least 1, not 0"),
        (AUTOENCODER, "--blocks-per-level 0", "blocks_per_level must be at least 1, not 0"),
        (AUTOENCODER, "--latent-dim 500", "PCA with 500 components needs as many pictures and there are 80"),
        (AUTOENCODER, "--oversample 0", "--oversample must be from 1 to 16, not 0"),
        (AUTOENCODER, "--label-smoothing 1", "--label-smoothing must be"),
        (AUTOENCODER, "--center-weight -1", "--center-weight must be"),
        (AUTOENCODER, "--init-from nowhere", "nowhere is no checkpoint"),
        (AUTOENCODER, "--init-from {simple}", "holds a simple_unet; name a checkpoint of latent_diffusion"),
        (AUTOENCODER, "--init-from {latent} --channels 8,8", "--channels is decided by the weights in"),
        (LATENT, "--autoencoder nowhere", "nowhere is no checkpoint"),
        (LATENT, "--autoencoder {simple}", "holds a simple_unet; --autoencoder must name a run of train.autoencoder"),
        (LATENT, "--autoencoder {latent} --hidden 8,,8", "--hidden must be widths such as 64,128,128, not '8,,8'"),
        (LATENT, "--autoencoder {latent} --hidden=", "Invalid value for '--hidden': it must not be empty"),
        (LATENT, "--autoencoder {latent} --embedding-dim 0", "embedding_dim must be at least 1, not 0"),
        (LATENT, "--autoencoder=", "Invalid value for '--autoencoder': it must not be empty"),
        (LATENT, "--autoencoder {latent} --prediction edm", "--prediction edm supposes pictures"),
        (LATENT, "--autoencoder {latent} --shifted-latents -1", "--shifted-latents must be from 0 to 100, not -1"),
        (LATENT, "--autoencoder {latent} --shift 17", "--shift must be from 0 to 16, not 17"),
        (LATENT, "--init-from {latent} --hidden 8,8", "--hidden is decided by the weights in"),
        (LATENT, "--resume", "There is no run to resume in"),
    ],
)
def test_bad_flags_are_refused_with_a_sentence(
    script, flags, sentence, toy, all_checkpoints, tmp_path, monkeypatch, capsys
):
    named = {"simple": all_checkpoints / "simple_unet", "latent": all_checkpoints / "latent_diffusion"}
    words = f"--data {toy} " + ("--size tiny " if "init-from" not in flags else "") + flags.format(**named)
    assert sentence in script.refusal(words, tmp_path / "run", monkeypatch, capsys)


def test_data_of_other_classes_than_the_autoencoders_is_refused(toy, autoencoder, tmp_path, monkeypatch, capsys):
    from PIL import Image

    for label in ("fox", "owl"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for index in range(21):
            Image.new("RGB", (32, 32), (index, 0, 0)).save(tmp_path / "data" / label / f"{index}.png")
    flags = f"--data {tmp_path / 'data'} --size tiny --autoencoder {autoencoder}"
    said = LATENT.refusal(flags, tmp_path / "run", monkeypatch, capsys)
    assert "knows the classes cat, dog, but the data has fox, owl; use the data it was trained on" in said


def test_shifting_moves_each_picture_by_its_own_few_pixels():
    ramp = torch.arange(64.0).view(1, 1, 8, 8).repeat(50, 1, 1, 1)
    moved = shifted(ramp, 2, torch.Generator().manual_seed(0))
    assert moved.shape == ramp.shape
    offsets = moved[:, 0, 4, 4] - ramp[:, 0, 4, 4]
    possible = {8 * dy + dx for dy in range(-2, 3) for dx in range(-2, 3)}
    assert set(offsets.tolist()) <= possible and len(set(offsets.tolist())) > 10
    for picture, offset in zip(moved[:, 0], offsets, strict=True):
        assert torch.equal(picture[2:6, 2:6], ramp[0, 0, 2:6, 2:6] + offset)


def test_other_pictures_have_no_class_and_are_seen_less(toy):
    everything = load_dataset(toy, "train")
    data = with_others(everything, ("cat", "dog"), oversample=3)
    assert [int((data.labels == label).sum()) for label in range(10)] == [120, 120, *[40] * 8]
    assert data.classes[:4] == ("cat", "dog", "airplane", "automobile")
    cat = everything.images[everything.labels == everything.classes.index("cat")]
    assert np.array_equal(np.unique(data.images[data.labels == 0], axis=0), np.unique(cat, axis=0))
    only = with_others(everything.only(("dog", "cat")), ("cat", "dog"), oversample=3)
    assert only.classes == ("cat", "dog") and len(only) == 80


def test_the_loss_is_its_three_parts_and_counts_only_pictures_with_a_class(toy):
    options = Options(size="tiny", classification_weight=3.0, center_weight=7.0, label_smoothing=0.0)
    torch.manual_seed(0)
    whole, (_, test) = options.build(2, others=0), create_cat_dog_dataset(toy)
    task = AutoencoderTask(whole.eval(), ("cat", "dog"), options, test)
    torch.nn.init.normal_(task.network.center_loss.centers)
    batch, labels, random = torch.rand(6, 3, 32, 32), torch.tensor([0, 1, 2, 1, 2, 0]), torch.Generator()
    back, latents, logits = task.network(batch)
    error = ((back - batch) ** 2).sum() / 6
    known = [0, 1, 3, 5]
    chosen = logits.log_softmax(dim=1)[known, labels[known]]
    distance = ((latents[known] - task.network.center_loss.centers[labels[known]]) ** 2).mean() / 2
    loss = task.loss(task.network, batch, labels, random, train=True)
    assert torch.allclose(loss, error - 3 * chosen.mean() + 7 * distance, rtol=1e-5)
    pictures_only = task.loss(task.network, batch, torch.full((6,), 2), random, train=True)
    assert torch.allclose(pictures_only, error, rtol=1e-5)


def test_without_reconstruction_only_convolutions_and_classifier_learn(toy):
    options = Options(size="tiny", reconstruction_weight=0.0, classification_weight=1.0, center_weight=0.0)
    whole, (_, test) = options.build(2, others=0), create_cat_dog_dataset(toy)
    task = AutoencoderTask(whole.eval(), ("cat", "dog"), options, test)
    batch, labels = torch.rand(6, 3, 32, 32), torch.tensor([0, 1, 0, 1, 1, 0])
    torch.nn.init.normal_(task.network.encoder.head.weight, std=0.1)  # it begins as zero, and what is below with it
    loss = task.loss(task.network, batch, labels, torch.Generator(), train=False)
    loss.backward()
    assert torch.allclose(loss, torch.nn.functional.cross_entropy(task.network(batch)[2], labels))
    learned = {name.split(".")[0] for name, weight in task.network.named_parameters() if weight.grad is not None}
    assert learned == {"encoder", "classifier", "center_loss"}
    with refused(TrainingError, "nothing is trained"):
        Options(reconstruction_weight=0.0, classification_weight=0.0)


def test_what_was_learned_without_reconstruction_can_begin_as_pca(toy, tmp_path):
    flags = ["--data", toy, *PLAIN, "--images", 320, "--batch-size", 32, "--ema-decay", 0]
    AUTOENCODER.finish(*flags, "--size", "tiny", "--reconstruction-weight", 0, "--out", tmp_path / "one")
    gentle = ["--lr", 1e-9, "--init-from", tmp_path / "one", "--pca-start"]
    AUTOENCODER.finish(*flags, *gentle, "--out", tmp_path / "two")
    (one, before), (two, after) = (load_network(tmp_path / name) for name in ("one", "two"))
    assert before.metrics["psnr"] < after.metrics["psnr"] == pytest.approx(after.metrics["pca_psnr"], abs=0.05)
    layers = [network.autoencoder.encoder.layers[1].weight for network in (one, two)]
    assert torch.allclose(*layers, atol=1e-4)


@pytest.mark.parametrize("all_classes", [True, False])
def test_other_classes_teach_and_are_left_out_of_the_answer(toy, all_classes):
    options = Options(size="tiny", all_classes=all_classes, center_weight=0.0, classification_weight=1.0)
    whole, (_, test) = options.build(2, others=8), create_cat_dog_dataset(toy)
    task, batch, labels = (
        AutoencoderTask(whole, ("cat", "dog"), options, test),
        torch.rand(4, 3, 32, 32),
        torch.arange(4),
    )
    logits = task.network(batch)[2]
    assert logits.shape == (4, 10 if all_classes else 2)
    assert whole.classify(whole.encode(batch)).shape == (4, 2)
    task.loss(task.network, batch, labels + 4, torch.Generator(), train=True).backward()
    learned = task.network.classifier[0].weight.grad.abs().sum()
    assert (learned > 0) == all_classes


def test_weights_without_other_classes_can_go_on_with_them(toy, autoencoder, tmp_path):
    flags = ["--data", toy, *PLAIN, "--images", 64, "--lr", 1e-9, "--ema-decay", 0, "--init-from"]
    AUTOENCODER.finish(*flags, autoencoder, "--no-all-classes", "--out", tmp_path / "two")
    AUTOENCODER.finish(*flags, tmp_path / "two", "--all-classes", "--out", tmp_path / "ten")
    (before, one), (after, other) = load_network(autoencoder), load_network(tmp_path / "ten")
    assert after.config.autoencoder["other_classes"] == 8 and one.metrics["psnr"] == pytest.approx(
        other.metrics["psnr"]
    )
    pixels = torch.rand(3, 3, 32, 32) * 2 - 1
    answers = [net.classify(net.encode(pixels)) for net in (before, after)]
    assert torch.allclose(*answers, atol=0.05)


def test_the_latents_are_of_the_pictures_and_of_their_mirror_images(toy, autoencoder):
    network, _ = load_network(autoencoder)
    _, test = create_cat_dog_dataset(toy)
    raw = raw_latents(network, test)
    mirrored = raw_latents(network, replace(test, images=np.ascontiguousarray(test.images[:, :, ::-1])))
    assert torch.allclose(raw[:20], mirrored[20:], atol=1e-5) and torch.allclose(raw[20:], mirrored[:20], atol=1e-5)
    assert not torch.allclose(raw[:20], raw[20:], atol=1e-2)
    data = latent_dataset(network, test, raw)
    assert data.labels.tolist() == [*test.labels, *test.labels]
    assert np.allclose(
        data.latents[:1], diffdemo.load(str(autoencoder), device="cpu").encode(test.images[:1]), atol=1e-4
    )


def test_latents_of_shifted_pictures_come_after_the_others_and_depend_on_the_seed(toy, autoencoder):
    network, _ = load_network(autoencoder)
    _, test = create_cat_dog_dataset(toy)
    plain, more = raw_latents(network, test), raw_latents(network, test, shifts=2, most=2)
    assert more.shape == (120, 16) and torch.equal(more[:40], plain)
    for part in more[40:].split(40):
        moved = (part - plain).abs().amax(dim=1) > 1e-3
        assert 0.8 < moved.float().mean() <= 1  # one shift in 25 is none
    assert not torch.allclose(more[40:80], more[80:], atol=1e-3)
    assert torch.equal(raw_latents(network, test, 2, 2), more)
    assert not torch.allclose(raw_latents(network, test, 2, 2, seed=1)[40:], more[40:], atol=1e-3)
    assert torch.allclose(raw_latents(network, test, 1, 0)[40:], plain, atol=1e-5)
    data = latent_dataset(network, test, more)
    assert len(data) == 120 and data.labels.tolist() == [*test.labels] * 6
    assert data.source.endswith("and their mirror images, 3 times")


def test_widths_are_whole_numbers():
    assert whole_numbers("--hidden", "8, 16") == (8, 16)
    with refused(TrainingError, "--hidden must be widths"):
        whole_numbers("--hidden", "8;16")


def test_the_reference_recipe_is_the_plain_autoencoder_with_the_papers_weights():
    recipe = reference_recipe("autoencoder", Options(size="reference"))
    options, _ = with_recipe(Options(size="reference"), Settings(), {"size"}, recipe)
    assert (options.classification_weight, options.center_weight, options.pca_start) == (5.0, 2.0, False)
    assert not options.all_classes and options.perceptual_weight == 0
    assert reference_recipe("autoencoder", Options()) == {}
