"""Guidance: where it applies, what guides, what it costs, and how a checkpoint gets a weaker model to be guided by."""

import json
import math
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import save_tiny_checkpoint
from hypothesis import given
from hypothesis import strategies as st
from sentences import refused

import diffdemo
from diffdemo.__main__ import main
from diffdemo.checkpoint import load_network, parameter_count, save_checkpoint
from diffdemo.description import CONFIG, GUIDE, GUIDE_CONFIG, read_info, write_info
from diffdemo.errors import CheckpointError, RequestError
from diffdemo.generator import Generator
from diffdemo.loading import load_generator
from diffdemo.models.unet import UNet
from diffdemo.process.diffusion import eps_from_x0
from diffdemo.process.guidance import Guidance, parse_interval
from diffdemo.process.samplers import SeededNoise
from diffdemo.weights.tensor_files import sha256
from train.evaluate.draw import Draw
from train.install import install

levels = st.floats(0, 1e5, allow_subnormal=False)


@given(st.tuples(levels, levels).filter(lambda pair: pair[0] < pair[1]))
def test_an_interval_reads_back_from_its_text(interval):
    assert parse_interval(Guidance(2.0, interval).interval_text) == interval
    assert parse_interval(list(interval)) == interval


def test_no_interval_is_everywhere():
    assert parse_interval(None) is None and parse_interval(" ALL ") is None
    assert Guidance(3.0).interval_text == "all"
    assert Guidance(3.0).at(0) == Guidance(3.0).at(1e9) == 3.0


@pytest.mark.parametrize("value", ["", "3", "5,3", "3,3", "a,b", "1,2,3", "-1,2", "nan,2", "0,inf", 3, (1,), [None, 2]])
def test_what_is_no_interval_is_refused(value):
    with refused(RequestError, r"The guidance interval must be two noise levels sigma .*such as 0\.3,5, or all, not"):
        parse_interval(value)


@given(st.floats(0, 20), levels, levels, levels)
def test_a_scale_counts_above_low_and_up_to_high(scale, low, high, sigma):
    assert Guidance(scale, (low, high)).at(sigma) == (scale if low < sigma <= high else 1)


def test_guidance_goes_through_both_guesses():
    x0, worse = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(Guidance(1.0).combine(x0, worse), x0)
    assert torch.equal(Guidance(0.0).combine(x0, worse), worse)
    torch.testing.assert_close(Guidance(3.0).combine(x0, worse), 3 * x0 - 2 * worse)


@pytest.fixture(scope="module")
def guided(tmp_path_factory) -> Path:
    """A tiny attention UNet, and another one, which is its guide."""
    root = tmp_path_factory.mktemp("guided")
    save_tiny_checkpoint(root / "strong", "attention_unet")
    save_tiny_checkpoint(root / "weak", "attention_unet", seed=1)
    return install(root / "strong" / "attention_unet", root / "guided", weak_model=root / "weak" / "attention_unet")


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory) -> Path:
    """A tiny DDPM UNet with a guide."""
    root = tmp_path_factory.mktemp("unconditional")
    save_tiny_checkpoint(root / "strong", "ddpm_unet")
    save_tiny_checkpoint(root / "weak", "ddpm_unet", seed=1)
    shown = {"guidance_scale": 2, "guide": "weak-model", "steps": 4}
    return install(root / "strong" / "ddpm_unet", root / "ddpm_unet", "fp16", root / "weak" / "ddpm_unet", **shown)


def by_hand(model: Generator, label: int | None, steps: int, seed: int, scale, worse) -> np.ndarray:
    """DDIM written out, guided by `scale(sigma)` away from `worse(x, t)`."""
    schedule, x = model.diffusion.schedule, SeededNoise([seed], model.shape)()
    of = torch.tensor([len(model.classes) if label is None else label])
    visited = schedule.timesteps(steps)
    for t, after in zip(visited, [*visited[1:], None], strict=True):
        step, a = torch.tensor([t]), torch.tensor(schedule.alpha_bar[t], dtype=torch.float32)
        x0 = model.predict_x0(x, step, of)
        if (w := scale(math.sqrt((1 - a) / a))) != 1:
            x0 = worse(x, step) + w * (x0 - worse(x, step))
        x0 = x0.clamp(-1, 1)
        eps = eps_from_x0(x, x0, a)
        next_a = 1.0 if after is None else float(schedule.alpha_bar[after])
        x = math.sqrt(next_a) * x0 + math.sqrt(1 - next_a) * eps
    return model.images(x)


