"""Checkpoints in int8: half the size, the same pictures, and what is damaged in them is named."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentences import refused

import diffdemo
from diffdemo import CHECKPOINTS, checkpoint
from diffdemo.checkpoint import load_network, load_weights, save_checkpoint
from diffdemo.description import CONFIG, encoding_of, read_info
from diffdemo.errors import CheckpointError, RequestError
from diffdemo.latent.space import psnr
from diffdemo.weights.quantise import dequantise, quantise
from diffdemo.weights.tensor_files import sha256

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_checkpoints, tmp_path) -> Path:
    """A checkpoint in int8 that a test may damage."""
    source, target = tiny_checkpoints / "attention_unet", tmp_path / "attention_unet"
    info = read_info(source)
    save_checkpoint(target, replace(info, metrics={"fid": 12.5}), load_weights(source, info), "int8")
    return target


def edit(folder: Path, **changes) -> None:
    content = json.loads((folder / CONFIG).read_text()) | changes
    (folder / CONFIG).write_text(json.dumps(content))


def put(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Replace the weights, with everything that vouches for them."""
    save_file(tensors, folder / WEIGHTS, {"diffdemo": json.dumps(read_info(folder).identity)})
    edit(folder, files={WEIGHTS: sha256(folder / WEIGHTS)})


def a_large_one(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name, tensor in tensors.items() if tensor.dtype == torch.int8)


def test_large_weights_lie_there_as_int8_with_a_scale_and_the_rest_in_half_precision(folder, tiny_checkpoints):
    source = tiny_checkpoints / "attention_unet"
    weights, kept = load_weights(source, read_info(source)), load_file(folder / WEIGHTS)
    loaded = load_network(folder)[0].state_dict()
    large = [name for name, tensor in weights.items() if tensor.ndim > 1 and tensor.numel() >= 4096]
    assert large and {name for name in kept if name not in weights} == {f"{name}.scale" for name in large}
    for name, weight in weights.items():
        if name in large:
            rounded, scale = quantise(weight)
            assert torch.equal(kept[name], rounded) and torch.equal(kept[f"{name}.scale"], scale)
            assert torch.equal(loaded[name], dequantise(rounded, scale))
        else:
            assert kept[name].dtype == torch.float16 and torch.equal(loaded[name], weight), name
    info = read_info(folder)
    assert info.format == 2 and encoding_of(info) == "int8" and info.metrics == {"fid": 12.5}
    assert encoding_of(read_info(source)) == "fp16"
    assert (folder / WEIGHTS).stat().st_size < (source / WEIGHTS).stat().st_size


def test_what_is_in_half_precision_is_described_as_it_always_was(tiny_checkpoints):
    content = json.loads((tiny_checkpoints / "attention_unet" / CONFIG).read_text())
    assert content["format"] == 1 and "encoded_from" not in content


