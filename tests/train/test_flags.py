"""Flags mean what they say: a value that is named is the value, 0 and nothing included, or is refused."""

import importlib
import itertools
import json
import re
import sys
from contextlib import redirect_stderr
from dataclasses import fields, replace
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_helpers import Script

from diffdemo.data import make_toy_dataset
from diffdemo.description import read_info
from diffdemo.errors import DiffdemoError, RequestError
from diffdemo.models.classifier import ClassifierConfig
from diffdemo.registry import spec
from train.flags import run_command, whole_numbers
from train.loop.resume import remember, settings_of
from train.loop.run import resolve, with_recipe
from train.tasks.recipes import REFERENCE

FACTS = {"classes": ["cat", "dog"], "train": 2, "test": 2, "sha256": "0"}  # of a run's data
SCRIPTS = ("unet", "patch_unet", "latent", "autoencoder", "classifier", "all")
UNETS = ("simple_unet", "attention_unet", "ddpm_unet", "multihead_unet")
AUTOENCODER = spec("latent_diffusion").configure("tiny").autoencoder
Refusal = str
VALUES = {
    bool: (True, False),
    int: (0, 1, 2, 3, -1),
    float: (0.0, 0.25, 1.0, -1.0),
    str: ("", "none", "1,2", "16,16", "cosine", "uniform", "clean", "somewhere"),
    Path: ("", "somewhere"),
}


def groups(script: str) -> list[type]:
    module = importlib.import_module(f"train.{script}")
    return [module.Options, *([module.Settings] if script != "all" else [])]


def kind_of(field: Any) -> type:
    return next((part for part in get_args(field.type) if part is not type(None)), field.type)


FLAGS = [(script, f) for script in SCRIPTS for group in groups(script) for f in fields(group)]
NAMES = [f"train.{script} --{f.name}" for script, f in FLAGS]


