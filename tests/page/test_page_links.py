"""The settings of Forward, Latent space and Classify in the address: put there by a run, and brought back by it."""

from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from page_helpers import drawn, fill, pictures
from PIL import Image
from playwright.sync_api import Page, expect

from benchmarks.support.browser import open_shelf, served, viewer, wait_for_run
from diffdemo.measure.diffusion_classifier import classify
from diffdemo.trajectory import Trajectory

MAP = "#latent-map .latent_map"
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


def test_points_of_the_map_come_back(open_page):
    page = open_page()
    page.get_by_role("tab", name="Latent space").click()
    wait_for_run(page, "latent")
    page.locator("#latent-map canvas.chart").focus()
    chosen = page.get_attribute(MAP, "data-selected")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("a")
    page.keyboard.press("ArrowDown")
    page.wait_for_function(
        "() => { const asked = new URLSearchParams(location.search);"
        f"const own = document.querySelector('{MAP}').dataset;"
        "return asked.get('point') === own.selected && asked.get('from') === own.from && asked.get('to') === own.to; }"
    )
    text, asked = query(page, "latent")
    assert len({chosen, asked["point"], asked["from"]}) == 3
    strip, title = f"#latent-strip [data-of='{asked['from']}-{asked['to']}']", f"Point {asked['point']},"
    page.wait_for_selector(strip)
    between = drawn(page, f"{strip} canvas")
    there = open_page(query=text)
    there.wait_for_selector(f"{MAP}[data-selected='{asked['point']}'][data-from='{asked['from']}']")
    there.locator("#latent-point h3").filter(has_text=title).wait_for()
    there.wait_for_selector(strip)
    assert np.array_equal(drawn(there, f"{strip} canvas"), between)
    # A run keeps them in its own link.
    fill(there, Steps=2)
    previous = there.get_attribute(viewer("latent"), "data-run")
    there.get_by_role("button", name="Denoise a new sample").click()
    wait_for_run(there, "latent", previous)
    there.wait_for_function("location.search.includes('steps=2')")
    assert asked.items() <= query(there, "latent")[1].items()


def test_a_link_to_points_shows_them_and_runs_nothing(open_page):
    page = open_page(query="?tab=latent&point=5&from=7")
    page.locator("#latent-point h3").filter(has_text="Point 5,").wait_for()
    assert page.get_attribute(MAP, "data-from") == "7"
    first = page.get_attribute(viewer("latent"), "data-run")
    page.wait_for_timeout(2000)
    assert page.get_attribute(viewer("latent"), "data-run") == first
    assert "steps=" not in page.url


def test_back_from_what_a_link_began_is_the_page_before_it(open_page, address):
    page = open_page()
    for link, tab in (("?class=cat&steps=2", "generate"), ("?tab=latent&steps=2", "latent")):
        page.goto(address + link)  # completed by all that it leaves out
        page.wait_for_function("location.search.includes('seed=')")
        wait_for_run(page, tab)
    page.go_back()
    page.wait_for_function("location.search.includes('class=cat') && location.search.includes('seed=')")
    wait_for_run(page, "generate")
    page.go_back()
    page.wait_for_function("!location.search")
    wait_for_run(page, "generate")


def test_a_picture_of_ones_own_is_in_no_link(open_page, tmp_path):
    page = open_page(query="?tab=latent&point=5")
    page.wait_for_selector(f"{MAP}[data-selected='5']")
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "own.png")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Place your own picture").click()
    chooser.value.set_files(tmp_path / "own.png")
    page.wait_for_selector(f"{MAP}[data-selected='-1']")
    page.wait_for_function("!location.search.includes('point=')")
    assert query(page, "latent")[1].keys() == {"tab", "from", "to"}
    page.get_by_role("button", name="Share").locator("visible=true").click()
    page.wait_for_timeout(300)
    assert page.get_by_text("A picture of your own is in no link.").locator("visible=true").count() == 1


def test_a_point_that_is_not_on_the_map_is_one_sentence(open_page):
    page = open_page(query="?tab=latent&point=4&from=4000")  # the tab opens all the same
    page.get_by_test_id("toast-body").filter(has_text="from must be a whole number from 0 to 39, not '4000'").wait_for()


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