def test_int8_written_again_is_the_same_to_the_last_byte(folder, tmp_path):
    info = read_info(folder)
    again = save_checkpoint(tmp_path / "again", info, load_weights(folder, info), "int8")
    assert again == info
    for name in (WEIGHTS, CONFIG):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_scale_lies_beside_its_weights_and_counts_with_them(folder, monkeypatch):
    info, before = read_info(folder), load_file(folder / WEIGHTS)
    weights = load_weights(folder, info)
    least = max(
        tensor.nbytes + (before[f"{name}.scale"].nbytes if tensor.dtype == torch.int8 else 0)
        for name, tensor in before.items()
    )
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", least)
    saved = save_checkpoint(folder, info, weights, "int8")
    assert len(saved.files) > 2
    for name in saved.files:
        shard = load_file(folder / name)
        assert sum(tensor.nbytes for tensor in shard.values()) <= least
        for key, tensor in shard.items():
            assert tensor.dtype != torch.int8 or f"{key}.scale" in shard
    again = load_weights(folder, read_info(folder))
    assert all(torch.equal(again[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda t, n: t.pop(f"{n}.scale"), "{n} is int8 and has no {n}.scale"),
        (lambda t, n: t.pop(n), "not those of attention_unet .*{n}.scale"),
        (lambda t, n: t.update({n: t[n].half()}), "{n}.scale is the scale of a weight in int8, and {n} is none"),
        (lambda t, n: t.update({f"{n}.scale": t[f"{n}.scale"][1:].clone()}), "{n}.scale has the shape"),
        (lambda t, n: t.update({f"{n}.scale": t[f"{n}.scale"][:, None].clone()}), "{n}.scale has the shape"),
        (lambda t, n: t.update({f"{n}.scale": t[f"{n}.scale"][0].clone()}), "{n}.scale has the shape"),
        (lambda t, n: t.update({f"{n}.scale": t[f"{n}.scale"].float()}), "{n}.scale is float32 and must be float16"),
        (lambda t, n: t.update({f"{n}.scale": t[f"{n}.scale"].bfloat16()}), "{n}.scale is bfloat16 and must be"),
        (lambda t, n: t.update({f"{n}.scale": t[f"{n}.scale"].char()}), "{n}.scale is int8 and must be float16"),
        (lambda t, n: t[f"{n}.scale"].__setitem__(0, float("nan")), "{n}.scale holds a number that is negative or not"),
        (lambda t, n: t[f"{n}.scale"].__setitem__(-1, float("inf")), "{n}.scale holds a number that is negative or"),
        (lambda t, n: t[f"{n}.scale"].__setitem__(1, -0.5), "{n}.scale holds a number that is negative or not finite"),
        (lambda t, n: t[n].view(-1).__setitem__(7, -128), "{n} holds -128, and -127 is the least"),
        (lambda t, n: t.update({n: t[n].view(-1).clone()}), "{n} is int8 of 1 dimensions, and two are the least"),
        (lambda t, n: t.update({n: torch.tensor(3, dtype=torch.int8)}), "{n} is int8 of 0 dimensions"),
        (lambda t, n: t.update({n: t[n].view(torch.uint8)}), "{n} is uint8, which the encoding int8 has no place for"),
        (lambda t, n: t.update({n: t[n].int()}), "{n} is int32, which the encoding int8 has no place for"),
        (lambda t, n: t.update({n: t[n].bool()}), "{n} is bool, which the encoding int8 has no place for"),
        (lambda t, n: t.update({n: t[n][1:].clone()}), "{n}.scale has the shape"),
        (lambda t, n: t.update({n: torch.zeros(0, 3, dtype=torch.int8)}), "{n}.scale has the shape"),
        (
            lambda t, n: t.update({n: t[n][:, 1:].clone()}),
            "not those of attention_unet as its config.json describes it .*{n}",
        ),
        (
            lambda t, n: t.update({f"{n}.scale.scale": t[f"{n}.scale"].clone()}),
            "{n}.scale.scale is the scale of a weight in int8, and {n}.scale is none",
        ),
        (
            lambda t, n: t.update({"x" * 5000: torch.zeros(2, 2, dtype=torch.int8)}),
            "holds something else than weights",
        ),
    ],
)
def test_what_is_damaged_is_refused_by_name(folder, damage, said):
    tensors = load_file(folder / WEIGHTS)
    name = a_large_one(tensors)
    damage(tensors, name)
    put(folder, tensors)
    with refused(CheckpointError, said.format(n=name)):
        load_network(folder)


def test_int8_in_a_description_of_format_1_is_refused(folder):
    edit(folder, format=1)
    name = a_large_one(load_file(folder / WEIGHTS))
    with refused(CheckpointError, f"{name} is int8, which the encoding fp16 has no place for"):
        load_network(folder)


def test_where_the_weights_come_from_must_be_an_object(folder):
    edit(folder, encoded_from="fp16")
    with refused(CheckpointError, "encoded_from is no object"):
        read_info(folder)


@pytest.mark.parametrize(("number", "said"), [(float("nan"), "not finite"), (1e9, "too large")])
def test_weights_that_int8_has_no_place_for_leave_the_checkpoint_as_it_was(folder, number, said):
    info, before = read_info(folder), (folder / WEIGHTS).read_bytes()
    weights = load_weights(folder, info)
    name = a_large_one(load_file(folder / WEIGHTS))
    weights[name].view(-1)[5] = number
    with refused(CheckpointError, f"The weight {name} holds numbers that are {said}, .*keep it in fp16"):
        save_checkpoint(folder, info, weights, "int8")
    with refused(RequestError, "There is no encoding of weights 'int4'; choose one of: fp16, int8"):
        save_checkpoint(folder, info, weights, "int4")
    assert (folder / WEIGHTS).read_bytes() == before and read_info(folder) == info


def test_pictures_from_int8_look_like_those_from_half_precision(tmp_path):
    """Ten pictures of trained weights in 20 steps: what an untrained network draws hides what rounding does."""
    source = CHECKPOINTS / "latent_diffusion"
    info, pictures = read_info(source), {}
    weights = load_weights(source, info)
    random = torch.Generator().manual_seed(0)
    for name, weight in weights.items():
        if weight.ndim > 1:  # which may be what int8 rounded; they were anywhere within half a scale before
            scale = quantise(weight)[1].float().reshape(-1, *[1] * (weight.ndim - 1))
            weights[name] = weight + scale * (torch.rand(weight.shape, generator=random) - 0.5)
    for encoding in ("fp16", "int8"):
        save_checkpoint(tmp_path / encoding, info, weights, encoding)
        pictures[encoding] = (
            diffdemo.load(str(tmp_path / encoding), device="cpu").sample(steps=20, seeds=range(10)) / 255
        )
    assert not np.array_equal(pictures["fp16"], pictures["int8"])
    assert psnr(pictures["fp16"], pictures["int8"]).min() >= 40
