"""The page in a real browser: what people see, what they can do, and what the server computes for it."""

import time

import numpy as np
import pytest
from page_helpers import fill, for_a_visitor, open_compare, pictures, run, start_long_run

from benchmarks.support.browser import open_shelf, viewer, wait_for_run
from diffdemo import validate
from diffdemo.data.pixels import to_images
from diffdemo.ui.parts.fields import SAMPLER_CHOICES
from diffdemo.ui.runs.stream import Stops
from diffdemo.ui.runs.zoo import ModelZoo


@pytest.fixture(scope="module")
def zoo(tiny_checkpoints) -> ModelZoo:
    return open_shelf(tiny_checkpoints)


def test_a_finished_run_is_on_display_before_the_first_click(open_page, zoo):
    page = open_page()
    expected = zoo["attention_unet"].sample("horse", steps=20, seeds=[7, 8, 9, 10])
    assert np.array_equal(pictures(page), expected)
    assert page.get_attribute(viewer("generate"), "data-frames") == "20"
    page.get_by_text("Its training").locator("visible=true").click()
    assert page.get_by_text("Attention UNet: 75,708 parameters, trained on 1,234 images in 1.5 minutes").is_visible()


@pytest.mark.parametrize(("sampler", "key"), SAMPLER_CHOICES)
def test_the_canvases_show_exactly_the_picture_of_the_seed(open_page, zoo, sampler, key):
    page = open_page()
    seed = 2**64 - 2  # a number that JavaScript does not have
    page.get_by_role("radio", name="Simple UNet").check()
    page.get_by_text("Simple UNet: 71,228 parameters").wait_for(state="attached")
    page.get_by_role("radio", name="ship").locator("visible=true").check()
    page.get_by_role("radio", name=sampler, exact=True).locator("visible=true").check()
    fill(page, Steps=12, Seed=seed, Images=2, Guidance=1.5)
    run(page)
    settings = {"steps": 12, "sampler": key, "guidance_scale": 1.5, "seeds": [seed, seed + 1]}
    assert np.array_equal(pictures(page), zoo["simple_unet"].sample("ship", **settings))
    passes = {"heun": 23}.get(key, 12) * 2  # guidance doubles them
    assert page.inner_text(f"{viewer('generate')} .stat.nfe dd") == str(passes)
    assert page.inner_text(f"{viewer('generate')} .stat.step dd") == "12 / 12"
    assert page.get_attribute(viewer("generate"), "data-frames") == "12"


def test_scrubbing_shows_every_step_and_never_asks_the_server(open_page, zoo):
    page = open_page()
    fill(page, Steps=9, Seed=3, Images=3)
    run(page)
    page.wait_for_timeout(300)
    asked = len(page.requested)
    steps = list(zoo["attention_unet"].denoise("horse", steps=9, seeds=[3, 4, 5], guidance_scale=2.0))
    slider = page.locator(f"{viewer('generate')} .scrubber")
    slider.focus()
    page.keyboard.press("Home")
    for step in steps:
        assert np.array_equal(pictures(page, panel="x_t"), to_images(step.x_t))
        assert np.array_equal(pictures(page), to_images(step.x0))
        assert page.inner_text(f"{viewer('generate')} .stat.t dd") == str(step.t)
        page.keyboard.press("ArrowRight")
    assert len(page.requested) == asked


def test_replay_goes_through_the_run_again(open_page):
    page = open_page()
    page.evaluate(
        """selector => {
            const viewer = document.querySelector(selector);
            window.replayed = [];
            new MutationObserver(() => window.replayed.push(Number(viewer.dataset.shown)))
                .observe(viewer, {attributeFilter: ["data-shown"]});
        }""",
        viewer("generate"),
    )
    page.get_by_role("button", name="Replay").locator("visible=true").click()
    page.wait_for_function("window.replayed.length >= 20")
    assert page.evaluate("window.replayed") == list(range(20))


def test_two_models_run_in_lockstep_on_the_same_noise(open_page, zoo):
    page = open_page()
    open_compare(page)
    fill(page, A_Steps=6, B_Steps=9, Seed=11, Images=2)
    run(page, "compare")
    for lane, (key, steps) in enumerate([("simple_unet", 6), ("attention_unet", 9)], start=1):
        expected = zoo[key].sample("horse", steps=steps, seeds=[11, 12])
        assert np.array_equal(pictures(page, "compare", lane=lane), expected)
    figures = page.inner_text(".figures table")
    assert "0.0712 million" in figures and "0.0757 million" in figures
    assert page.locator("#compare-closer canvas").count() == 6  # two runs and their difference, of two seeds
    page.locator(f"{viewer('compare')} .scrubber").focus()
    page.keyboard.press("Home")
    first, second = (pictures(page, "compare", "x_t", lane) for lane in (1, 2))
    assert np.array_equal(first, second)


def test_unlinked_noise_differs(open_page, zoo):
    page = open_page()
    open_compare(page)
    page.get_by_label("Same noise for all").uncheck()
    fill(page, A_Steps=4, B_Steps=4, Seed=20, Images=2)
    run(page, "compare")
    expected = zoo["attention_unet"].sample("horse", steps=4, seeds=[22, 23])
    assert np.array_equal(pictures(page, "compare", lane=2), expected)


