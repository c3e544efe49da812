"""What people take away from the Generate tab, and how they come to it, in a real browser."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from page_helpers import fill, pictures, run
from PIL import Image
from playwright.sync_api import Page

from benchmarks.support.browser import viewer, wait_for_run
from diffdemo.data.pixels import to_images
from diffdemo.figures.raster import image_grid
from diffdemo.ui.runs.recordings import Recordings


def save(page: Page, kind: str) -> tuple[str, Path]:
    with page.expect_download() as download:
        page.get_by_role("button", name=kind, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path())


def test_the_run_on_display_is_saved_as_png_gif_and_mp4(open_page, zoo):
    page = open_page()
    name, path = save(page, "PNG")
    assert name == "attention_unet-horse-7-to-10.png"
    assert np.array_equal(np.asarray(Image.open(path)), image_grid(pictures(page), scale=4))
    fill(page, Steps=6, Seed=3, Images=1)
    run(page)
    name, path = save(page, "GIF")
    assert (name, Image.open(path).n_frames) == ("attention_unet-horse-3.gif", 7)
    name, path = save(page, "MP4")
    assert name == "attention_unet-horse-3.mp4" and path.read_bytes()[4:8] == b"ftyp"


def test_a_run_that_is_no_longer_kept_gets_a_sentence(open_page, monkeypatch):
    page = open_page()
    lanes = Recordings.lanes
    monkeypatch.setattr(Recordings, "lanes", lambda self, name: lanes(self, "another"))
    page.get_by_role("button", name="PNG", exact=True).click()
    page.get_by_test_id("toast-body").filter(has_text="The pictures of this run are no longer kept here").wait_for()


def test_the_change_of_a_step_and_the_cursor_follow_the_scrubber(open_page, zoo):
    page = open_page()
    fill(page, Steps=5, Seed=3, Images=2)
    run(page)
    steps = list(zoo["attention_unet"].denoise("horse", steps=5, seeds=[3, 4], guidance_scale=2.0))
    page.locator(f"{viewer('generate')} .scrubber").focus()
    page.keyboard.press("Home")
    for step, before in zip(steps, [steps[0], *steps], strict=False):
        change = to_images(step.x0).astype(int) - to_images(before.x0)
        drawn = pictures(page, panel="change").astype(int)
        note = page.inner_text(f"{viewer('generate')} .note")
        factor = int(note.split("drawn ")[1].split(" ×")[0]) if step.index else 1
        assert step.index or note == "Grey: this is the first guess, and the next step will change it."
        assert np.array_equal(drawn, np.clip(128 + factor * change, 0, 255))
        curve = page.locator(f"{viewer('generate')} .curve")
        assert curve.get_attribute("data-t") == str(step.t)
        level = 100 * zoo["attention_unet"].diffusion.schedule.alpha_bar[step.t]
        assert float(curve.locator(".meaning").inner_text().split(" %")[0].replace("·10⁻³", "e-3")) == pytest.approx(
            level, rel=0.05
        )
        plot, dot = curve.locator(".plot").bounding_box(), curve.locator(".dot").bounding_box()
        across = (dot["x"] + dot["width"] / 2 - plot["x"]) / plot["width"]
        down = (dot["y"] + dot["height"] / 2 - plot["y"]) / plot["height"]
        assert (across, down) == (pytest.approx(1 - step.t / 999, abs=0.02), pytest.approx(1 - level / 100, abs=0.02))
        page.keyboard.press("ArrowRight")


def test_a_link_opens_the_page_with_its_settings_and_runs_them(open_page, zoo):
    query = "?model=patch_unet&class=dog&steps=4&sampler=ddim&guidance=1.5&seed=18446744073709551614&images=2"
    page = open_page(query=query)
    page.wait_for_selector(f"{viewer('generate', 'done')}[data-frames='4']")
    expected = zoo["patch_unet"].sample(
        "dog", steps=4, sampler="ddim", guidance_scale=1.5, seeds=[2**64 - 2, 2**64 - 1]
    )
    assert np.array_equal(pictures(page), expected)
    assert page.get_by_role("radio", name="dog").locator("visible=true").is_checked()
    assert page.get_by_label("Seed", exact=True).locator("visible=true").input_value() == "18446744073709551614"


def test_the_link_and_the_address_bar_name_the_run_on_display(open_page, zoo):
    page = open_page(query="?__theme=dark")
    fill(page, Steps=3, Seed=5, Images=1, Guidance=3.5)
    run(page)
    page.wait_for_function("location.search.includes('seed=5')")
    page.get_by_role("button", name="Reproduce and share").click()
    page.locator(".reproduce textarea").nth(2).wait_for()
    command, python, link = (box.input_value() for box in page.locator(".reproduce textarea").all())
    assert link == page.url
    asked = {"model": "attention_unet", "class": "horse", "steps": "3", "sampler": "dpmpp", "guidance": "3.5"}
    query = {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}
    asked |= {"interval": "all", "guide": "no-class"}
    assert query == {**asked, "seed": "5", "images": "1", "__theme": "dark"}
    assert "--seed 5 -n 1" in command
    assert "seeds=[5]" in python


def test_each_tab_has_an_address_of_its_own(open_page, unhurried):
    page = open_page(query="?__theme=dark")
    fill(page, Steps=200, Seed=5, Images=1)
    previous = page.get_attribute(viewer("generate"), "data-run")
    page.get_by_role("button", name="Generate", exact=True).click()
    wait_for_run(page, "generate", previous, "running")
    page.get_by_role("tab", name="Forward").click()
    page.wait_for_function("location.search === '?__theme=dark&tab=forward'")
    page.wait_for_selector(f"{viewer('generate', 'done')}", state="attached")
    assert "tab=forward" in page.url  # the run that has finished meanwhile is not what is on display
    page.get_by_role("tab", name="Generate").click()
    page.wait_for_function("location.search.includes('seed=5') && !location.search.includes('tab=')")
    page.get_by_role("tab", name="Training").click()
    page.wait_for_function("location.search === '?__theme=dark&tab=training'")
    page.reload()
    page.get_by_role("tab", name="Training", selected=True).wait_for()
    page.wait_for_timeout(500)
    assert page.url.endswith("?__theme=dark&tab=training")
    page.get_by_role("tab", name="Generate").click()
    page.wait_for_function("location.search === '?__theme=dark'")


def test_a_bad_link_gets_a_toast_and_the_page_opens_as_ever(open_page, zoo):
    page = open_page(query="?model=attention_unet&steps=1001&seed=4")
    toast = "steps must be a whole number from 1 to 1000, not '1001'."
    page.get_by_test_id("toast-body").filter(has_text=toast).wait_for()
    assert page.get_by_label("Seed", exact=True).locator("visible=true").input_value() == "7"
    assert np.array_equal(pictures(page), zoo["attention_unet"].sample("horse", steps=20, seeds=[7, 8, 9, 10]))


def test_an_example_runs_at_once_from_the_keyboard(open_page, zoo):
    page = open_page()
    previous = page.get_attribute(viewer("generate"), "data-run")
    page.get_by_role("button", name="Cats from 128 numbers").focus()
    page.keyboard.press("Enter")
    wait_for_run(page, "generate", previous)
    expected = zoo["latent_diffusion"].sample("cat", steps=50, sampler="dpmpp", guidance_scale=4, seeds=range(4))
    assert np.array_equal(pictures(page), expected)
    assert page.get_by_role("radio", name="cat").locator("visible=true").is_checked()


def test_the_keyboard_goes_from_stop_to_the_scrubber_in_two_stops(open_page):
    page = open_page()
    page.get_by_role("button", name="Stop").locator("visible=true").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "scrubber"


def test_no_lone_dot_is_in_the_footer_of_a_phone(open_page):
    page = open_page(390, 844)
    assert not any(dot.is_visible() for dot in page.locator("footer .divider").all())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
