"""The settings of Forward, Latent space and Classify in the address: put there by a run, and brought back by it."""

from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from page_helpers import drawn, fill, pictures
from playwright.sync_api import Page, expect

from benchmarks.support.browser import open_shelf, served, viewer, wait_for_run
from diffdemo.measure.diffusion_classifier import classify
from diffdemo.trajectory import Trajectory

FORWARD, SCORES = "#forward-view .forward_view", "#classify-view .scores"


@pytest.fixture(scope="module")
def zoo(mapped_checkpoints):
    return open_shelf(mapped_checkpoints)


@pytest.fixture(scope="module")
def address(zoo, toy):
    with served(zoo, data=toy) as url:
        yield url


def choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).locator("visible=true").check()


def query(page: Page, tab: str) -> tuple[str, dict]:
    """The address's query, once it is that of the tab's run."""
    page.wait_for_function(f"location.search.includes('tab={tab}&')")
    text = urlsplit(page.url).query
    return f"?{text}", {name: values[0] for name, values in parse_qs(text).items()}


def test_forward_comes_back_at_its_level(open_page, zoo):
    page = open_page()
    page.get_by_role("tab", name="Forward").click()
    wait_for_run(page, "forward")
    choose(page, "ship")
    choose(page, "Simple UNet")
    fill(page, Steps=4)
    page.get_by_label("Seed of the noise").locator("visible=true").fill("11")
    page.locator(f"{FORWARD} .level").evaluate("s => { s.value = 420; s.dispatchEvent(new Event('input')); }")
    previous = page.get_attribute(viewer("forward"), "data-run")
    page.get_by_role("button", name="Denoise from here").click()
    wait_for_run(page, "forward", previous)
    text, asked = query(page, "forward")
    assert {"t": "420", "model": "simple_unet", "class": "ship", "steps": "4", "seed": "11"}.items() <= asked.items()
    there = open_page(query=text)
    there.wait_for_selector(f"{viewer('forward')}[data-frames='4']")
    there.wait_for_selector(f"{FORWARD}[data-shown='420']")
    expect(there.get_by_label("Steps", exact=True).locator("visible=true")).to_have_value("4")
    expect(there.get_by_role("radio", name="ship", exact=True).locator("visible=true")).to_be_checked()
    original = drawn(there, f"{FORWARD} .x0 canvas")
    x_t = Trajectory(zoo["simple_unet"], original, [11]).at(420)
    *_, last = zoo["simple_unet"].denoise("ship", steps=4, seeds=[11], start=(x_t, 420))
    assert np.array_equal(pictures(there, "forward"), zoo["simple_unet"].images(last.x_prev))


def test_a_level_alone_is_enough_and_a_wrong_one_is_one_sentence(open_page):
    page = open_page(query="?tab=forward&t=44")
    page.wait_for_selector(f"{viewer('forward')} .lane-title:has-text('From t = 44')")
    wait_for_run(page, "forward")
    page = open_page(query="?tab=forward&t=4444")  # the tab opens all the same
    page.get_by_test_id("toast-body").filter(has_text="t must be a whole number from 0 to 999, not '4444'").wait_for()
    page.wait_for_selector(f"{FORWARD}[data-shown='300']")


def test_latent_samples_come_back(open_page, zoo):
    page = open_page()
    page.get_by_role("tab", name="Latent space").click()
    previous = wait_for_run(page, "latent")
    choose(page, "dog")
    fill(page, Steps=3, Seed=8, Images=2)
    page.get_by_role("button", name="Denoise a new sample").click()
    wait_for_run(page, "latent", previous)
    text, asked = query(page, "latent")
    assert {"class": "dog", "steps": "3", "seed": "8", "images": "2"}.items() <= asked.items()
    there = open_page(query=text)
    there.wait_for_selector("#latent-map .latent_map[data-path='4'][data-paths='2']")
    there.wait_for_selector(f"{viewer('latent')}[data-frames='3']")
    assert np.array_equal(pictures(there, "latent"), zoo["latent_diffusion"].sample("dog", steps=3, seeds=[8, 9]))


def test_a_classification_comes_back(open_page, zoo):
    page = open_page()
    page.get_by_role("tab", name="Classify").click()
    page.wait_for_selector(f"{SCORES}[data-state=done]")
    previous = page.get_attribute(SCORES, "data-run")
    choose(page, "Patch UNet")
    page.get_by_label("number input for Noise draws").locator("visible=true").fill("3")
    page.get_by_label("Seed of the noises").fill("5")
    page.get_by_role("button", name="Classify", exact=True).click()
    page.wait_for_selector(f"{SCORES}[data-state=done]:not([data-run='{previous}'])")
    text, asked = query(page, "classify")
    assert asked == {"tab": "classify", "model": "patch_unet", "draws": "3", "seed": "5"}
    there = open_page(query=text)
    there.wait_for_selector(f"{SCORES}[data-state=done][data-draws='3']")
    expect(there.get_by_label("Seed of the noises")).to_have_value("5")
    scores = classify(zoo["patch_unet"], drawn(there, f"{SCORES} .subject"), 3, 5)
    assert there.inner_text(f"{SCORES} .verdict b") == scores.best[0]
    assert "Patch UNet" in there.inner_text(f"{SCORES} .lane-title >> nth=0")
