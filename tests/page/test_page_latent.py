"""The Latent space tab in a real browser, and its endpoints."""

import json
import shutil
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from page_helpers import PAUSE, fill, held
from PIL import Image
from playwright.sync_api import Page
from torchvision.datasets import CIFAR10

from benchmarks.support.browser import open_shelf, served, viewer, wait_for_run
from diffdemo.data import create_cat_dog_dataset
from diffdemo.errors import CheckpointError
from diffdemo.latent.map import LatentMap, interpolate, load_map
from diffdemo.ui.parts import latent_views as views
from diffdemo.ui.parts.wiring import Around, FirstViews
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.stream import Stops
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs import latent

PICTURE = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)
MAP, POINT, STRIP = "#latent-map .latent_map", "#latent-point .latent_point", "#latent-strip .latent_strip"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The page's data folder; there is nothing in it until a test puts something there."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def zoo(mapped_checkpoints, tmp_path_factory):
    """One model of latents with a map of 40 points, and one of pixels."""
    root = tmp_path_factory.mktemp("mapped")
    for key in ("simple_unet", "latent_diffusion"):
        shutil.copytree(mapped_checkpoints / key, root / key)
    return open_shelf(root)


@pytest.fixture(scope="module")
def address(zoo, data):
    with served(zoo, data=data) as url:
        yield url


@pytest.fixture(scope="module")
def latent_map(zoo) -> LatentMap:
    return load_map(zoo.folder / "latent_diffusion")


@pytest.fixture
def model(zoo):
    return zoo["latent_diffusion"]


def open_latent(page: Page) -> None:
    page.get_by_role("tab", name="Latent space").click()
    wait_for_run(page, "latent")
    page.wait_for_selector(f"{POINT}[data-of]")


def canvases(page: Page, selector: str) -> np.ndarray:
    """What these canvases show, (N, 32, 32, 3) uint8."""
    pixels = page.evaluate(
        """selector => [...document.querySelectorAll(selector)].map(
            canvas => [...canvas.getContext("2d").getImageData(0, 0, 32, 32).data])""",
        selector,
    )
    return np.array(pixels, np.uint8).reshape(-1, 32, 32, 4)[..., :3]


def position(page: Page, index: int) -> list[float]:
    return page.evaluate("([map, index]) => document.querySelector(map).positionOf(index)", [MAP, index])


def click(page: Page, index: int) -> None:
    x, y = position(page, index)
    page.locator(f"{MAP} .chart").click(position={"x": x, "y": y})
    page.wait_for_selector(f"{POINT}[data-of='{index}']")


def test_clicks_and_arrow_keys_show_what_lies_there_and_letters_set_the_ends(open_page, model, latent_map):
    page = open_page()
    open_latent(page)
    lead, stage = page.locator(".lead.prose:visible").bounding_box(), page.locator(MAP).bounding_box()
    assert lead["y"] + lead["height"] <= stage["y"]
    assert len({button.bounding_box()["height"] for button in page.locator(".actions button:visible").all()}) == 1
    for index in (11, 30):
        click(page, index)
        nearest, distances = latent_map.neighbours(latent_map.latents[index], 5, leave_out=index)
        decoded = model.decode(latent_map.latents[[index, *nearest]])
        assert np.array_equal(canvases(page, f"{POINT} .decoded canvas"), decoded[:1])
        assert np.array_equal(canvases(page, f"{POINT} .neighbour canvas"), decoded[1:])
        assert page.locator(f"{POINT} .distance").all_inner_texts() == [f"{distance:.1f}" for distance in distances]
        shares = model.latent_probabilities(latent_map.latents[[index]])[0]
        shown = page.locator(f"{POINT} .share-number").all_inner_texts()
        assert shown == [f"{round(100 * float(share))} %" for share in shares]
        assert page.inner_text(f"{POINT} h3") == f"Point {index}, {('cat', 'dog')[latent_map.labels[index]]}"
    page.locator(f"{POINT} .neighbour").nth(1).click()
    page.wait_for_selector(f"{POINT}[data-of='{nearest[1]}']")
    assert page.get_attribute(MAP, "data-selected") == str(nearest[1])
    page.get_by_role("button", name="t-SNE").click()
    click(page, 5)
    places = np.array([position(page, index) for index in range(len(latent_map))])
    chosen = 5
    for key, towards in {"ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowLeft": (-1, 0), "ArrowDown": (0, 1)}.items():
        away = places - places[chosen]
        along, aside = away @ towards, np.abs(away @ towards[::-1])
        ahead = np.where((along > 0.01) & (aside <= along), np.hypot(*away.T), np.inf)
        chosen = int(np.argmin(ahead)) if np.isfinite(ahead).any() else chosen
        page.keyboard.press(key)
        page.wait_for_selector(f"{POINT}[data-of='{chosen}']")
    page.keyboard.press("a")
    click(page, 17)
    page.keyboard.press("b")
    page.wait_for_selector(f"{STRIP}[data-of='{chosen}-17']")
    expected = model.decode(interpolate(*latent_map.latents[[chosen, 17]], 9))
    assert np.array_equal(canvases(page, f"{STRIP} canvas"), expected)
    with page.expect_download() as download:
        page.get_by_role("button", name="GIF", exact=True).locator("visible=true").click()
    assert download.value.suggested_filename == f"latent-{chosen}-17.gif"
    assert Image.open(download.value.path()).n_frames > 9


