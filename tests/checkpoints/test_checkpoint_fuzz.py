"""Whatever a checkpoint's files have become, loading them gives the network or one sentence, and executes nothing."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from doses import SMALL_DOSE
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from traps import Trap

from diffdemo.checkpoint import load_network
from diffdemo.description import CONFIG, read_info
from diffdemo.errors import CheckpointError
from diffdemo.latent.map import load_map
from diffdemo.loading import load_generator
from diffdemo.weights.tensor_files import sha256

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_checkpoints, tmp_path) -> Path:
    """A checkpoint that a test may spoil, again and again."""
    return Path(shutil.copytree(tiny_checkpoints / "simple_unet", tmp_path / "simple_unet"))


def outcome(load, folder: Path) -> str:
    """What loading a checkpoint says if it is refused; else nothing."""
    try:
        load(folder)
    except CheckpointError as error:
        said = str(error)
        assert said and "\n" not in said and said.endswith(".") and len(said) < 600, said
        return said
    return ""


def vouch(folder: Path) -> None:
    """Make config.json name the SHA-256 of whatever lies there as the weights, as a forger would."""
    content = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(content | {"files": {WEIGHTS: sha256(folder / WEIGHTS)}}))


@st.composite
def spoilt(draw, length: int = 200_000):
    """A function that spoils bytes: bits are flipped, some are cut off, and some are put in."""
    flips = draw(st.lists(st.tuples(st.integers(0, length), st.integers(0, 7)), max_size=4))
    near_the_header = draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 7)), max_size=4))
    end, extra = draw(st.none() | st.integers(0, length)), draw(st.binary(max_size=40))
    place = draw(st.integers(0, length))

    def spoil(content: bytes) -> bytes:
        changed = bytearray(content)
        for position, bit in flips + near_the_header:
            changed[position % len(changed)] ^= 1 << bit
        where = place % len(changed)
        return bytes(changed[:where] + extra + changed[where:])[:end]

    return spoil


@SMALL_DOSE
@given(spoil=spoilt(), forged=st.booleans())
def test_spoilt_weights_are_refused_by_name(folder, tiny_checkpoints, spoil, forged):
    whole = (tiny_checkpoints / "simple_unet" / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(changed := spoil(whole))
    shutil.copy(tiny_checkpoints / "simple_unet" / CONFIG, folder)
    if forged:
        vouch(folder)
    said = outcome(load_network, folder)
    assert forged or changed == whole or (WEIGHTS in said and "its SHA-256 differs" in said)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**10, 2**64, ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@SMALL_DOSE
@given(data=st.data())
def test_an_edited_description_is_refused_or_describes_the_same_weights(folder, tiny_checkpoints, data):
    content = json.loads((tiny_checkpoints / "simple_unet" / CONFIG).read_text())
    place = content
    name = data.draw(st.sampled_from(sorted(place)))
    while isinstance(place[name], dict) and place[name] and data.draw(st.booleans()):
        place = place[name]
        name = data.draw(st.sampled_from(sorted(place)))
    place[name] = data.draw(JSON)
    (folder / CONFIG).write_text(json.dumps(content))
    outcome(load_network, folder)


@SMALL_DOSE
@given(spoil=spoilt(1000))
def test_a_description_of_spoilt_bytes_is_refused_or_read(folder, tiny_checkpoints, spoil):
    (folder / CONFIG).write_bytes(spoil((tiny_checkpoints / "simple_unet" / CONFIG).read_bytes()))
    outcome(read_info, folder)


@pytest.mark.parametrize("size", [0, 2**20, 10**9, 2**40, 2**63, 2**64 - 1])
def test_a_header_that_claims_to_be_huge_is_refused(folder, size):
    header = b'{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}'
    (folder / WEIGHTS).write_bytes(size.to_bytes(8, "little") + header + b"xx")
    assert "its SHA-256 differs" in outcome(load_network, folder)
    vouch(folder)
    assert "model.safetensors is not a safetensors file" in outcome(load_network, folder)


@pytest.mark.parametrize("shape", [[2**40], [2**62, 2**62], [-1], [0], []])
def test_a_header_that_claims_huge_tensors_is_refused(folder, shape):
    header = json.dumps({"weight": {"dtype": "F16", "shape": shape, "data_offsets": [0, 2]}}).encode()
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + b"xx")
    vouch(folder)
    assert outcome(load_network, folder)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"channels": [2**20, 2**20, 2**20]}},
        {"model": {"channels": [2**70]}},
        {"model": {"time_embedding_dim": 2**40}},
        {"model": {"num_classes": 10**12}},
        {"diffusion": {"schedule": {"steps": 10**12}, "prediction": "edm"}},
    ],
    ids=str,
)
def test_a_forged_pair_that_asks_for_all_the_memory_is_refused(folder, change):
    content = json.loads((folder / CONFIG).read_text())
    content |= {name: {**content[name], **value} for name, value in change.items()}
    identity = {name: content[name] for name in ("key", "model", "diffusion", "classes")}
    save_file({"weight": torch.zeros(3)}, folder / WEIGHTS, {"diffdemo": json.dumps(identity)})
    (folder / CONFIG).write_text(json.dumps(content))
    vouch(folder)
    assert outcome(load_network, folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "guide/config.json", "map.safetensors", "anything.pkl"])
@pytest.mark.parametrize("write", [lambda o, p: p.write_bytes(pickle.dumps(o)), torch.save], ids=["pickle", "torch"])
def test_a_pickle_with_code_is_not_executed_wherever_it_lies(folder, tmp_path, name, write):
    (folder / "guide").mkdir()
    (folder / name).unlink(missing_ok=True)
    write(Trap(tmp_path / "sprung"), folder / name)
    if name in ("map.safetensors", "guide/config.json"):
        content = json.loads((folder / CONFIG).read_text())
        files = content["files"] | {name: sha256(folder / name)}
        (folder / CONFIG).write_text(json.dumps(content | {"files": files}))
    said = [outcome(load, folder) for load in (load_generator, load_map)]
    assert name == "anything.pkl" or any(said)
    assert not (tmp_path / "sprung").exists()
