"""`python -m train.unet` as its users meet it: in processes of its own, some of them killed."""

import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from training_helpers import Script, wait_for

import diffdemo
from diffdemo.data import make_toy_dataset

UNET = Script("train.unet")
SMALL = [
    "--size",
    "small",
    "--channels",
    "8,8,8",
    "--time-embedding-dim",
    "16",
    "--num-heads",
    "2",
    "--batch-size",
    "8",
    "--warmup-images",
    "80",
]


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=16)


def test_a_run_killed_at_a_random_moment_resumes_to_the_same_bits(toy, tmp_path):
    flags = ["--model", "attention_unet", *SMALL, "--images", 640, "--dropout", 0.1]
    out = UNET.kill_and_resume(toy, tmp_path, *flags)
    assert "&&" not in diffdemo.load(str(tmp_path / "killed"), device="cpu").info.training["command"]
    assert f"python -m diffdemo sample --model {tmp_path / 'killed'} --class airplane" in out


def test_an_interrupted_run_saves_itself_and_says_how_to_go_on(toy, tmp_path):
    run = UNET.start(
        "--data", toy, "--model", "simple_unet", *SMALL, "--images", 10**7, "--save-minutes", 0.001, "--out", tmp_path
    )
    wait_for(tmp_path / "state.safetensors", run)
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Interrupted and saved after" in err
    assert "go on with --resume" in err
    assert "Traceback" not in err


def test_the_result_samples_and_a_new_run_starts_from_it(toy, tmp_path):
    first = tmp_path / "first"
    UNET.finish("--data", toy, "--model", "simple_unet", *SMALL, "--images", 400, "--out", first)
    model = diffdemo.load(str(first), device="cpu")
    assert model.sample("horse", steps=3, seeds=[1]).shape == (1, 32, 32, 3)
    assert model.info.training["images_seen"] == 400
    assert model.info.training["command"].startswith("python -m train.unet --threads 1")

    again = tmp_path / "again"
    fine = ["--images", 8, "--lr", 1e-12, "--ema-decay", 0]
    UNET.finish("--data", toy, "--init-from", first, *fine, "--spacing", "karras", "--out", again)
    assert diffdemo.load(str(again), device="cpu").info.spacing == "karras"
    before, after = load_file(first / "model.safetensors"), load_file(again / "model.safetensors")
    assert all(np.allclose(before[name], after[name], atol=1e-3) for name in before)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--model unet", "train.unet does not train unet; choose one of: simple_unet, attention_unet"),
        ("--channels 8,x", "--channels must be widths such as 64,128,128, not '8,x'"),
        ("--num-heads 3", "num_heads 3 does not divide a level of"),
        ("--num-heads 0", "num_heads must be at least 1, not 0"),
        ("--patch-size 0", "patch_size must be at least 1, not 0"),
        ("--blocks-per-level 0", "blocks_per_level must be at least 1, not 0"),
        ("--time-embedding-dim 0", "time_embedding_dim must be at least 1, not 0"),
        ("--channels=", "Invalid value for '--channels': it must not be empty"),
        ("--channels 0", "channels needs at least one positive number, not (0,)"),
        ("--init-from=", "Invalid value for '--init-from': it must not be empty"),
        ("--images 80 --epochs 2", "--images and --epochs both say when the run ends; name one of them"),
        ("--epochs -1", "--epochs must be 0 or more, not -1"),
        ("--threads -1", "--threads must be 0 or more, not -1"),
        ("--lr 0", "--lr must be above 0, not 0"),
        ("--prediction score", "There is no prediction type 'score'; choose one of: noise, clean, velocity, edm"),
        ("--data nowhere/at/all", "nowhere/at/all"),
        ("--device tpu", "There is no device 'tpu'; choose one of: auto, cpu, cuda, mps"),
        ("--resume", "There is no run to resume in"),
        (
            "--model multihead_unet --num-heads 7",
            "num_heads 7 does not divide a level of 128 channels",
        ),
        ("--model multihead_unet --attention-levels 1,4", "names level 4, but there are 4: 0 to 3"),
        ("--model multihead_unet --attention-levels all", "--attention-levels must be levels such as 1,2, or none"),
        ("--model multihead_unet --channels 64,128,256 --patch-size 16", "do not fit 32 pixels; use fewer channels"),
        ("--model multihead_unet --beta-end 0.00001", "Betas must satisfy 0 < beta_start <= beta_end < 1"),
        ("--spacing odd", "There is no spacing 'odd'; choose one of: trailing, karras"),
        ("--class-dropout 2", "--class-dropout must be a number from 0 to 1, not 2"),
        ("--schedule sigmoid", "There is no noise schedule 'sigmoid'; choose one of: linear, cosine"),
        ("--init-from nowhere", "nowhere is no checkpoint"),
        ("--lr abc", "Invalid value for '--lr'"),
        ("--speed 3", "No such option: --speed"),
    ],
)
def test_bad_flags_are_refused_with_a_sentence(toy, tmp_path, flags, sentence, monkeypatch, capsys):
    error = UNET.refusal(f"--data {toy} --size small {flags}", tmp_path / "run", monkeypatch, capsys)
    assert sentence in error
    assert not (tmp_path / "run").exists()  # a folder of a run that never was


