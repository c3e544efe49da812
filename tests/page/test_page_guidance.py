"""How a run is guided, in a real browser: the fields, what they do, and the link that brings them back."""

import numpy as np
import pytest
from conftest import save_tiny_checkpoint
from page_helpers import choose, fill, open_compare, pictures, run
from playwright.sync_api import Page

from benchmarks.support.browser import open_shelf, viewer
from diffdemo.ui.parts.fields import HOW_GUIDED, INTERVAL
from diffdemo.ui.runs.zoo import ModelZoo
from train.install import install


def unfold(page: Page) -> None:
    """Open what stands on display of how runs are guided."""
    for folded in page.get_by_role("button", name=HOW_GUIDED).locator("visible=true").all():
        folded.click()
    page.wait_for_timeout(300)  # no person types into a field in the moment in which Gradio puts it there


@pytest.fixture(scope="module")
def zoo(tmp_path_factory) -> ModelZoo:
    """Three tiny models; the first two have a weaker version, the DDPM UNet is shown guided by its own."""
    root, weak = (tmp_path_factory.mktemp(name) for name in ("strong", "weak"))
    for key, shown in (("attention_unet", {}), ("ddpm_unet", {"guidance_scale": 2, "guide": "weak-model"})):
        save_tiny_checkpoint(root, key)
        save_tiny_checkpoint(weak, key, seed=1)
        install(root / key, root / key, weak_model=weak / key, **shown)
    save_tiny_checkpoint(root, "simple_unet")
    return open_shelf(root)


def test_an_interval_and_a_guide_change_the_run_and_are_in_its_link(open_page, zoo):
    page = open_page()
    unfold(page)
    fill(page, **{"Steps": 6, "Seed": 3, "Images": 2, "Guidance": 3, INTERVAL: "0.3,5"})
    run(page)
    asked = {"steps": 6, "seeds": [3, 4], "guidance_scale": 3.0, "guidance_interval": "0.3,5"}
    guided = zoo["attention_unet"].sample("horse", **asked)
    assert np.array_equal(pictures(page), guided)
    page.get_by_role("radio", name="A weaker version of it").locator("visible=true").check()
    run(page)
    by_weak = zoo["attention_unet"].sample("horse", **asked, guide="weak-model")
    assert np.array_equal(pictures(page), by_weak) and not np.array_equal(guided, by_weak)
    page.wait_for_function("location.search.includes('guide=weak-model')")
    query = page.evaluate("location.search")
    assert "interval=0.3%2C5" in query
    again = open_page(query=query)
    again.wait_for_selector(f"{viewer('generate', 'done')}[data-frames='6']")
    assert np.array_equal(pictures(again), by_weak)
    unfold(again)
    assert again.get_by_label(INTERVAL).locator("visible=true").input_value() == "0.3,5"


def test_an_interval_that_is_none_gets_a_sentence_and_the_run_stays(open_page):
    page = open_page()
    before = pictures(page)
    unfold(page)
    fill(page, **{INTERVAL: "5,0.3"})
    page.get_by_role("button", name="Generate", exact=True).click()
    page.get_by_test_id("toast-body").filter(has_text="such as 0.3,5, or all, not '5,0.3'.").wait_for()
    assert np.array_equal(pictures(page), before)


def test_a_model_without_classes_can_be_guided_where_it_has_a_weaker_version(open_page, zoo):
    page = open_page()
    unfold(page)
    page.get_by_role("radio", name="DDPM UNet").locator("visible=true").check()
    page.get_by_text("A weaker version of it").locator("visible=true").wait_for()
    fill(page, Steps=5, Seed=3, Images=1)
    run(page)
    expected = zoo["ddpm_unet"].sample(steps=5, seeds=[3], guidance_scale=2, guide="weak-model")
    assert np.array_equal(pictures(page), expected)
    page.get_by_role("radio", name="Simple UNet").locator("visible=true").check()
    page.get_by_text("A weaker version of it").locator("visible=true").wait_for(state="hidden")


def test_two_ways_of_guiding_stand_side_by_side(open_page, zoo):
    page = open_page()
    open_compare(page)
    unfold(page)
    choose(page, "A: Model", "Attention UNet")
    guided = page.locator("fieldset", has_text="B: Guided by").locator("visible=true")
    guided.get_by_label("A weaker version of it").check()
    fill(page, A_Steps=4, B_Steps=4, Images=1, Seed=3)
    run(page, "compare")
    for place, guide in enumerate(("no-class", "weak-model"), 1):
        expected = zoo["attention_unet"].sample("horse", steps=4, seeds=[3], guide=guide)
        assert np.array_equal(pictures(page, "compare", lane=place), expected)