def typed(name: str, value: object) -> str:
    """A flag as it is typed."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={value}"


def command_line(script: str, *flags: str) -> tuple[list, set[str]] | Refusal:
    """The objects that a script gets of these flags and the names of those that were given, or what it says of them."""
    got, said = [], StringIO()
    before = sys.argv
    sys.argv = [f"train.{script}", *flags]
    try:
        with redirect_stderr(said):
            run_command(lambda *objects: got.extend(objects), *groups(script))
    except SystemExit as end:
        assert end.code == 2
        assert said.getvalue().startswith("Error: ") and said.getvalue().count("\n") == 1
        return said.getvalue()
    finally:
        sys.argv = before
    return got[:-1], got[-1]


def values_in(parts: list) -> dict[str, object]:
    return {name: value for part in parts for name, value in vars(part).items()}


def network_of(script: str, options: Any) -> dict:
    """The settings of the network that a script builds of its options."""
    if script == "classifier":
        return vars(ClassifierConfig(whole_numbers("--channels", options.channels)))
    if script == "autoencoder":
        return spec("latent_diffusion").configure(options.size, autoencoder=options.network_settings()).autoencoder
    key = {"unet": getattr(options, "model", ""), "latent": "latent_diffusion"}.get(script, script)
    return vars(spec(key).configure(options.size, **options.network_settings()))


def network_with(script: str, model: str, size: str, changes: dict) -> dict:
    """The settings of the network of one size with these changes, without any flag."""
    if script == "classifier":
        return vars(ClassifierConfig(**changes))
    latent = spec("latent_diffusion")
    if script == "autoencoder":
        usual = latent.configure(size).autoencoder | {"linear_path": True}
        return latent.configure(size, autoencoder=usual | changes).autoencoder
    if script == "latent":
        return vars(latent.configure(size, autoencoder=AUTOENCODER, **changes))
    return vars(spec(model or script).configure(size, **changes))


@pytest.fixture(autouse=True)
def trained_autoencoder(monkeypatch):
    """Any folder holds one."""
    info = type("Info", (), {"model": {"autoencoder": AUTOENCODER}, "key": "latent_diffusion"})
    monkeypatch.setattr("train.latent.read_info", lambda folder: info)


@pytest.mark.parametrize(("script", "flag"), FLAGS, ids=NAMES)
def test_a_flag_that_is_named_has_the_value_that_was_named(script, flag):
    """Also after the reference recipe, which changes only what was not named."""
    for value in VALUES[kind_of(flag)]:
        taken = command_line(script, typed(flag.name, value))
        if isinstance(taken, Refusal):
            assert f"--{flag.name.replace('_', '-')}" in taken or repr(value) in taken or str(value) in taken
            continue
        parts, named = taken
        assert named == {flag.name}
        recipes = UNETS if script == "unet" else {"latent": ["latent_diffusion"]}.get(script, [script])
        for recipe in (REFERENCE[key] for key in recipes if key in REFERENCE):
            parts = with_recipe(*parts, named, recipe)
        kept = values_in(parts)[flag.name]
        assert kept == kind_of(flag)(value) and isinstance(kept, kind_of(flag)), value


@pytest.mark.parametrize(("script", "flag"), FLAGS, ids=NAMES)
def test_nothing_is_a_value_for_no_flag_but_a_list_that_may_be_empty(script, flag):
    if kind_of(flag) not in (str, Path):
        return
    for empty in ([f"{typed(flag.name, '')}"], [typed(flag.name, "")[:-1], ""]):
        taken = command_line(script, *empty)
        if flag.name == "attention_levels":
            assert not isinstance(taken, Refusal)
        else:
            assert f"Invalid value for '--{flag.name.replace('_', '-')}': it must not be empty" in taken


@pytest.mark.parametrize(("script", "flag"), FLAGS, ids=NAMES)
def test_a_number_below_every_sense_is_one_sentence_before_any_data_is_read(script, flag):
    if kind_of(flag) not in (int, float):
        return
    taken = command_line(script, typed(flag.name, -1))
    if not isinstance(taken, Refusal):
        with pytest.raises(DiffdemoError, match=r"(must|Betas|at least).*-1"):
            options = taken[0][0]
            network_of(script, options)
            options.noise_schedule()


def numbers(low: int, high: int) -> st.SearchStrategy:
    return st.integers(low, high)


lists = st.sampled_from(["16", "8,16", "8,16,24", "", "0", "8,0"])
NETWORK_FLAGS = {
    "unet": {
        "dropout": st.sampled_from([0.0, 0.1, 0.5]),
        "channels": lists,
        "blocks_per_level": numbers(0, 2),
        "patch_size": st.sampled_from([0, 1, 2, 4]),
        "attention_levels": st.sampled_from(["", "none", "0", "1", "0,1"]),
        "middle_attention": st.booleans(),
        "num_heads": st.sampled_from([0, 1, 2, 4, 8]),
        "time_embedding_dim": st.sampled_from([0, 16]),
    },
    "patch_unet": {"dropout": st.sampled_from([0.0, 0.1])},
    "latent": {"dropout": st.sampled_from([0.0, 0.1]), "hidden": lists, "embedding_dim": numbers(0, 3)},
    "autoencoder": {
        "dropout": st.sampled_from([0.0, 0.1]),
        "channels": lists,
        "latent_dim": numbers(0, 3),
        "blocks_per_level": numbers(0, 2),
        "patch_size": st.sampled_from([0, 1, 2, 4]),
    },
    "classifier": {"channels": lists},
}


@given(data=st.data(), script=st.sampled_from(list(NETWORK_FLAGS)), size=st.sampled_from(["small", "reference"]))
def test_the_network_is_what_was_named_and_else_what_its_size_is(data, script, size):
    named = data.draw(st.fixed_dictionaries({}, optional=NETWORK_FLAGS[script]))
    model = data.draw(st.sampled_from(UNETS)) if script == "unet" else ""
    standard = [f"--model={model}"] * bool(model) + [f"--size={size}"] * (script != "classifier")
    taken = command_line(script, *standard, *(typed(name, value) for name, value in named.items()))
    try:
        network = None if isinstance(taken, Refusal) else network_of(script, taken[0][0])
    except DiffdemoError:
        network = None
    wanted = {
        name: whole_numbers(name, value.replace("none", "")) if isinstance(value, str) else value
        for name, value in named.items()
    }
    try:
        assert network == network_with(script, model, size, wanted)
    except RequestError:  # the architecture itself refuses these settings
        assert network is None


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_the_schedule_has_the_betas_that_were_named(kind):
    (options, _), _ = command_line("unet", f"--schedule={kind}", "--beta-start=0.001")
    assert options.noise_schedule().beta_start == 0.001
    usual = command_line("unet", f"--schedule={kind}")[0][0].noise_schedule()
    assert (usual.beta_start, usual.beta_end) == {"linear": (1e-4, 0.02), "cosine": (1e-8, 0.999)}[kind]
    assert options.noise_schedule().beta_end == usual.beta_end


def test_help_says_what_holds_where_nothing_is_named(monkeypatch, capsys):
    for script in SCRIPTS:
        monkeypatch.setattr(sys, "argv", [script, "--help"])
        run_command(lambda *objects: None, *groups(script))
        text = capsys.readouterr().out
        explained = {part.split()[0]: part for part in re.split("^  --", text, flags=re.MULTILINE)}
        for name in [f.name for group in groups(script) for f in fields(group) if f.default is None]:
            assert re.search(r"\[default:\s+\(", explained[name.replace("_", "-")]), name
        assert "None" not in text


# Resuming.

OLD = {
    "data": "data",
    "device": "cpu",
    "threads": 0,
    "resume": False,
    "epochs": 0,
    "init_from": "",
    "size": "reference",
    "dropout": 0.0,
    "schedule": "linear",
    "schedule_steps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "prediction": "edm",
    "weighting": "flat",
    "noise_levels": "lognormal",
    "class_dropout": 0.1,
    "guidance_scale": 4.0,
    "spacing": "karras",
    "model": "ddpm_unet",
    "channels": "",
    "blocks_per_level": 0,
    "patch_size": 0,
    "attention_levels": "",
    "num_heads": 0,
    "time_embedding_dim": 0,
    "images": 1_000_000,
    "max_minutes": 0.0,
    "batch_size": 256,
    "slow_ema_decay": 0.0,
    "patience": 0,
    "commands": ["python -m train.unet --model ddpm_unet --size reference --dropout 0 --out runs/ddpm_unet"],
}


def resumed(script: str, folder: Path, *flags: str) -> list:
    """What a resumed run trains with, and writes down again."""
    (options, settings), named = command_line(script, f"--out={folder}", "--resume", *flags)
    parts = settings_of(options, settings, named)
    remember(*parts, FACTS)
    return list(parts)


def write_run(folder: Path, **content: object) -> None:
    (folder / "run.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dropout": 0.05, "channels": "16,32", "num_heads": 4, "attention_levels": "none"},
        {"model": "attention_unet", "size": "small", "patch_size": 4, "attention_levels": "0,1"},
        {"model": "multihead_unet", "schedule": "cosine", "time_embedding_dim": 64},
    ],
)
def test_a_run_of_an_older_version_goes_on_as_it_was(tmp_path, changes):
    """There, 0 and nothing stood for what was not named, also where a flag was named so: the network had its own."""
    old = OLD | changes
    write_run(tmp_path, **old)
    for _ in range(2):  # what was written by the first time is read by the second
        options, settings = resumed("unet", tmp_path)
        named = {name: old[name] for name in ("dropout", "num_heads", "patch_size", "time_embedding_dim") if old[name]}
        for name in ("channels", "attention_levels"):
            if old[name]:
                named[name] = whole_numbers(name, old[name].replace("none", ""))
        assert network_of("unet", options) == vars(spec(old["model"]).configure(old["size"], **named))
        usual = {"linear": (1e-4, 0.02), "cosine": (1e-8, 0.999)}[old["schedule"]]
        assert (options.noise_schedule().beta_start, options.noise_schedule().beta_end) == usual
        assert (options.init_from, options.resume) == (None, True)
        assert (settings.images, settings.patience, settings.max_minutes) == (1_000_000, 0, 0.0)
    assert json.loads((tmp_path / "run.json").read_text())["commands"] == old["commands"]


def test_a_resumed_run_of_an_older_version_does_not_take_a_dropout_that_it_did_not_have(tmp_path):
    write_run(tmp_path, **OLD)
    with pytest.raises(DiffdemoError, match="--dropout was not named when the run began and cannot become 0"):
        resumed("unet", tmp_path, "--dropout=0")
    write_run(tmp_path, **OLD | {"dropout": 0.05})
    assert resumed("unet", tmp_path, "--dropout=0.05")[0].dropout == 0.05


NAMED_BY_RUNS = {
    "unet": ["--dropout=0", "--attention-levels=", "--no-middle-attention", "--channels=8,8", "--patch-size=4"],
    "patch_unet": ["--dropout=0", "--class-dropout=0", "--max-minutes=0"],
    "latent": ["--dropout=0", "--hidden=8,8", "--warmup-images=0"],
    "autoencoder": ["--dropout=0", "--latent-dim=3", "--no-pca-start", "--shift=0", "--center-weight=0"],
    "classifier": ["--shift=0", "--label-smoothing=0"],
}


@pytest.mark.parametrize("script", NAMED_BY_RUNS)
def test_a_run_goes_on_with_what_it_named_and_with_what_it_did_not(tmp_path, script):
    for flags in (NAMED_BY_RUNS[script], []):
        parts, _ = command_line(script, f"--out={tmp_path}", *flags)
        remember(*parts, FACTS)
        own = [replace(parts[0], resume=True, data=parts[0].data.absolute()), parts[1]]
        assert resumed(script, tmp_path) == own
        assert resumed(script, tmp_path, *flags) == own
        assert len(json.loads((tmp_path / "run.json").read_text())["commands"]) == 1
    if flags := NAMED_BY_RUNS[script][:1]:  # which the run that began last has not named
        with pytest.raises(DiffdemoError, match=r"was (not named|\S+) when the run began and cannot become 0"):
            resumed(script, tmp_path, *flags)


def test_a_flag_that_is_newer_than_a_run_has_had_its_default_there(tmp_path):
    write_run(tmp_path, **{name: value for name, value in OLD.items() if name not in ("seed", "prediction")})
    assert resumed("unet", tmp_path, "--seed=0")[1].seed == 0
    with pytest.raises(DiffdemoError, match="--seed was 0 when the run began and cannot become 1"):
        resumed("unet", tmp_path, "--seed=1")


def test_a_resumed_run_ends_after_the_images_that_are_named_where_it_counted_epochs(tmp_path):
    write_run(tmp_path, **OLD | {"epochs": 200})
    assert resumed("unet", tmp_path)[0].epochs == 200
    options, settings = resumed("unet", tmp_path, "--images=5000")
    assert (options.epochs, settings.images) == (0, 5000)
    assert resumed("unet", tmp_path, "--epochs=7")[0].epochs == 7


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_two_ends_of_a_run_are_one_too_many(tmp_path, resume):
    write_run(tmp_path, **OLD)
    standard = [f"--out={tmp_path}", "--device=cpu", *resume]
    (options, settings), named = command_line("unet", *standard, "--images=80", "--epochs=3")
    with pytest.raises(DiffdemoError, match="--images and --epochs both say when the run ends; name one of them"):
        resolve(options, settings, named, {})
    (options, settings), named = command_line("unet", *standard, "--images=80", "--epochs=0")
    options, settings = resolve(options, settings, named, REFERENCE["simple_unet"])
    assert (options.epochs, settings.images) == (0, 80)


def test_a_trained_network_is_the_one_that_was_named(tmp_path):
    """From the command line to the checkpoint, and on: the reference has dropout and attention of its own."""
    toy = make_toy_dataset(tmp_path / "toy", per_class=16)
    script, out = Script("train.unet"), tmp_path / "run"
    flags = ["--data", toy, "--model", "attention_unet", "--size", "reference", "--channels", "8,8"]
    flags += ["--time-embedding-dim", 16, "--patch-size", 4, "--batch-size", 8, "--images", 8, "--out", out]
    script.finish(*flags, "--attention-levels", "", "--no-middle-attention", "--dropout", 0)
    model = read_info(out).model
    assert (model["attention_levels"], model["middle_attention"], model["dropout"]) == ([], False, 0.0)
    script.finish("--data", toy, "--resume", "--images", 16, "--out", out)
    assert read_info(out).model == model and read_info(out).training["images_seen"] == 16


def test_what_weights_decide_is_not_named_beside_them(tiny_checkpoints, tmp_path, monkeypatch, capsys):
    named = ("--dropout=0", "--attention-levels=", "--no-middle-attention", "--num-heads=0", "--channels=8")
    toy = make_toy_dataset(tmp_path / "toy", per_class=2)
    for flag, folder in itertools.product(named, [tiny_checkpoints / "attention_unet"]):
        flags = f"--data {toy} --init-from {folder} {flag}"
        error = Script("train.unet").refusal(flags, tmp_path / "run", monkeypatch, capsys)
        wanted = flag.split("=")[0].replace("--no-", "--")
        assert f"{wanted} is decided by the weights in {folder}; leave it out" in error