def test_the_point_and_the_ends_chosen_last_are_shown(open_page):
    page = open_page()
    open_latent(page)

    def tell(kind: str, *details: object) -> None:
        page.evaluate(
            """([selector, kind, details]) => details.forEach((detail) =>
                document.querySelector(selector).dispatchEvent(new CustomEvent(kind, { detail })))""",
            [MAP, kind, details],
        )

    with held(page):
        tell("go", 11, 12, 13)
    page.wait_for_selector(f"{POINT}[data-of='13']")
    assert page.get_attribute(MAP, "data-selected") == "13"
    with held(page):
        tell("end", {"name": "A", "index": 5}, {"name": "B", "index": 6}, {"name": "A", "index": 7})
    page.wait_for_selector(f"{STRIP}[data-of='7-6']")


def test_a_point_under_the_pointer_shows_its_picture(open_page, model, latent_map):
    page = open_page()
    open_latent(page)
    assert page.locator(f"{MAP} .preview").is_hidden()
    for index in (9, 24, 9):  # which is there already the second time
        x, y = position(page, index)
        page.locator(f"{MAP} .chart").hover(position={"x": x, "y": y})
        page.wait_for_selector(f"{MAP} .preview[data-of='{index}']:visible")
        assert np.array_equal(canvases(page, f"{MAP} .preview canvas"), model.decode(latent_map.latents[[index]]))
        name = f"Point {index}, {('cat', 'dog')[latent_map.labels[index]]}"
        assert page.inner_text(f"{MAP} .preview figcaption") == name
    assert page.get_attribute(POINT, "data-of") not in ("9", "24")  # nothing was chosen
    page.mouse.move(5, 5)
    page.wait_for_selector(f"{MAP} .preview", state="hidden")


def test_what_a_t_sne_map_cannot_show_goes_to_the_pca_map(open_page, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "mine.png")
    page = open_page()
    open_latent(page)
    fill(page, Steps=3, Images=1)
    page.get_by_role("button", name="t-SNE").click()
    previous = page.get_attribute(viewer("latent"), "data-run")
    page.get_by_role("button", name="Denoise a new sample").click()
    wait_for_run(page, "latent", previous)
    page.wait_for_selector(f"{MAP}[data-view=pca]")
    assert "This is the PCA map now, because t-SNE cannot show a path." in page.inner_text(f"{MAP} .map-note")
    page.get_by_role("button", name="t-SNE").click()
    page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(str(tmp_path / "mine.png"))
    page.wait_for_selector(f"{MAP}[data-view=pca]")
    assert "t-SNE cannot show your picture." in page.inner_text(f"{MAP} .map-note")


