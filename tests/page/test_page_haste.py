"""People are faster than a busy server: what they did last is what the page shows in the end."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from page_helpers import fill, held, open_compare, pictures
from PIL import Image
from playwright.sync_api import Page, expect
from test_page_pictures import FORWARD, SCORES, canvas, open_classify, open_forward, upload

from benchmarks.support.browser import served, viewer, wait_for_run
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.tabs import classify, compare, forward, generate

PICTURE = np.random.default_rng(5).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def slide(page: Page, *levels: int) -> None:
    for t in levels:
        page.locator(f"{FORWARD} .level").evaluate(
            "(slider, t) => { slider.value = t; slider.dispatchEvent(new Event('input')); }", t
        )


def thumbs(page: Page, tab: str):
    return page.locator(f"#{tab}-picker .thumb")


def pixels_of(page: Page, tab: str, place: int) -> np.ndarray:
    return canvas(page, f"#{tab}-picker .thumb:nth-child({place + 1}) canvas")


def test_the_slider_where_it_was_left(open_page, zoo):
    page = open_page()
    open_forward(page)
    with held(page):
        slide(page, 100, 200, 300)
    page.wait_for_selector(f"{FORWARD}[data-shown='300']")


def test_the_slider_moved_while_another_picture_is_on_its_way(open_page):
    page = open_page()
    open_forward(page)
    with held(page):
        thumbs(page, "forward").nth(2).click()
        slide(page, 137)
        page.wait_for_selector(f"{FORWARD}[data-asked='137']")
        of = page.get_attribute(FORWARD, "data-of")
    page.wait_for_selector(f"{FORWARD}:not([data-of='{of}'])[data-shown='137'][data-asked='137']")
    assert np.array_equal(canvas(page, f"{FORWARD} .x0 canvas"), pixels_of(page, "forward", 2))


def test_the_picture_chosen_last(open_page):
    page = open_page()
    open_forward(page)
    with held(page):
        for place in (1, 3, 2):
            thumbs(page, "forward").nth(place).click()
    page.wait_for_function(
        """selectors => {
            const [shown, chosen] = selectors.map((selector) => document.querySelector(selector).toDataURL());
            return shown === chosen;
        }""",
        arg=[f"{FORWARD} .x0 canvas", "#forward-picker .thumb:nth-child(3) canvas"],
    )
    assert thumbs(page, "forward").nth(2).get_attribute("aria-pressed") == "true"


def test_the_model_chosen_last(open_page, zoo):
    page = open_page()
    with held(page):
        for title in ("Patch UNet", "DDPM UNet", "Simple UNet"):
            page.get_by_role("radio", name=title).locator("visible=true").check()
    steps = Settings.of(zoo, "simple_unet").steps
    page.get_by_text("Simple UNet").locator("visible=true").nth(1).wait_for()
    expect(page.get_by_role("radio", name="Simple UNet").locator("visible=true")).to_be_checked()
    expect(page.get_by_label("Steps", exact=True).locator("visible=true")).to_have_value(str(steps))


def test_a_click_before_the_answer_about_a_new_model(open_page, zoo):
    page = open_page()
    with held(page):
        page.get_by_role("radio", name="DDPM UNet").locator("visible=true").check()
        page.get_by_role("button", name="Generate", exact=True).click()  # a horse, which that model knows nothing of
        page.wait_for_timeout(300)
    asked = Settings.of(zoo, "ddpm_unet")
    page.wait_for_function("location.search.includes('model=ddpm_unet')")
    wait_for_run(page, "generate")
    seeds = range(int(asked.seed), int(asked.seed) + asked.count)
    assert np.array_equal(pictures(page), zoo["ddpm_unet"].sample(steps=asked.steps, seeds=seeds))
    assert page.get_by_test_id("toast-body").count() == 0


def test_stop_before_the_answer_about_a_new_model(open_page):
    page = open_page()
    before = page.get_attribute(viewer("generate"), "data-run")
    with held(page):
        page.get_by_role("radio", name="DDPM UNet").locator("visible=true").check()
        page.get_by_role("button", name="Generate", exact=True).click()
        page.get_by_role("button", name="Stop").locator("visible=true").click()
        page.wait_for_timeout(300)
    page.wait_for_timeout(1000)
    assert page.get_attribute(viewer("generate"), "data-run") == before


def test_stop_before_the_click_on_generate_has_arrived(open_page, unhurried):
    page = open_page()
    before = page.get_attribute(viewer("generate"), "data-run")
    fill(page, Steps=200)
    with held(page):
        page.get_by_role("button", name="Generate", exact=True).click()
        page.wait_for_timeout(300)
        with page.expect_response("**/gradio_api/run/**"):
            page.get_by_role("button", name="Stop").locator("visible=true").click()
    page.wait_for_timeout(1500)
    assert page.get_attribute(viewer("generate"), "data-run") == before
    fill(page, Steps=3)
    page.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_selector(f"{viewer('generate', 'done')}[data-frames='3']")
    page.complaints[:] = [said for said in page.complaints if "422" not in said]  # of Gradio, asked to cancel nothing


def test_a_classification_does_not_come_back_over_another_picture(open_page, zoo, monkeypatch):
    page = open_page()
    open_classify(page)
    evaluate = zoo["simple_unet"].network.forward

    def slow(*args):  # or on a busy machine the browser sees nothing of the run but its end
        time.sleep(0.05)
        return evaluate(*args)

    monkeypatch.setattr(zoo["simple_unet"].network, "forward", slow)
    draws = page.get_by_label("number input for Noise draws").locator("visible=true")
    draws.fill("128")
    page.get_by_role("button", name="Classify", exact=True).click()
    page.wait_for_selector(f"{SCORES}[data-state=running]")
    thumbs(page, "classify").nth(1).click()
    page.wait_for_selector(f"{SCORES}[data-state=waiting]")
    page.wait_for_timeout(700)  # of a run that sends a message every 50 ms
    assert page.get_attribute(SCORES, "data-state") == "waiting"
    assert np.array_equal(canvas(page, f"{SCORES} .subject"), pixels_of(page, "classify", 1))
    draws.fill("2")
    page.get_by_role("button", name="Classify", exact=True).click()
    page.wait_for_selector(f"{SCORES}[data-state=done]")  # at once: the other run is over
    assert np.array_equal(canvas(page, f"{SCORES} .subject"), pixels_of(page, "classify", 1))


def test_the_pair_chosen_while_the_runs_go_on(open_page, unhurried):
    page = open_page()
    open_compare(page)
    page.get_by_role("button", name="Add a run").click()
    page.get_by_label("C: Steps").locator("visible=true").wait_for()
    fill(page, A_Steps=2, B_Steps=2, C_Steps=2)
    for steps in (2, 100):
        fill(page, C_Steps=steps)
        previous = page.get_attribute(viewer("compare"), "data-run")
        page.get_by_role("button", name="Compare", exact=True).click()
        if steps == 100:
            wait_for_run(page, "compare", previous, "running")
            page.get_by_role("radio", name="A and C", exact=True).check()
        wait_for_run(page, "compare", previous)
    page.get_by_text("Where A and C differ.").wait_for()
    expect(page.get_by_role("radio", name="A and C", exact=True)).to_be_checked()


def test_the_pair_chosen_as_the_runs_end(open_page, monkeypatch):
    pair_of, looked = compare.pair_of, []

    def the_first_slowly(lanes, pair):
        looked.append(pair)
        if pair == "A and B":
            time.sleep(1)
        return pair_of(lanes, pair)

    page = open_page()
    open_compare(page)
    page.get_by_role("button", name="Add a run").click()
    page.get_by_label("C: Steps").locator("visible=true").wait_for()
    fill(page, A_Steps=2, B_Steps=2, C_Steps=2)
    monkeypatch.setattr(compare, "pair_of", the_first_slowly)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("radio", name="A and C", exact=True).check()
    page.get_by_text("Where A and C differ.").wait_for()
    page.wait_for_timeout(1500)
    assert page.get_by_text("Where A and C differ.").is_visible() and looked == ["A and B", "A and C"]


def test_a_run_begun_before_the_page_has_its_first(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    kept = []
    page.route("**/gradio_api/run/**", lambda route: kept.append(route))  # the first run among them
    page.goto(address)
    page.get_by_role("button", name="Generate", exact=True).click()
    name = wait_for_run(page, "generate")
    drawn = pictures(page)
    assert kept
    for _ in range(10):
        while kept:
            kept.pop().continue_()
        page.wait_for_timeout(100)
    assert page.get_attribute(viewer("generate"), "data-run") == name
    assert np.array_equal(pictures(page), drawn)
    context.close()


def slowly(function, seconds: float = 3):
    def slow(*arguments):
        time.sleep(seconds)
        return function(*arguments)

    return slow


@pytest.fixture
def sleepy_page(browser, zoo, monkeypatch):
    """A page on which the first sight of every tab but Generate takes seconds."""
    for tab, name in ((forward, "first_scene"), (classify, "first_answer"), (compare, "first_run")):
        monkeypatch.setattr(tab, name, slowly(getattr(tab, name)))
    with served(zoo) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        page.goto(address)
        yield page
        context.close()


def test_an_upload_before_the_first_sight_of_forward(sleepy_page, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "mine.png")
    sleepy_page.get_by_role("tab", name="Forward").click()
    upload(sleepy_page, tmp_path / "mine.png")
    sleepy_page.locator("#forward-picker .thumb[title='Your picture'][aria-pressed=true]").wait_for()
    sleepy_page.locator("#forward-picker .thumb:nth-child(5)").wait_for()  # the examples have come, too
    assert thumbs(sleepy_page, "forward").first.get_attribute("aria-pressed") == "true"
    assert np.array_equal(canvas(sleepy_page, f"{FORWARD} .x0 canvas"), PICTURE)


def test_another_model_before_the_first_sight_of_forward(sleepy_page):
    sleepy_page.get_by_role("tab", name="Forward").click()
    sleepy_page.get_by_role("radio", name="Simple UNet").locator("visible=true").check()
    sleepy_page.wait_for_selector(f"{FORWARD}[data-of*='/simple_unet/']")
    assert sleepy_page.locator(".toast-wrap .error").count() == 0


def test_an_upload_before_the_first_sight_of_classify(sleepy_page, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "mine.png")
    sleepy_page.get_by_role("tab", name="Classify").click()
    upload(sleepy_page, tmp_path / "mine.png")
    sleepy_page.locator("#classify-picker .thumb:nth-child(5)").wait_for()
    assert sleepy_page.get_attribute(SCORES, "data-state") == "waiting"
    assert np.array_equal(canvas(sleepy_page, f"{SCORES} .subject"), PICTURE)
    assert thumbs(sleepy_page, "classify").first.get_attribute("aria-pressed") == "true"


def test_a_comparison_before_the_first(sleepy_page):
    sleepy_page.get_by_role("tab", name="Compare").click()
    fill(sleepy_page, A_Steps=2, B_Steps=3)
    sleepy_page.get_by_role("button", name="Compare", exact=True).click()
    sleepy_page.wait_for_selector(f"{viewer('compare', 'done')}:has-text('3 steps')", timeout=30_000)
    sleepy_page.wait_for_timeout(4000)  # until the first one is there, too
    assert "3 steps" in sleepy_page.inner_text(viewer("compare"))


def test_seed_model_and_picture_at_once(open_page):
    page = open_page()
    open_forward(page)
    with held(page):
        page.get_by_label("Seed of the noise").locator("visible=true").fill("8")
        page.get_by_role("radio", name="Simple UNet").locator("visible=true").check()  # and the seed's field is left
        thumbs(page, "forward").nth(2).click()
        page.wait_for_timeout(300)  # for whatever overtakes the first of them
    page.wait_for_selector(f"{FORWARD}[data-of$='/simple_unet/8']")
    page.wait_for_timeout(1000)  # for whatever comes after that
    assert page.get_attribute(FORWARD, "data-of").endswith("/simple_unet/8")
    assert np.array_equal(canvas(page, f"{FORWARD} .x0 canvas"), pixels_of(page, "forward", 2))


def test_what_is_asked_for_while_a_wrong_seed_is_refused(open_page):
    page = open_page()
    open_forward(page)
    seed = page.get_by_label("Seed of the noise").locator("visible=true")
    with held(page):
        seed.fill("many")
        page.get_by_role("radio", name="Simple UNet").locator("visible=true").check()
        seed.fill("9")
        seed.press("Enter")
    page.wait_for_selector(f"{FORWARD}[data-of$='/simple_unet/9']")
    assert "many" in page.locator(".toast-wrap").inner_text()


def test_worth_a_look_while_a_run_goes_on(open_page, monkeypatch):
    stream = generate.stream

    def slowly(*arguments) -> Iterator[dict]:
        for message in stream(*arguments):
            yield message
            time.sleep(0.5)

    page = open_page()
    monkeypatch.setattr(generate, "stream", slowly)
    page.get_by_role("button", name="Generate", exact=True).click()
    wait_for_run(page, "generate", None, "running")
    page.get_by_role("button", name="In only three steps").click()
    expect(page.get_by_label("Steps", exact=True).locator("visible=true")).to_have_value("3")
    page.wait_for_selector(f"{viewer('generate', 'done')}:has-text('3 steps')")
