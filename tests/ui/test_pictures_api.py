"""What the Forward and the Classify tab do, without a browser, and their endpoints."""

import base64

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from benchmarks.support.browser import served
from diffdemo.errors import RequestError
from diffdemo.measure.diffusion_classifier import classify
from diffdemo.registry import SPECS
from diffdemo.trajectory import Trajectory, curves
from diffdemo.ui.components.picker import chosen, offer
from diffdemo.ui.parts import sources, wiring
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.stream import stream, whole
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs import classify as classify_tab
from diffdemo.ui.tabs import forward

PICTURE = np.random.default_rng(8).integers(0, 256, (32, 32, 3), dtype=np.uint8)
every_model = pytest.mark.parametrize("key", SPECS)
with_classes = pytest.mark.parametrize("key", [key for key, spec in SPECS.items() if spec.classes])


@pytest.fixture(scope="module")
def client(zoo):
    with served(zoo) as address:
        yield Client(address, verbose=False)


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    return handle_file(str(tmp_path / "a.png"))


def pixels(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), np.uint8).reshape(-1, 32, 32, 3)


# --- the Forward tab --------------------------------------------------------------------------------------------------


@every_model
def test_a_scene_shows_the_models_own_trajectory(zoo, key):
    scene, model = forward.scene(zoo, PICTURE, key, "5", 321), zoo[key]
    trajectory = Trajectory(model, PICTURE[None], [5])
    for name, state in {"x_t": trajectory.at(321), "x0": trajectory.x0, "eps": trajectory.eps}.items():
        assert np.array_equal(pixels(scene[name]), model.images(state)), name
    assert scene["stops"] == [0, 8, 44, 177, 440, 673, 851, 999] and set(scene["stops"]) <= set(scene["film"]["t"])
    falls = np.diff(np.log(model.diffusion.schedule.snr[scene["stops"]]))
    np.testing.assert_allclose(falls, falls.mean(), rtol=0.05)
    for t, shown in zip(scene["film"]["t"], pixels(scene["film"]["pictures"]), strict=True):
        assert abs(shown.astype(int) - model.images(trajectory.at(t))[0]).max() <= 1
    sent = np.frombuffer(base64.b64decode(scene["curves"]), "<f4").reshape(3, 1000)
    assert np.array_equal(sent, curves(model.diffusion.schedule))
    assert scene["decoded"] == (key == "latent_diffusion")
    moved = forward.moment(zoo, PICTURE, key, "5", 322)
    assert moved["of"] == scene["of"] and moved["x_t"] != scene["x_t"]


def test_another_picture_model_or_seed_is_another_scene(zoo):
    asked = [(PICTURE, "simple_unet", "1"), (PICTURE, "simple_unet", "2"), (PICTURE, "attention_unet", "1")]
    asked.append((PICTURE[::-1], "simple_unet", "1"))
    assert len({forward.moment(zoo, *of, 5)["of"] for of in asked}) == 4


@every_model
@pytest.mark.parametrize(("t", "steps", "taken"), [(999, 5, 5), (300, 5, 5), (3, 20, 4), (0, 20, 1)])
def test_denoising_starts_with_the_very_state_on_display(zoo, key, t, steps, taken):
    class_name = zoo.classes(key)[-1]
    lane = forward.start(zoo, PICTURE, Settings(key, class_name, steps, "ddim", 1, "5"), t)
    message = whole(stream([lane]))
    assert message["state"] == "done" and lane.total == taken == len(message["frames"])
    assert message["lanes"][0]["title"].startswith(f"From t = {t}: ")
    first = message["frames"]["0"][0]
    assert first["t"] == t and first["x_t"] == forward.moment(zoo, PICTURE, key, "5", t)["x_t"]


def test_without_a_picture_one_sentence_asks_for_it(zoo):
    for ask in (
        lambda: forward.scene(zoo, None, "simple_unet", "1", 5),
        lambda: forward.start(zoo, None, Settings("simple_unet", "cat", 5, "ddim", 1, "1"), 5),
        lambda: classify_tab.start(zoo, None, "simple_unet"),
    ):
        with pytest.raises(RequestError, match="There is no picture yet; upload one or choose"):
            ask()


def test_a_picture_from_the_browser_is_checked():
    asked = {"picture": base64.b64encode(PICTURE.tobytes()).decode()}
    assert np.array_equal(chosen(asked), PICTURE)
    for wrong in ("AAAA", "???", "", 7, None):
        with pytest.raises(RequestError, match="32 x 32 pixels of uint8 RGB in base64"):
            chosen({"picture": wrong})
    for wrong in ({}, None, "picture"):
        with pytest.raises(RequestError, match="32 x 32 pixels"):
            chosen(wrong)


