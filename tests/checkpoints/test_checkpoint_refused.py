"""Loading checkpoints: what was damaged, edited or is foreign does not get in, and nothing is ever unpickled."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from sentences import refused
from traps import Trap

from diffdemo import checkpoint
from diffdemo.checkpoint import load_network, load_weights, save_checkpoint
from diffdemo.description import CONFIG, read_info
from diffdemo.errors import CheckpointError
from diffdemo.weights.tensor_files import sha256

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_checkpoints, tmp_path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_checkpoints / "attention_unet", tmp_path / "attention_unet"))


def edit(folder: Path, **changes) -> None:
    """Change top-level entries of config.json; ... removes one."""
    content = json.loads((folder / CONFIG).read_text()) | changes
    (folder / CONFIG).write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))


@pytest.mark.parametrize("keep", [0, 7, 1000, -1])
def test_a_truncated_file_is_refused(folder, keep):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:keep])
    with refused(CheckpointError, "model.safetensors is truncated or was changed"):
        load_network(folder)


@pytest.mark.parametrize("position", [3, 200, -1])
def test_one_flipped_bit_is_refused(folder, position):
    path = folder / WEIGHTS
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with refused(CheckpointError, "its SHA-256 differs"):
        load_network(folder)


@pytest.mark.parametrize(
    "part",
    [
        {"key": "simple_unet"},
        {"diffusion": {"schedule": {"kind": "linear"}, "prediction": "noise"}},
        {"diffusion": {"schedule": {"kind": "cosine"}, "prediction": "edm"}},
        {"classes": ["dog", "cat"]},
        {"classes": []},
        {"model": {}},
        {"model": {"channels": [16, 16], "patch_size": 2, "num_heads": 4}},
    ],
    ids=lambda part: json.dumps(part).replace('"', "")[:40],
)
def test_a_description_that_was_edited_does_not_fit_its_weights(folder, part):
    edit(folder, **part)
    with refused(CheckpointError, "config.json does not belong to model.safetensors"):
        load_network(folder)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"key": "transformer"}, "There is no model 'transformer'"),
        ({"key": ["simple_unet"]}, "unhashable"),
        ({"key": ...}, "key"),
        ({"model": {"channels": [16], "num_heads": 0}}, "num_heads must be at least 1"),
        ({"model": {"depth": 3}}, "depth"),
        ({"model": None}, "None"),
        ({"diffusion": {}}, "schedule"),
        ({"diffusion": {"schedule": {}, "prediction": "score"}}, "There is no prediction type 'score'"),
        ({"diffusion": {"schedule": {"steps": "many"}, "prediction": "noise"}}, "'str' and 'int'"),
        ({"diffusion": {"schedule": {"gamma": 1}, "prediction": "noise"}}, "gamma"),
        ({"classes": None}, "NoneType"),
        ({"files": [WEIGHTS]}, "files is no object"),
        ({"training": "long"}, "training is no object"),
        ({"metrics": 3}, "metrics is no object"),
        ({"trained": 3}, "int"),
        ({"trained": ["classifier"]}, "There is no trained part 'classifier'"),
        ({"defaults": {"sampler": "ddim", "steps": 5}}, "defaults has no guidance_scale"),
        ({"defaults": {"sampler": "ddim", "steps": 5, "guidance_scale": 1, "spacing": "odd"}}, "trailing, karras"),
        ({"surprise": 1}, "surprise"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_description_that_describes_nothing_is_refused(folder, part, said):
    edit(folder, **part)
    with refused(CheckpointError, f"config.json was edited or is damaged .*{said}"):
        read_info(folder)


@pytest.mark.parametrize("content", ["", "{", "not JSON", "\udcff", "nul\0"])
def test_a_description_that_is_no_json_is_refused(folder, content):
    (folder / CONFIG).write_bytes(content.encode("utf-8", "surrogateescape"))
    with refused(CheckpointError, "config.json cannot be read as JSON"):
        read_info(folder)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"format": 3}', '{"format": "1"}'])
def test_a_description_of_another_format_is_refused(folder, content):
    (folder / CONFIG).write_text(content)
    with refused(CheckpointError, "does not describe a diffdemo checkpoint of format 1 or 2"):
        read_info(folder)


def test_what_is_missing_is_named(folder, tmp_path):
    (folder / WEIGHTS).unlink()
    with refused(CheckpointError, "model.safetensors is missing"):
        load_network(folder)
    (folder / CONFIG).unlink()
    with refused(CheckpointError, "is no checkpoint: it has no config.json"):
        load_network(folder)
    with refused(CheckpointError, "is no checkpoint: it has no config.json"):
        load_network(tmp_path / "nowhere")
    (folder / CONFIG).mkdir()
    with refused(CheckpointError, "cannot be read"):
        load_network(folder)


def put(folder: Path) -> None:
    """Make config.json vouch for whatever lies there as the weights."""
    edit(folder, files={WEIGHTS: sha256(folder / WEIGHTS)})


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"diffdemo": '{"key": "simple_unet"}'}], ids=["none", "foreign", "another's"]
)
def test_weights_from_elsewhere_are_refused_even_with_their_hash_put_in(folder, metadata):
    save_file({"weight": torch.zeros(3)}, folder / WEIGHTS, metadata)
    with refused(CheckpointError, "SHA-256 differs"):
        load_network(folder)
    put(folder)
    with refused(CheckpointError, "config.json does not belong to model.safetensors"):
        load_network(folder)


def test_weights_of_another_shape_are_refused_with_everything_put_in(folder):
    save_file({"weight": torch.zeros(3)}, folder / WEIGHTS, {"diffdemo": json.dumps(read_info(folder).identity)})
    put(folder)
    with refused(CheckpointError, "not those of attention_unet as its config.json describes it"):
        load_network(folder)


@pytest.mark.parametrize("metadata", ["not JSON", "[1"])
def test_a_header_that_is_no_json_is_refused(folder, metadata):
    save_file({"weight": torch.zeros(3)}, folder / WEIGHTS, {"diffdemo": metadata})
    put(folder)
    with refused(CheckpointError, "is not a safetensors file"):
        load_network(folder)


@pytest.mark.parametrize("write", [lambda o, p: p.write_bytes(pickle.dumps(o)), torch.save], ids=["pickle", "torch"])
def test_a_pickle_is_never_unpickled(folder, tmp_path, write):
    sprung = tmp_path / "sprung"
    write(Trap(sprung), folder / WEIGHTS)
    with refused(CheckpointError, "SHA-256 differs"):
        load_network(folder)
    put(folder)
    with refused(CheckpointError, "is not a safetensors file"):
        load_network(folder)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # so it would have sprung


@pytest.mark.parametrize("name", ["../outside.safetensors", "{absolute}", "..", "", "/"])
def test_a_description_cannot_name_files_outside_its_folder(folder, name):
    outside = folder.parent / "outside.safetensors"
    shutil.move(folder / WEIGHTS, outside)
    edit(folder, files={name.format(absolute=outside): sha256(outside)})
    with refused(CheckpointError, "is missing"):
        load_network(folder)


def test_a_shard_that_is_missing_is_named(folder, monkeypatch):
    info = read_info(folder)
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 2**14)
    saved = save_checkpoint(folder, info, load_weights(folder, info))
    name = list(saved.files)[1]
    (folder / name).unlink()
    with refused(CheckpointError, f"{name} is missing"):
        load_network(folder)
    edit(folder, files={other: digest for other, digest in saved.files.items() if other != name})
    with refused(CheckpointError, "not those of attention_unet as its config.json describes it .Missing key"):
        load_network(folder)


@pytest.mark.parametrize(
    "part",
    [
        {"parameters": "many"},
        {"model": {"a\nb": 1}},
        {"key": "unet\n" * 1000},
        {"files": {"a\n.safetensors": "0"}},
        {"classes": [1, 2]},
        {"defaults": {"sampler": "zzz", "steps": 20, "guidance_scale": 2}},
        {"defaults": {"sampler": "ddim", "steps": "abc", "guidance_scale": 2}},
        {"defaults": {"sampler": "ddim", "steps": 20, "guidance_scale": "much"}},
    ],
    ids=str,
)
def test_a_description_of_the_wrong_types_is_blamed_on_the_checkpoint(folder, part):
    edit(folder, **part)
    with refused(CheckpointError, "config.json was edited or is damaged"):
        read_info(folder)


def test_json_nested_beyond_measure_is_refused(folder):
    (folder / "config.json").write_text("[" * 100_000)
    with refused(CheckpointError, "cannot be read as JSON"):
        read_info(folder)
