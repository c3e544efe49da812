"""Is it copying? on the Generate tab: the nearest training pictures of what a run made, and the endpoint."""

import shutil
import threading

import gradio as gr
import numpy as np
import pytest
from classifiers import save_classifier
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from page_helpers import drawn, fill, run
from PIL import Image

from benchmarks.support.browser import open_shelf, served
from diffdemo.data import load_dataset, make_toy_dataset
from diffdemo.measure.classifier import load_classifier
from diffdemo.measure.nearest import TrainingPictures
from diffdemo.ui.parts import nearest

VIEW = "#generate-neighbours .neighbours"


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), per_class=8)


@pytest.fixture(scope="module")
def zoo(tiny_checkpoints, tmp_path_factory):
    """One model, and a classifier beside it."""
    root = tmp_path_factory.mktemp("checkpoints")
    shutil.copytree(tiny_checkpoints / "attention_unet", root / "attention_unet")
    save_classifier(root / "classifier")
    return open_shelf(root)


@pytest.fixture(scope="module")
def address(zoo, toy):
    with served(zoo, data=toy) as url:
        yield url


def shown(page, figures: str) -> np.ndarray:
    """What the canvases of these figures show, (N, 32, 32, 3) uint8."""
    return drawn(page, f"{VIEW} {figures} canvas")


def test_the_chosen_picture_is_shown_with_its_nearest_training_pictures(open_page, zoo, toy):
    page = open_page()
    fill(page, Steps=3, Seed=3, Images=2)
    run(page)
    page.get_by_role("button", name="Is it copying?").click()
    page.get_by_role("button", name="Find the nearest training pictures").click()
    made = zoo["attention_unet"].sample("horse", steps=3, seeds=[3, 4], guidance_scale=2.0)
    classifier = load_classifier(zoo.folder / "classifier", "cpu")
    for place, training in enumerate([TrainingPictures(toy, classifier), TrainingPictures(toy)]):
        page.wait_for_selector(
            f"{VIEW}[data-of$='/{place}'][data-words*='comparisons'],{VIEW}[data-of$='/{place}'][data-words*='alike']"
        )
        found = training.nearest(made[place], 5)
        assert np.array_equal(shown(page, ".chosen"), made[[place]])
        assert np.array_equal(shown(page, ".found"), found.pictures)
        assert page.inner_text(f"{VIEW} .judged").endswith(training.usual.judge(found.distances[0]))
        if place == 0:
            page.get_by_role("radio", name="Pixels").check()
            page.get_by_role("button", name="Look at seed 4").click()
    run(page)
    page.wait_for_selector(f"{VIEW}[data-of='']", state="attached")  # they were of another run's pictures


def test_a_search_that_ends_under_another_run_is_not_shown(open_page, monkeypatch):
    among, asked, go_on = nearest.Search.among, threading.Event(), threading.Event()

    def slow(search: nearest.Search, by: str) -> TrainingPictures:
        asked.set()
        go_on.wait(30)
        return among(search, by)

    monkeypatch.setattr(nearest.Search, "among", slow)
    page = open_page()
    page.get_by_role("button", name="Is it copying?").click()
    page.get_by_role("button", name="Find the nearest training pictures").click()
    assert asked.wait(30)
    fill(page, Steps=3, Seed=8, Images=1)
    name = run(page)
    page.wait_for_selector(f"{VIEW}[data-of='']", state="attached")
    go_on.set()
    page.wait_for_timeout(1500)  # of a search that takes milliseconds
    assert page.get_attribute(VIEW, "data-of") == ""
    page.get_by_role("button", name="Find the nearest training pictures").click()
    page.wait_for_selector(f"{VIEW}[data-of='{name}/0'][data-words*='Of 20 real']")


def test_the_endpoint_finds_a_copy_and_says_so(address, zoo, toy, tmp_path):
    train = load_dataset(toy, "train")
    Image.fromarray(train.images[17]).save(tmp_path / "copy.png")
    client = Client(address, verbose=False)
    pictures, known = client.predict(handle_file(tmp_path / "copy.png"), "features", 2, api_name="/nearest")
    assert np.array_equal(np.array(Image.open(pictures[0]["image"])), train.images[17])
    assert known["neighbours"][0]["index"] == 17 and len(known["neighbours"]) == len(pictures) == 2
    assert known["words"].endswith("is a copy.") and 0 < known["test_low"] < known["test_median"]
    assert "toy shapes train" in known["source"]
    with pytest.raises(AppError, match="choose one of: features, pixels"):
        client.predict(handle_file(tmp_path / "copy.png"), "colour", api_name="/nearest")


def test_without_a_data_set_the_page_says_what_this_needs(zoo, toy, tmp_path):
    with gr.Blocks() as page:
        assert nearest.layout(nearest.Search(zoo, tmp_path)) is None
    (words,) = [part["props"]["value"] for part in page.config["components"] if part["type"] == "markdown"]
    assert words.startswith("A model that copies") and "The training pictures are needed" in words
    shutil.copytree(zoo.folder / "attention_unet", tmp_path / "attention_unet")
    assert nearest.Search(open_shelf(tmp_path), toy).possible == ["pixels"]