def test_examples_are_drawn_by_a_model_that_is_there(zoo):
    examples = sources.Examples.draw(zoo)
    expected = zoo["attention_unet"].sample("horse", seeds=[sources.SEED + 1], steps=sources.STEPS, sampler="dpmpp")
    place = sources.CLASSES.index("horse")
    assert abs(examples.pictures[place].astype(int) - expected[0]).max() <= 1
    assert examples.labels[place] == f"horse, drawn by Attention UNet, seed {sources.SEED + 1}"
    assert examples.drawn_by_itself("attention_unet", examples.pictures[place])
    assert not examples.drawn_by_itself("simple_unet", examples.pictures[place])
    assert not examples.drawn_by_itself("attention_unet", PICTURE)
    alone = sources.Examples.draw(ModelZoo({"ddpm_unet": zoo["ddpm_unet"]}, {}))
    assert alone.pictures.shape == (4, 32, 32, 3) and alone.labels[0].startswith("any, drawn by DDPM UNet")
    assert len(pixels(offer(alone.pictures, alone.labels)["pictures"])) == 4


# --- the Classify tab -------------------------------------------------------------------------------------------------


@with_classes
def test_the_chart_gets_what_the_package_says(zoo, key):
    started = classify_tab.start(zoo, PICTURE, key, 6, "3")
    *_, last = classify_tab.stream(zoo, classify_tab.Pace(), *started, 6)
    scores = classify(zoo[key], PICTURE[None], 6, 3)
    assert (last["state"], last["draws"], last["total"], last["evaluations"]) == ("done", 6, 6, scores.evaluations)
    assert last["probabilities"] == scores.probabilities[0].tolist()
    np.testing.assert_allclose(last["errors"], scores.errors[0] - scores.errors[0].min(), atol=1e-12)
    assert last["margins"] == scores.standard_errors[0].tolist()
    assert last["autoencoder"]["classes"] == ["cat", "dog"]
    expected = zoo["latent_diffusion"].class_probabilities(PICTURE[None])[0]
    np.testing.assert_allclose(last["autoencoder"]["probabilities"], expected, rtol=1e-5)


def test_the_answer_is_refined_draw_by_draw_and_stops_at_once(zoo, monkeypatch):
    monkeypatch.setattr(classify_tab, "SECONDS_BETWEEN_MESSAGES", 0)
    halted = iter([False, False, True])
    started = classify_tab.start(zoo, PICTURE, "simple_unet", 50)
    messages = list(classify_tab.stream(zoo, classify_tab.Pace(), *started, 50, lambda: next(halted)))
    assert [(message["draws"], message["state"]) for message in messages] == [
        (1, "running"),
        (2, "running"),
        (3, "stopped"),
    ]
    assert messages[0]["margins"] == [None] * 10 and None not in messages[1]["margins"]
    assert len({message["run"] for message in messages}) == 1
    late = classify_tab.start(zoo, PICTURE, "simple_unet", 50)
    *_, last = classify_tab.stream(zoo, classify_tab.Pace(), *late, 50, limit=0)
    assert (last["state"], last["draws"]) == ("late", 1)


def test_without_the_autoencoder_there_is_only_the_diffusion_classifier(zoo):
    alone = ModelZoo({"simple_unet": zoo["simple_unet"]}, {})
    *_, last = classify_tab.stream(alone, classify_tab.Pace(), *classify_tab.start(alone, PICTURE, "simple_unet", 2), 2)
    assert last["autoencoder"] is None
    assert classify_tab.keys(zoo) == ["simple_unet", "attention_unet", "patch_unet", "latent_diffusion"]
    assert classify_tab.keys(ModelZoo({"ddpm_unet": zoo["ddpm_unet"]}, {})) == []


def test_the_cost_is_counted_and_measured(zoo):
    pace = classify_tab.Pace()
    assert "20 draws × 2 classes = **40 network evaluations**, about " in pace.cost(zoo["patch_unet"], 20)
    pace.note(zoo["patch_unet"], 2.0, 10)
    assert pace.cost(zoo["patch_unet"], 20).endswith("about 8.0 s on this machine; a GPU would be much faster.")
    pace.note(zoo["patch_unet"], 60.0, 10)
    assert "about 4 minutes on this machine" in pace.cost(zoo["patch_unet"], 20)


# --- their endpoints --------------------------------------------------------------------------------------------------


@every_model
def test_the_api_hides_a_picture_in_noise(client, zoo, picture, key):
    seed = 2**64 - 1
    shown, numbers = client.predict(picture, model=key, t=250, seed=str(seed), api_name="/forward")
    trajectory = Trajectory(zoo[key], PICTURE[None], [seed])
    assert np.array_equal(np.asarray(Image.open(shown)), zoo[key].images(trajectory.at(250))[0])
    assert numbers == pytest.approx(vars(trajectory.level(250)))