def test_weights_to_start_from_decide_the_network(toy, tiny_checkpoints, tmp_path):
    simple = str(tiny_checkpoints / "simple_unet")
    flags = ["--data", toy, "--init-from", simple, "--images", 8, "--out", tmp_path / "run"]
    _, err = UNET.finish(*flags, "--channels", "8,8", code=2)
    assert f"--channels is decided by the weights in {simple}; leave it out" in err
    _, err = UNET.finish(*flags, "--model", "attention_unet", code=2)
    assert f"{simple} holds a simple_unet, not a attention_unet; name a checkpoint of attention_unet" in err


def test_a_folder_that_cannot_be_written_to_is_a_sentence(toy, tmp_path):
    (tmp_path / "file").write_text("")
    _, err = UNET.finish("--data", toy, *SMALL, "--out", tmp_path / "file", code=1)
    assert "Error: " in err and "cannot be used: File exists." in err and "Traceback" not in err


def test_two_processes_do_not_train_in_one_folder(toy, tmp_path):
    flags = ["--data", toy, "--model", "simple_unet", *SMALL, "--images", 10**7, "--out", tmp_path]
    first = UNET.start(*flags)
    wait_for(tmp_path / "run.json", first)
    _, err = UNET.finish(*flags, code=2)
    assert "Another process is training in" in err
    first.kill()
    first.wait()


def test_a_run_is_neither_overwritten_nor_changed_half_way(toy, tmp_path):
    flags = ["--data", toy, "--model", "simple_unet", *SMALL, "--images", 80, "--out", tmp_path]
    (tmp_path / "run.json").write_text("{}")  # left by a run that was killed before its first save
    UNET.finish(*flags)
    _, err = UNET.finish(*flags, code=2)
    assert "holds a run already; add --resume to go on with it" in err
    _, err = UNET.finish(*flags, "--resume", "--seed", 5, code=2)
    assert "--seed was 0 when the run began and cannot become 5" in err
    UNET.finish("--data", toy, "--resume", "--images", 160, "--out", tmp_path)
    training = diffdemo.load(str(tmp_path), device="cpu").info.training
    assert training["images_seen"] == 160
    first, second = training["command"].split(" && ")
    assert "--resume" not in first and "--images 80" in first
    assert "--resume --images 160" in second


def test_the_reference_size_brings_the_classic_recipe_except_for_named_flags():
    from train.loop.run import with_recipe
    from train.loop.settings import Settings
    from train.tasks.recipes import reference_recipe
    from train.unet import Options

    recipe = reference_recipe("simple_unet", Options(size="reference"))
    options, settings = with_recipe(Options(size="reference"), Settings(lr=0.1), {"lr", "model"}, recipe)
    assert (options.prediction, options.noise_levels, options.epochs) == ("noise", "uniform", 200)
    assert (settings.lr, settings.batch_size, settings.patience, settings.ema_decay) == (0.1, 200, 10, 0.9999)
    options, _ = with_recipe(Options(), Settings(), {"images"}, recipe)
    assert options.epochs == 0  # whoever names images is not overruled by epochs
    assert reference_recipe("simple_unet", Options()) == {}


def test_the_pair_differs_in_attention_alone():
    from dataclasses import asdict

    from diffdemo.registry import spec

    for size in ("small", "reference"):
        simple, attention = (asdict(spec(key).configure(size)) for key in ("simple_unet", "attention_unet"))
        different = {name for name in simple if simple[name] != attention[name]}
        assert different == {"attention_levels", "middle_attention"}
