"""The page at the sizes of a laptop, a projector and a phone: what one needs is on the screen."""

import pytest
from page_helpers import fill, run

from diffdemo.ui.parts.notes import NOTES

OF_GENERATE = """() => Math.max(...[...document.querySelectorAll(".settings .block")]
    .filter((block) => block.offsetParent).map((block) => block.getBoundingClientRect().bottom))"""
MARGINS = """() => {
    const { left, right } = document.querySelector(".gradio-container").getBoundingClientRect();
    return [left, document.documentElement.clientWidth - right];
}"""


def test_every_setting_of_a_run_is_on_the_screen_of_a_laptop(open_page):
    assert open_page(1280, 900).evaluate(OF_GENERATE) < 900


@pytest.mark.parametrize("width", [1366, 1920, 2560])
def test_the_page_stands_in_the_middle(open_page, width):
    left, right = open_page(width, 1080).evaluate(MARGINS)
    assert left == right == max(0, (width - 1600) / 2)


def test_the_button_is_always_on_the_screen_of_a_phone(open_page):
    page = open_page(390, 844)
    for place in ("0", "document.body.scrollHeight / 2", "document.body.scrollHeight"):
        page.evaluate(f"window.scrollTo(0, {place})")
        box = page.locator("#generate-run").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("name", ["Generate", "Compare", "Forward", "Classify"])
def test_one_sentence_stands_above_the_stage(open_page, name):
    page = open_page()
    page.get_by_role("tab", name=name).click()
    lead, stage = page.locator(".lead.prose:visible"), page.locator(".stage:visible .viewer-block").first
    stage.wait_for()
    lead, stage = lead.bounding_box(), stage.bounding_box()
    assert lead["y"] + lead["height"] <= stage["y"] < 450 and lead["height"] > 20


def test_a_note_is_reached_by_the_keyboard(open_page):
    page = open_page()
    page.get_by_label("Steps", exact=True).locator("visible=true").focus()
    page.keyboard.press("Tab")
    note = page.locator(".lookup-text").locator("visible=true")
    assert NOTES["steps"][1] in note.inner_text()


def test_back_shows_the_run_before(open_page):
    page = open_page()
    for seed in (5, 6):
        fill(page, Steps=3, Seed=seed, Images=1)
        run(page)
        page.wait_for_function(f"location.search.includes('seed={seed}')")
    page.go_back()
    page.wait_for_selector("#generate-viewer .viewer[data-state=done][data-frames='3'] .seed:has-text('seed 5')")