@torch.inference_mode()
@pytest.mark.parametrize("interval", ["all", "0.3,5", "50,1000", "1000,2000"])
@pytest.mark.parametrize("guide", ["no-class", "weak-model"])
def test_a_run_is_guided_as_the_formula_says(guided, interval, guide):
    model = load_generator(guided, "cpu")
    asked = {"steps": 7, "sampler": "ddim", "guidance_scale": 3, "guidance_interval": interval, "guide": guide}
    drawn = model.sample("horse", seeds=[5], **asked)
    label, null = model.classes.index("horse"), torch.tensor([len(model.classes)])
    if guide == "no-class":
        worse = lambda x, t: model.predict_x0(x, t, null)  # noqa: E731
    else:
        worse = lambda x, t: model.guide.predict_x0(x, t, torch.tensor([label]))  # noqa: E731
    expected = by_hand(model, label, 7, 5, Guidance(3.0, parse_interval(interval)).at, worse)
    assert abs(drawn.astype(int) - expected.astype(int)).max() <= 1
    plain = model.sample("horse", seeds=[5], steps=7, sampler="ddim", guidance_scale=1)
    assert (interval == "1000,2000") == bool(np.array_equal(drawn, plain))


@pytest.mark.parametrize(
    ("settings", "evaluations"),
    [
        ({"guidance_scale": 1}, (7, 0)),
        ({}, (14, 7)),
        ({"guidance_interval": "0.3,5"}, (10, 3)),  # of sigma 157, 41, 13, 5.1, 2.4, 1.1 and 0.49
        ({"guidance_interval": "0.3,5", "sampler": "heun"}, None),
        ({"guide": "weak-model"}, (14, 7)),
        ({"guide": "weak-model", "class_name": None}, (14, 7)),
        ({"class_name": None}, (7, 0)),
    ],
)
def test_what_a_step_says_it_took_is_what_the_networks_were_asked(guided, settings, evaluations):
    model, counted = load_generator(guided, "cpu"), {"own": 0, "guide": 0}
    for name, of in (("own", model), ("guide", model.guide)):
        hook = lambda _, inputs, name=name: counted.update({name: counted[name] + len(inputs[0])})  # noqa: E731
        of.network.register_forward_pre_hook(hook)
    settings = {"class_name": "horse", "guidance_scale": 3, "steps": 7, "sampler": "ddim", **settings}
    *_, last = model.denoise(seeds=[1, 2], **settings)
    assert sum(counted.values()) == 2 * last.nfe
    assert counted["guide"] == (2 * last.guide_nfe if settings.get("guide") == "weak-model" else 0)
    if evaluations:
        assert (last.nfe, last.guide_nfe) == evaluations
    # and measurements can tell it beforehand
    del settings["class_name"]
    assert settings.get("guide") or Draw.of(model, **settings).evaluations(model) >= last.nfe


def test_a_model_without_classes_is_guided_by_a_weaker_one_only(unconditional):
    model = load_generator(unconditional, "cpu")
    assert model.info.guidance == Guidance(2.0, None, "weak-model")
    *_, last = model.denoise(seeds=[1])
    assert (last.index, last.nfe, last.guide_nfe) == (3, 8, 4)
    guided, plain, further = (model.sample(seeds=[1], guidance_scale=w) for w in (None, 1, 4))
    assert not np.array_equal(guided, plain) and not np.array_equal(guided, further)
    with refused(RequestError, "ddpm_unet is unconditional and takes no guidance but 1, or the guide weak-model, not"):
        model.denoise(guide="no-class")
    alone = Generator(model.network, replace(model.info, defaults=model.info.defaults | {"guide": "no-class"}), "cpu")
    assert np.array_equal(alone.sample(seeds=[1], guidance_scale=1), plain)


def test_a_weaker_model_must_be_there(tiny_checkpoints):
    model = load_generator(tiny_checkpoints / "attention_unet", "cpu")
    with refused(RequestError, "The checkpoint of attention_unet holds no weaker model to guide it; use the guide"):
        model.sample("horse", guide="weak-model")
    assert model.sample("horse", guide="weak-model", guidance_scale=1, steps=1).shape == (1, 32, 32, 3)
    with refused(RequestError, "There is no guide 'strong'; choose one of: no-class, weak-model"):
        model.sample("horse", guide="strong")


def test_what_a_checkpoint_is_shown_with_is_what_is_left_out(guided, tmp_path):
    shown = {"steps": 6, "guidance_scale": 3, "guidance_interval": "0.3,5", "guide": "weak-model", "spacing": "karras"}
    shown["eps_scale"] = 1.02
    folder = install(guided, tmp_path / "shown", **shown)
    model = diffdemo.load(str(folder), device="cpu")
    named = diffdemo.load(str(guided), device="cpu").sample("dog", seeds=[3], sampler="dpmpp", **shown)
    assert np.array_equal(model.sample("dog", seeds=[3]), named)
    assert not np.array_equal(model.sample("dog", seeds=[3], guidance_interval="all"), named)
    again = install(folder, tmp_path / "shown", steps=5)
    assert read_info(again).defaults == read_info(folder).defaults | {"steps": 5}
    assert read_info(again).defaults["guidance_interval"] == [0.3, 5.0]


