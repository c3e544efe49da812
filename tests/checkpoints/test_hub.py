"""Checkpoints on the Hugging Face hub: published, fetched, verified, and refused in a sentence."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import REPOSITORY
from conftest import save_tiny_checkpoint
from hub import Hub
from hub import hub as running_hub
from huggingface_hub import constants
from sentences import refused
from traps import Trap

import diffdemo
from diffdemo.errors import CheckpointError, RequestError, TrainingError
from train.install import add_guide
from train.publish import publish

MODEL = "ada/horses"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that this process takes for the real one, and an empty cache."""
    with running_hub() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants._HF_DEFAULT_ENDPOINT)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", "hf_ada")
        yield running


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def drawn(model: str, checkpoints: Path | None = None) -> np.ndarray:
    loaded = diffdemo.load(model, device="cpu", checkpoints=checkpoints)
    return loaded.sample(seeds=[3], steps=2)


def test_what_is_published_is_what_is_loaded_by_name(hub: Hub, tmp_path, tiny_checkpoints):
    run = Path(shutil.copytree(tiny_checkpoints / "attention_unet", tmp_path / "run"))
    save_tiny_checkpoint(tmp_path / "weaker", "attention_unet", seed=1)
    add_guide(run, tmp_path / "weaker" / "attention_unet", "fp16")
    (run / "samples").mkdir()
    (run / "samples" / "final.png").write_bytes(b"a grid")
    (run / "samples" / "reconstructions.png").write_bytes(b"pictures of the data set")
    (run / "state.safetensors").write_bytes(b"what a run goes on from")
    assert publish(run, MODEL, "fp16") == f"{hub.url}/{MODEL}"
    (uploaded,) = hub.repositories[MODEL]
    assert hub.tokens == ["Bearer hf_ada"]
    guide = {"guide/config.json", "guide/model.safetensors"}
    assert uploaded.keys() == {"README.md", "config.json", "model.safetensors", "samples/final.png", *guide}
    assert f'diffdemo.load("{MODEL}")' in uploaded["README.md"].decode()
    assert np.array_equal(drawn(MODEL), drawn(str(run)))
    assert sorted(hub.asked) == sorted(["config.json", "model.safetensors", *guide])  # each once, and nothing else
    publish(run, MODEL)
    assert len(hub.repositories[MODEL]) == 2  # one commit each, into the repository that is there by now


def test_a_revision_is_taken_as_it_was(hub: Hub, tiny_checkpoints):
    for key in ("attention_unet", "simple_unet"):
        hub.commit(MODEL, files_of(tiny_checkpoints / key))
    assert diffdemo.load(MODEL, device="cpu").key == "simple_unet"
    assert diffdemo.load(f"{MODEL}@{hub.sha(MODEL, 0)}", device="cpu").key == "attention_unet"
    with refused(RequestError, "ada/horses has no revision v9; leave it out"):
        diffdemo.load(f"{MODEL}@v9")


def test_without_a_network_the_cache_is_taken_and_nothing_else(hub: Hub, tiny_checkpoints, monkeypatch):
    hub.commit(MODEL, files_of(tiny_checkpoints / "attention_unet"))
    online = drawn(MODEL)
    fetched = list(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert np.array_equal(drawn(MODEL), online)
    with refused(CheckpointError, "ada/cats cannot be fetched from the hub .*check the network, HF_HOME"):
        diffdemo.load("ada/cats")
    assert hub.asked == fetched


def test_a_hub_that_cannot_be_reached_gets_a_sentence(hub: Hub, tiny_checkpoints, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with refused(CheckpointError, "ada/horses cannot be fetched from the hub"):
        diffdemo.load(MODEL)
    with refused(TrainingError, "ada/horses cannot be published .*; check the name and HF_TOKEN"):
        publish(tiny_checkpoints / "attention_unet", MODEL)


def test_what_is_not_there_or_no_checkpoint_is_refused_by_name(hub: Hub, tmp_path, monkeypatch):
    with refused(RequestError, "The hub has no model ada/horses that you may read"):
        diffdemo.load(MODEL)
    hub.commit(MODEL, {"config.json": b'{"_class_name": "UNet2DModel"}', "model.safetensors": b"gigabytes"})
    with refused(CheckpointError, "does not describe a diffdemo checkpoint of format 1 or 2"):
        diffdemo.load(MODEL)
    assert hub.asked == ["config.json"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with refused(RequestError, "There is no model 'runs/typo'; choose one of"):  # and the hub is not asked
        diffdemo.load("runs/typo")
    for name in ("ada", "ada/", "ada/b/c", "../ada/b", "ada/horses@"):
        with refused(RequestError, "There is no model"):
            diffdemo.load(name)
        with refused((RequestError), "called owner/name, not"):
            publish(tmp_path, name)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda weights, trap: weights[:100] + bytes([weights[100] ^ 1]) + weights[101:], "its SHA-256 differs"),
        (lambda weights, trap: weights[:-1], "its SHA-256 differs"),
        (lambda weights, trap: pickle.dumps(trap), "its SHA-256 differs"),
        (None, "model.safetensors is missing"),
    ],
    ids=["a flipped bit", "cut", "a pickle", "missing"],
)
def test_weights_that_are_not_those_of_the_description_are_refused_and_no_pickle_is_fetched(
    hub: Hub, tiny_checkpoints, tmp_path, spoil, said
):
    files, trap = files_of(tiny_checkpoints / "attention_unet"), Trap(tmp_path / "sprung")
    weights = files.pop("model.safetensors")
    if spoil:
        files["model.safetensors"] = spoil(weights, trap)
    hub.commit(MODEL, files | {"pytorch_model.bin": pickle.dumps(trap), "guide/optimizer.pt": pickle.dumps(trap)})
    with refused(CheckpointError, said):
        diffdemo.load(MODEL, device="cpu")
    assert not [file for file in hub.asked if file.endswith((".bin", ".pt"))]
    assert not (tmp_path / "sprung").exists()


def test_without_a_token_nothing_is_published(hub: Hub, tiny_checkpoints, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with refused(TrainingError, "cannot be published .*401.*HF_TOKEN"):
        publish(tiny_checkpoints / "attention_unet", MODEL)
    assert not hub.repositories


BOTH_COMMANDS = """
import sys
from diffdemo.__main__ import main
from train.flags import run_app
from train.publish import main as publish

run, model, out = sys.argv[1:]
sys.argv[1:] = [run, model]
run_app(publish)
sys.exit(main(["sample", "--model", model, "--steps", "1", "--out", out]))
"""


def test_the_commands_find_the_hub_by_its_own_settings(tiny_checkpoints, tmp_path):
    with running_hub() as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_ada"}
        words = [sys.executable, "-c", BOTH_COMMANDS, str(tiny_checkpoints / "attention_unet"), MODEL, "a.png"]
        paths = {"PYTHONPATH": str(REPOSITORY)}
        said = subprocess.run(words, cwd=tmp_path, env=os.environ | settings | paths, capture_output=True, text=True)
        assert said.stdout == (
            f"Published at {hub.url}/{MODEL}. To sample from it:\n"
            f"  python -m diffdemo sample --model {MODEL} --out sample.png\n"
            "Wrote a.png: seed 0.\n"
        ), said.stderr
    assert (tmp_path / "a.png").is_file() and said.returncode == 0