@pytest.fixture
def evaluations(zoo, monkeypatch) -> list[float]:
    """The times of the attention UNet's evaluations, each of which takes 10 ms longer than it would.

    Those for what a tab shows before anyone clicks go on whatever a visitor does: they are left out.
    """
    forward, times = zoo["attention_unet"].network.forward, []

    def slow(*args):
        if for_a_visitor():
            times.append(time.perf_counter())
            time.sleep(0.01)
        return forward(*args)

    monkeypatch.setattr(zoo["attention_unet"].network, "forward", slow)
    return times


def test_stop_ends_the_computation_within_one_step(open_page, evaluations, monkeypatch):
    page = open_page()
    stop, counted = Stops.stop, []

    def counting_stop(self, *asked):
        counted.append(len(evaluations))
        return stop(self, *asked)

    monkeypatch.setattr(Stops, "stop", counting_stop)
    start_long_run(page)
    page.get_by_role("button", name="Stop").locator("visible=true").click()
    page.wait_for_selector(viewer("generate", "stopped"))
    page.wait_for_timeout(500)
    assert len(evaluations) - counted[0] <= 1
    fill(page, Steps=5)
    run(page)
    assert page.get_attribute(viewer("generate"), "data-frames") == "5"


@pytest.mark.parametrize("leave", [lambda page: page.close(), lambda page: page.reload()], ids=["close", "reload"])
def test_leaving_the_page_ends_the_computation(open_page, evaluations, leave):
    page = open_page()
    start_long_run(page)
    leave(page)
    deadline = time.perf_counter() + 10
    while time.perf_counter() < deadline and time.perf_counter() - evaluations[-1] < 1:
        time.sleep(0.1)
    assert time.perf_counter() - evaluations[-1] >= 1
    assert len(evaluations) < 900
    page.complaints.clear()  # Gradio reports that its own stream was cut off


def test_two_pages_at_once_both_finish(open_page, zoo, evaluations):
    pages = [open_page(), open_page()]
    before = [page.get_attribute(viewer("generate"), "data-run") for page in pages]
    for page, seed in zip(pages, (100, 200), strict=True):
        fill(page, Steps=40, Seed=seed, Images=1)
        page.get_by_role("button", name="Generate", exact=True).click()
    for page, seed, previous in zip(pages, (100, 200), before, strict=True):
        wait_for_run(page, "generate", previous)
        expected = zoo["attention_unet"].sample("horse", steps=40, seeds=[seed])
        assert np.array_equal(pictures(page), expected)


SEED_LIMITS = f"seed must be a whole number from 0 to {validate.MAX_SEED}"
STEP_LIMITS = "steps must be a whole number from 1 to 1000"
WRONG = [
    ("Seed", "abc", f"{SEED_LIMITS}, not 'abc'."),
    ("Seed", str(2**64), f"{SEED_LIMITS}, not '{2**64}'."),
    ("Seed", "<img src=x>", f"{SEED_LIMITS}, not '<img src=x>'."),
    ("Steps", "0", f"{STEP_LIMITS}, not 0."),
    ("Steps", "-1", f"{STEP_LIMITS}, not -1."),
    ("Steps", "1001", f"{STEP_LIMITS}, not 1001."),
    ("Steps", "3.5", f"{STEP_LIMITS}, not 3.5."),
    ("Guidance", "21", "guidance must be a number from 0 to 20, not 21."),
]


def test_a_wrong_setting_gets_one_sentence_and_the_page_keeps_its_picture(open_page):
    page = open_page()
    before, shown_run = pictures(page), page.get_attribute(viewer("generate"), "data-run")
    for field, value, sentence in WRONG:
        fill(page, **{field: value})
        page.get_by_role("button", name="Generate", exact=True).click()
        toast = page.get_by_test_id("toast-body").filter(has_text=sentence)
        toast.wait_for()
        toast.get_by_role("button").evaluate_all("all => all[0]?.click()")  # it may be going by itself
        toast.wait_for(state="detached")
        fill(page, Steps=20, Guidance=2, Seed=7)
        assert page.get_attribute(viewer("generate"), "data-run") == shown_run
        assert np.array_equal(pictures(page), before)


def test_a_new_seed_makes_a_new_picture(open_page):
    page = open_page()
    before = pictures(page)
    page.get_by_role("button", name="New seed").locator("visible=true").click()
    page.wait_for_function("document.querySelector('.seed-row input').value !== '7'")
    run(page)
    assert not np.array_equal(pictures(page), before)


@pytest.mark.parametrize("count", [1, 8])
def test_a_phone_shows_everything_without_scrolling_sideways(open_page, count):
    page = open_page(390, 844)
    fill(page, Images=count, Steps=3, Seed=2**64 - 8)
    run(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [canvas.bounding_box() for canvas in page.locator(f"{viewer('generate')} canvas").all()]
    assert len(boxes) == 3 * count + 2 * 3  # and a film strip of three steps
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["width"] >= 32 for box in boxes)
    open_compare(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_formulas_are_drawn_without_fonts_from_elsewhere(open_page):
    page = open_page()
    page.get_by_role("button", name="The formulas").click()
    page.locator(".katex-display").first.wait_for()
    page.wait_for_function("document.fonts.check('16px KaTeX_Main')")
