"""The page's named endpoints, and the command line of app.py."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from benchmarks.support.browser import open_shelf, served
from diffdemo.figures.raster import image_grid
from diffdemo.ui import options
from diffdemo.ui.page import serve
from diffdemo.ui.parts import wiring
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.zoo import ModelZoo


@pytest.fixture(scope="module")
def zoo(tiny_checkpoints) -> ModelZoo:
    return open_shelf(tiny_checkpoints)


@pytest.fixture(scope="module")
def client(zoo):
    with served(zoo) as address:
        yield Client(address, verbose=False)


def test_the_api_returns_the_pictures_of_the_seeds(client, zoo):
    seed = 2**64 - 2
    gallery, settings = client.predict(
        model="simple_unet", class_name="dog", steps=6, seed=str(seed), n=2, sampler="heun", guidance=1.5,
        api_name="/generate",
    )  # fmt: skip
    expected = zoo["simple_unet"].sample("dog", steps=6, seeds=[seed, seed + 1], sampler="heun", guidance_scale=1.5)
    assert np.array_equal([np.asarray(Image.open(item["image"])) for item in gallery], expected)
    assert settings["seeds"] == [str(seed), str(seed + 1)]
    assert settings["network_evaluations"] == 22


def test_what_a_client_leaves_out_is_the_models_own(all_checkpoints):
    zoo = open_shelf(all_checkpoints)
    with served(zoo) as address:
        client = Client(address, verbose=False)
        for key in ("ddpm_unet", "patch_unet", "latent_diffusion"):
            _, settings = client.predict(model=key, steps=1, api_name="/generate")
            own = dict(vars(Settings.of(zoo, key, steps=1)))
            del own["seed"], own["count"]
            assert {name: settings[name] for name in own} == own
        asked = {"model_a": "ddpm_unet", "model_b": "patch_unet", "model_d": "latent_diffusion"}
        *_, settings = client.predict(**asked, steps_a=1, steps_b=1, steps_d=1, api_name="/compare")
        assert [side["class_name"] for side in settings] == ["any"] * 3
        assert [side["guidance"] for side in settings] == [Settings.of(zoo, key).guidance for key in asked.values()]
        assert settings[2]["sampler"] == "ddpm"
        *_, settings = client.predict(model_a="patch_unet", model_b="latent_diffusion", api_name="/compare")
        assert [side["class_name"] for side in settings] == ["dog"] * 2


def test_the_api_compares(client, zoo):
    *galleries, settings = client.predict(steps_a=3, steps_b=4, seed="9", n=1, api_name="/compare")
    assert galleries[2:] == [[], []]
    for gallery, key, steps in zip(galleries[:2], ("simple_unet", "attention_unet"), (3, 4), strict=True):
        expected = zoo[key].sample("horse", steps=steps, seeds=[9])
        assert np.array_equal(np.asarray(Image.open(gallery[0]["image"])), expected[0])
    assert [side["model"] for side in settings] == ["simple_unet", "attention_unet"]


def test_the_api_compares_four(client, zoo):
    models = {f"model_{name}": "simple_unet" for name in "abcd"}
    steps = {f"steps_{name}": 2 + place for place, name in enumerate("abcd")}
    *galleries, settings = client.predict(**models, **steps, seed="9", n=2, same_noise=False, api_name="/compare")
    assert [side["sampler"] for side in settings] == ["dpmpp", "dpmpp", "ddim", "ddpm"]
    for place, (gallery, side) in enumerate(zip(galleries, settings, strict=True)):
        seeds = [9 + 2 * place, 10 + 2 * place]
        expected = zoo["simple_unet"].sample("horse", steps=2 + place, sampler=side["sampler"], seeds=seeds)
        assert np.array_equal([np.asarray(Image.open(item["image"])) for item in gallery], expected)


def test_the_api_saves_the_last_run(zoo):
    with served(zoo) as address:
        client = Client(address, verbose=False)
        with pytest.raises(AppError, match="There is no run to save yet; call /generate first"):
            client.predict("png", api_name="/save")
        client.predict(steps=5, seed="3", n=2, api_name="/generate")
        png, gif = (Path(client.predict(kind, api_name="/save")) for kind in ("png", "gif"))
        assert (png.name, gif.name) == ("attention_unet-horse-3-to-4.png", "attention_unet-horse-3-to-4.gif")
        expected = image_grid(zoo["attention_unet"].sample("horse", steps=5, seeds=[3, 4]), scale=4)
        assert np.array_equal(np.asarray(Image.open(png)), expected)
        assert Image.open(gif).n_frames == 6
        with pytest.raises(AppError, match="There is no format 'bmp'; choose one of: png, gif, mp4"):
            client.predict("bmp", api_name="/save")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps must be a whole number from 1 to 1000, not 0."),
        ({"steps": "abc"}, "steps must be a whole number from 1 to 1000, not 'abc'."),
        ({"steps": 3.5}, "steps must be a whole number from 1 to 1000, not 3.5."),
        ({"n": 9}, "the number of images must be a whole number from 1 to 8, not 9."),
        ({"model": "vae"}, "There is no model 'vae'; choose one of: simple_unet, attention_unet."),
        ({"class_name": "cow"}, "There is no class 'cow'; choose one of: airplane"),
        ({"sampler": "euler"}, "There is no sampler 'euler'; choose one of: "),
        ({"seed": str(2**64 - 1), "n": 2}, "seed must leave room for 2 images below 2^64"),
    ],
)
def test_the_api_refuses_in_one_sentence(client, wrong, sentence):
    with pytest.raises(AppError) as error:
        client.predict(**wrong, api_name="/generate")
    assert sentence in str(error.value)


def test_unexpected_errors_show_no_details(client, monkeypatch):
    monkeypatch.setattr(SamplingRun, "advance", lambda *_: 1 / 0)
    with pytest.raises(AppError) as error:
        client.predict(api_name="/generate")
    assert "division" not in str(error.value)


def test_a_space_ends_long_runs(client, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/diffdemo")
    monkeypatch.setattr(wiring, "SECONDS_ON_A_SPACE", 0.01)
    with pytest.raises(AppError, match=r"A run may take 0\.01 seconds here; ask for fewer steps or images\."):
        client.predict(steps=1000, api_name="/generate")


def test_only_the_actions_are_public(client):
    described = client.view_api(return_format="dict")
    assert {"/generate", "/save", "/compare"} <= set(described["named_endpoints"])
    assert described["unnamed_endpoints"] == {}


def test_options_come_from_flags_then_from_the_environment():
    environment = {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "7001"}
    assert (options.read([], environment).host, options.read([], environment).port) == ("0.0.0.0", 7001)
    wanted = {"host": "::1", "port": 80, "device": "cpu", "checkpoints": "x", "data": "y", "runs": "z"}
    flags = [part for name, value in wanted.items() for part in (f"--{name}", str(value))]
    assert vars(options.read(flags, environment)) == wanted | {"compile": False}
    assert options.read(["--compile"], environment).compile


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["--port", "99999"], {}, "port must be a whole number from 1 to 65535, not '99999'."),
        ([], {"GRADIO_SERVER_PORT": "abc"}, "port must be a whole number from 1 to 65535, not 'abc'."),
        (["--nonsense"], {}, "Unrecognized arguments: --nonsense; python app.py --help lists what there is."),
        (["--port"], {}, "Argument --port: expected one argument; python app.py --help lists what there is."),
    ],
)
def test_wrong_flags_get_one_sentence(arguments, environment, sentence):
    with pytest.raises(SystemExit) as stop:
        options.read(arguments, environment)
    assert stop.value.code == sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--checkpoints", "{tmp}/nowhere"], "There is no checkpoint in {tmp}/nowhere; train a model or name another"),
        (["--checkpoints", "{tmp}"], "There is no checkpoint in {tmp}; train a model or name another folder."),
        (["--device", "tpu"], "There is no device 'tpu'; choose one of: auto, cpu, cuda, mps."),
        (["--host", "192.0.2.1"], "The page cannot be served at 192.0.2.1, which is no address of this machine; name"),
        (["--host", "no.such.host.invalid"], "served at no.such.host.invalid, which is no address of this machine"),
    ],
)
def test_a_page_that_cannot_open_says_why(arguments, sentence, tmp_path):
    with pytest.raises(SystemExit) as stop:
        serve(options.read([argument.format(tmp=tmp_path) for argument in arguments]))
    assert sentence.format(tmp=tmp_path) in stop.value.code


def test_a_taken_port_is_one_sentence(tiny_checkpoints, client):
    port = client.src.rstrip("/").rsplit(":", 1)[1]
    with pytest.raises(SystemExit) as stop:
        serve(options.read(["--checkpoints", str(tiny_checkpoints), "--port", port, "--host", "127.0.0.1"]))
    assert stop.value.code.startswith(f"The page cannot be served at 127.0.0.1, port {port}")


def test_app_py_exits_with_one_line_and_a_code(tmp_path):
    app = Path(__file__).parents[2] / "app.py"
    command = [sys.executable, str(app), "--checkpoints", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 1
    assert finished.stderr.strip() == f"There is no checkpoint in {tmp_path}; train a model or name another folder."