@every_model
def test_the_api_denoises_from_the_way(client, zoo, picture, key):
    class_name = zoo.classes(key)[-1]
    asked = {"model": key, "class_name": class_name, "t": 400, "steps": 4, "seed": "5", "sampler": "ddpm"}
    shown, settings = client.predict(picture, **asked, guidance=1, api_name="/denoise_from")
    x_t = Trajectory(zoo[key], PICTURE[None], [5]).at(400)
    run = zoo[key].denoise(class_name, steps=4, seeds=[5], sampler="ddpm", guidance_scale=1, start=(x_t, 400))
    *_, last = run
    assert np.array_equal(np.asarray(Image.open(shown)), zoo[key].images(last.x_prev)[0])
    assert (settings["t"], settings["steps"], settings["model"]) == (400, 4, key)


@with_classes
def test_the_api_classifies(client, zoo, picture, key):
    answer = client.predict(picture, model=key, draws=3, seed="6", api_name="/classify")
    scores = classify(zoo[key], PICTURE[None], 3, 6)
    assert (answer["best"], answer["evaluations"]) == (scores.best[0], scores.evaluations)
    shown = [answer["classes"][name]["probability"] for name in scores.classes]
    np.testing.assert_allclose(shown, scores.probabilities[0], rtol=1e-6)
    assert ("autoencoder" in answer) == (key == "latent_diffusion")


@pytest.mark.parametrize(
    ("endpoint", "wrong", "sentence"),
    [
        ("/forward", {"t": 1000}, "t must be a whole number from 0 to 999, not 1000."),
        ("/forward", {"seed": "abc"}, "seed must be a whole number from 0 to 18446744073709551615, not 'abc'."),
        ("/denoise_from", {"t": -1}, "t must be a whole number from 0 to 999, not -1."),
        ("/denoise_from", {"steps": 0}, "steps must be a whole number from 1 to 1000, not 0."),
        ("/denoise_from", {"class_name": "cow"}, "There is no class 'cow'; choose one of: airplane"),
        ("/classify", {"draws": 0}, "draws must be a whole number from 1 to 1000, not 0."),
        ("/classify", {"model": "ddpm_unet"}, "ddpm_unet is unconditional and has no classes to tell apart"),
        ("/classify", {"model": "vae"}, "There is no model 'vae'; choose one of: simple_unet"),
        ("/classify", {"picture": None}, "There is no picture yet; upload one or choose one of those on the page."),
    ],
)
def test_the_api_refuses_in_one_sentence(client, picture, endpoint, wrong, sentence):
    with pytest.raises(AppError) as error:
        client.predict(**{"picture": picture, **wrong}, api_name=endpoint)
    assert sentence in str(error.value)


def odd_pictures(folder):
    """Pictures nobody expects, and what is said of them; None where they work."""
    (folder / "none.png").write_text("no picture")
    yield "none.png", "none.png cannot be read as a picture"
    Image.new("RGB", (1, 1), "red").save(folder / "dot.png")
    yield "dot.png", None
    Image.new("RGB", (20_000, 2)).save(folder / "wide.png")
    yield "wide.png", "wide.png has 20,000 x 2 pixels; at most 16,384 a side"
    Image.new("RGBA", (40, 30), (0, 0, 0, 0)).save(folder / "clear.png")
    yield "clear.png", None
    Image.new("I;16", (50, 50), 30_000).save(folder / "deep.png")
    yield "deep.png", None


def test_odd_pictures_work_or_get_one_sentence(client, tmp_path):
    for name, said in odd_pictures(tmp_path):
        asked = handle_file(str(tmp_path / name))
        if said is None:
            assert client.predict(asked, model="simple_unet", draws=1, api_name="/classify")["draws"] == 1
            continue
        with pytest.raises(AppError) as error:
            client.predict(asked, model="simple_unet", t=5, api_name="/forward")
        assert said in str(error.value) and "/" not in str(error.value).split(name)[0]


def test_a_space_ends_long_classifications(client, picture, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/diffdemo")
    monkeypatch.setattr(wiring, "SECONDS_ON_A_SPACE", 0.001)
    with pytest.raises(AppError, match=r"A run may take 0\.001 seconds here; ask for fewer draws\."):
        client.predict(picture, model="simple_unet", draws=100, api_name="/classify")


def test_a_picture_from_a_phone_of_some_megabytes_is_taken(client, tmp_path):
    """It is noise, so that it is large and quickly made; its middle is what is left of it."""
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    assert (tmp_path / "photo.png").stat().st_size > 5e6
    _, numbers = client.predict(handle_file(str(tmp_path / "photo.png")), t=0, api_name="/forward")
    assert numbers["t"] == 0