def test_the_command_line_guides_alike(guided, tmp_path, capsys):
    settings = ["--class", "cat", "--steps", "4", "--seed", "9", "--guidance", "3"]
    how = ["--guidance-interval", "0.3,5", "--guide", "weak-model", "--npy", str(tmp_path / "a.npy")]
    assert main(["sample", "--model", str(guided), *settings, *how]) == 0
    expected = diffdemo.load(str(guided), device="cpu").sample(
        "cat", steps=4, seeds=[9], guidance_scale=3, guidance_interval=(0.3, 5), guide="weak-model"
    )
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected)
    assert main(["sample", "--model", str(guided), "--guidance-interval", "5,0.3"]) != 0
    assert "The guidance interval must be two noise levels sigma" in capsys.readouterr().err


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_installing_again_changes_nothing(guided, tmp_path):
    assert contents(install(guided, tmp_path / "again")) == contents(guided)


def test_an_installed_guide_is_weights_and_description_alone(guided):
    assert sorted(p.name for p in (guided / GUIDE).iterdir()) == [CONFIG, "model.safetensors"]
    info = read_info(guided)
    assert info.files[GUIDE_CONFIG] == sha256(guided / GUIDE_CONFIG)
    assert set(info.weights) == {"model.safetensors"}


@pytest.mark.parametrize("name", [GUIDE_CONFIG, f"{GUIDE}/model.safetensors"])
@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_a_damaged_guide_is_refused_by_name(guided, tmp_path, name, damage):
    folder = Path(shutil.copytree(guided, tmp_path / "damaged"))
    if damage == "removed":
        (folder / name).unlink()
    else:
        content = bytearray((folder / name).read_bytes())
        content[-5] ^= 1
        (folder / name).write_bytes(content)
    with refused(CheckpointError, f"{name} (is missing|.*was changed)"):
        diffdemo.load(str(folder), device="cpu")
    with refused(CheckpointError, f"{name} (is missing|.*was changed)"):
        install(folder, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_guide_must_be_of_the_same_kind(tmp_path):
    for key in ("attention_unet", "simple_unet"):
        save_tiny_checkpoint(tmp_path, key)
    info = read_info(tmp_path / "attention_unet")
    schedule = info.diffusion["schedule"] | {"beta_end": 0.01}
    network, _ = load_network(tmp_path / "attention_unet")
    save_checkpoint(
        tmp_path / "quieter", replace(info, diffusion=info.diffusion | {"schedule": schedule}), network.state_dict()
    )
    config = replace(network.config, num_classes=2)
    other = UNet(config)
    fewer = replace(info, model=asdict(config), classes=("cat", "dog"), parameters=parameter_count(other))
    save_checkpoint(tmp_path / "fewer", fewer, other.state_dict())
    target = tmp_path / "target"
    for weak, sentence in (
        ("simple_unet", "is no weaker version of the attention_unet beside it"),
        ("fewer", "is no weaker version of the attention_unet beside it"),
        ("quieter", "has another noise schedule than"),
    ):
        with refused(CheckpointError, sentence):
            install(tmp_path / "attention_unet", target, weak_model=tmp_path / weak)
        assert not target.exists()


def test_a_description_that_asks_for_a_guide_it_lacks_is_refused(tiny_checkpoints, tmp_path):
    folder = Path(shutil.copytree(tiny_checkpoints / "attention_unet", tmp_path / "edited"))
    info = read_info(folder)
    for defaults, sentence in (
        ({"guide": "weak-model"}, "the guide is weak-model, and files names none"),
        ({"guide": "stronger"}, "There is no guide 'stronger'"),
        ({"guidance_interval": [5, 1]}, "The guidance interval must be two noise levels"),
        ({"guidance_interval": {}}, "The guidance interval must be two noise levels"),
    ):
        write_info(folder, replace(info, defaults=info.defaults | defaults))
        with refused(CheckpointError, sentence):
            read_info(folder)


def test_a_draw_names_everything_that_its_pictures_depend_on(guided):
    model = load_generator(guided, "cpu")
    plain = Draw.of(model, steps=4)
    others = [
        Draw.of(model, steps=4, guidance_scale=3),
        Draw.of(model, steps=4, guidance_interval="0.3,5"),
        Draw.of(model, steps=4, guide="weak-model"),
    ]
    assert len({draw.name(model) for draw in (plain, *others)}) == 4
    identity = json.loads(json.dumps(others[-1].identity(model)))
    assert identity["guide_weights"] == model.guide.info.weights
    assert [draw.evaluations(model) for draw in (plain, others[1])] == [8, 6]  # sigma is 157, 17, 3.4 and 0.95
    assert plain.identity(model)["guide_weights"] is None