def test_samples_paths_are_drawn_as_they_come_and_only_on_the_pca_map(open_page, model):
    page = open_page()
    open_latent(page)
    previous = page.get_attribute(viewer("latent"), "data-run")
    fill(page, Steps=6, Seed=3, Images=2)
    page.get_by_role("radio", name="cat", exact=True).locator("visible=true").check()
    page.get_by_role("button", name="Denoise a new sample").click()
    wait_for_run(page, "latent", previous)
    page.wait_for_selector(f"{MAP}[data-path='7'][data-paths='2']")
    expected = model.sample("cat", steps=6, seeds=[3, 4])
    assert np.array_equal(canvases(page, f"{viewer('latent')} .x0 canvas"), expected)
    with_path = page.locator(f"{MAP} .chart").screenshot()
    page.locator(f"{viewer('latent')} .scrubber").evaluate("s => { s.value = 0; s.dispatchEvent(new Event('input')); }")
    page.wait_for_selector(f"{viewer('latent')}[data-shown='0']")
    assert page.locator(f"{MAP} .chart").screenshot() != with_path  # the dot has gone back to the noise
    page.get_by_role("button", name="t-SNE").click()
    assert "cannot place new points, so paths" in page.inner_text(f"{MAP} .map-note")
    fill(page, Steps=0)
    page.get_by_role("button", name="Denoise a new sample").click()
    page.get_by_test_id("toast-body").filter(has_text="steps must be a whole number from 1 to 1000, not 0").wait_for()


def test_an_upload_is_placed_and_reconstructed_on_a_phone_too(open_page, model, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "mine.png")
    (tmp_path / "broken.png").write_text("no picture")
    page = open_page()
    open_latent(page)
    upload = page.locator("[role=tabpanel]:visible input[type=file]").first
    upload.set_input_files(str(tmp_path / "broken.png"))
    page.get_by_test_id("toast-body").filter(has_text="broken.png cannot be read as a picture").wait_for()
    upload.set_input_files(str(tmp_path / "mine.png"))
    page.wait_for_selector(f"{POINT}[data-of='-1']")
    assert np.array_equal(canvases(page, f"{POINT} .original canvas")[0], PICTURE)
    assert np.array_equal(canvases(page, f"{POINT} .decoded canvas"), model.reconstruct(PICTURE[None]))
    assert all(0 < at < 600 for at in position(page, -1))
    page.get_by_role("button", name="Set as B").click()
    page.wait_for_selector(f"{STRIP}[data-of$='--1']")
    assert np.array_equal(canvases(page, f"{STRIP} canvas")[-1:], model.reconstruct(PICTURE[None]))
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    for node in page.locator("[role=tabpanel]:visible").locator("canvas:visible, button:visible").all():
        box = node.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    click(page, 8)


def test_endpoints_do_what_the_tab_does(address, model, latent_map, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "mine.png")
    client = Client(address, verbose=False)
    whole = client.predict(api_name="/latent_map")
    np.testing.assert_allclose([point["tsne"] for point in whole["points"]], latent_map.tsne, rtol=1e-5)
    restored, _, numbers = client.predict(9, api_name="/latent_point")
    assert np.array_equal(np.array(Image.open(restored)), model.decode(latent_map.latents[[9]])[0])
    np.testing.assert_allclose(numbers["pca"], whole["points"][9]["pca"], rtol=1e-5)
    assert numbers["neighbours"][0]["index"] == latent_map.neighbours(latent_map.latents[9], leave_out=9)[0][0]

    restored, _, numbers = client.predict(handle_file(tmp_path / "mine.png"), api_name="/place")
    assert np.array_equal(np.array(Image.open(restored)), model.reconstruct(PICTURE[None])[0])
    np.testing.assert_allclose(numbers["pca"], latent_map.place(model.encode(PICTURE[None]))[0], rtol=1e-4)
    assert numbers["tsne"] is None

    pictures, film = client.predict(2, 31, 5, api_name="/interpolate")
    expected = model.decode(interpolate(*latent_map.latents[[2, 31]], 5))
    assert [picture["caption"] for picture in pictures] == ["0 %", "25 %", "50 %", "75 %", "100 %"]
    assert np.array_equal([np.array(Image.open(picture["image"])) for picture in pictures], expected)
    assert Path(film).name == "latent-2-31.gif"

    sample, settings = client.predict("dog", 4, "8", "ddpm", 1.5, api_name="/latent_path")
    *_, last = model.denoise("dog", steps=4, seeds=[8], sampler="ddpm", guidance_scale=1.5)
    assert np.array_equal(np.array(Image.open(sample)), model.images(last.x_prev)[0])
    np.testing.assert_allclose(settings["path"][-1], latent_map.place(last.x_prev.numpy())[0], rtol=1e-5)
    assert np.shape(settings["path"]) == (5, 2)
    with pytest.raises(AppError, match="point must be a whole number from 0 to 39, not 40"):
        client.predict(40, api_name="/latent_point")


def test_originals_can_be_fetched_and_a_failure_is_one_sentence(open_page, toy, data, latent_map, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    page = open_page()
    open_latent(page)
    assert page.locator(f"{POINT} .original").count() == 0
    page.get_by_role("button", name="Download CIFAR-10").click()
    page.get_by_test_id("toast-body").filter(
        has_text="The data folder holds no data and CIFAR-10 cannot be downloaded"
    ).wait_for()
    shutil.copytree(toy / "cifar10", data / "cifar10")
    page.get_by_role("button", name="Download CIFAR-10").click()
    page.wait_for_selector(f"{POINT} .original canvas")
    assert page.get_by_role("button", name="Download CIFAR-10").count() == 0
    click(page, 21)
    expected = create_cat_dog_dataset(toy)[1].images[latent_map.index[21]]
    assert np.array_equal(canvases(page, f"{POINT} .original canvas")[0], expected)


def test_the_endpoint_has_originals_though_nobody_has_opened_the_tab(zoo, toy, latent_map):
    with served(zoo, data=toy) as url:
        _, original, numbers = Client(url, verbose=False).predict(3, api_name="/latent_point")
    expected = create_cat_dog_dataset(toy)[1].images[latent_map.index[3]]
    assert np.array_equal(np.array(Image.open(original)), expected) and numbers["psnr"] > 0


def test_without_a_denoiser_the_map_opens_and_a_sentence_says_why_there_are_no_paths(zoo, tmp_path):
    shutil.copytree(zoo.folder / "latent_diffusion", tmp_path / "latent_diffusion")
    config = tmp_path / "latent_diffusion/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"training": {"images_seen": 0}}))
    bare = open_shelf(tmp_path)
    with gr.Blocks() as page:
        space = latent.add(Around(page, bare, Stops(), FirstViews()), tmp_path)
    shown = {block["props"].get("elem_id") or block["props"].get("value"): block for block in page.config["components"]}
    assert any("train its denoiser with python" in str(name) for name in shown)
    assert not shown["latent-viewer"]["props"]["visible"] and shown["latent-map"]["props"]["visible"]
    chart, run, point, strip = latent.first_scene(bare, space)
    assert "path" not in chart and "frames" not in run
    assert point["of"] == chart["selected"] and strip["count"] == 9
    with pytest.raises(CheckpointError, match="train its denoiser"):
        views.start(space, Settings("latent_diffusion", "cat", 5, "ddim", 1, "0", 1), [])


def test_a_link_to_points_shows_them_without_a_denoiser_too(zoo, mapped_checkpoints, tmp_path, browser):
    for key in ("simple_unet", "latent_diffusion"):
        shutil.copytree(mapped_checkpoints / key, tmp_path / key)
    config = tmp_path / "latent_diffusion" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"trained": ["autoencoder"]}))
    with served(open_shelf(tmp_path)) as url, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{url}?tab=latent&point=5&from=7")
        page.wait_for_selector(f"{MAP}[data-selected='5'][data-from='7']")
        page.locator("#latent-point h3").filter(has_text="Point 5,").wait_for()
        assert page.get_by_text("train its denoiser with python").locator("visible=true").count() == 1


def test_without_a_map_the_tab_says_how_to_make_one_and_without_the_model_there_is_no_tab(all_checkpoints, zoo):
    bare = ModelZoo({"latent_diffusion": zoo["latent_diffusion"]}, {}, all_checkpoints)
    with gr.Blocks() as page:
        assert latent.add(Around(page, bare, Stops(), FirstViews()), "data") is None
    shown = json.dumps(page.get_config_file(), default=str)
    assert "has no map of its latent space; make one with python" in shown and "latent-map" not in shown
    with gr.Blocks() as page:
        alone = ModelZoo({"simple_unet": zoo["simple_unet"]}, {})
        assert latent.add(Around(page, alone, Stops(), FirstViews()), "data") is None
    assert "Latent space" not in json.dumps(page.get_config_file(), default=str)


def test_the_path_plays_once_when_the_map_that_it_is_on_is_in_sight(open_page):
    page = open_page(moving="'there is a script, so things may move'")
    page.get_by_role("tab", name="Latent space").click()
    stage = page.locator(viewer("latent"))
    page.wait_for_function(f"() => Number(document.querySelector({viewer('latent')!r})?.dataset.shown) > 0")
    assert page.evaluate("window.scrollY") == 0
    page.wait_for_function(PAUSE, arg="latent")
    assert int(stage.get_attribute("data-shown")) < int(stage.locator(".scrubber").get_attribute("max"))
