"""The Compare tab in a real browser: more than two runs, and a closer look at any two."""

import json

import numpy as np
from page_helpers import choose, drawn, fill, open_compare, pictures, run
from playwright.sync_api import Locator, Page, Route, expect

from benchmarks.support.browser import viewer


def choices(page: Page, label: str) -> Locator:
    """The radio buttons with this label; Gradio's groups of them have no name."""
    return page.locator("fieldset:visible").filter(has_text=label)


def test_four_runs_of_any_models_and_a_closer_look_at_two(open_page, zoo):
    page = open_page()
    open_compare(page)
    assert choices(page, "Look closer at").count() == 0
    for name in "CD":
        page.get_by_role("button", name="Add a run").click()
        page.get_by_label(f"{name}: Steps").wait_for()
    assert page.get_by_role("button", name="Add a run").locator("visible=true").count() == 0
    choose(page, "C: Model", "Patch UNet")
    choices(page, "Class of all").get_by_role("radio", name="horse").wait_for(state="detached")
    expect(page.get_by_label("C: Sampler")).to_have_value("DPM-Solver++", timeout=30_000)  # as the model has it
    page.get_by_role("radio", name="cat", exact=True).locator("visible=true").check()
    fill(page, A_Steps=3, B_Steps=4, C_Steps=5, D_Steps=6, Seed=11, Images=2)
    run(page, "compare")
    keys = ("simple_unet", "attention_unet", "patch_unet", "attention_unet")
    samplers = ("dpmpp", "dpmpp", "dpmpp", "ddpm")
    rows = []
    for place, (key, sampler) in enumerate(zip(keys, samplers, strict=True)):
        rows.append(zoo[key].sample("cat", steps=3 + place, sampler=sampler, seeds=[11, 12]))
        assert np.array_equal(pictures(page, "compare", lane=place + 1), rows[-1])
    assert page.locator(".figures table").locator("visible=true").locator("th").count() == 5
    page.get_by_role("radio", name="B and D").check()
    mean = np.abs(rows[1].astype(float) - rows[3]).mean()
    page.get_by_text(f"The mean over all pixels is {mean:.1f} of 255.").wait_for()


def test_a_run_can_be_taken_away_again_and_the_classes_follow(open_page, zoo):
    page = open_page()
    open_compare(page)
    page.get_by_role("button", name="Add a run").click()
    page.get_by_label("C: Steps").wait_for()
    horse = choices(page, "Class of all").get_by_role("radio", name="horse")
    assert horse.is_checked()
    choose(page, "C: Model", "DDPM UNet")
    horse.wait_for(state="detached")
    page.get_by_role("button", name="Remove the last run").click()
    horse.wait_for()
    assert page.get_by_label("C: Steps").locator("visible=true").count() == 0
    fill(page, A_Steps=2, B_Steps=2, Images=1)
    run(page, "compare")
    assert page.locator(".figures table").locator("visible=true").locator("th").count() == 3


def test_a_link_opens_the_tab_and_repeats_the_comparison(open_page, zoo):
    query = (
        "?tab=compare&class=dog&seed=5&images=1&linked=no&steps_a=2&model_b=patch_unet&steps_b=3&model_c=simple_unet"
    )
    page = open_page(query=f"{query}&steps_c=4&sampler_c=ddim&guidance_c=1.5")
    page.wait_for_selector(f"{viewer('compare', 'done')}[data-frames='4']", timeout=60_000)
    settings = [{"steps": 2}, {"steps": 3}, {"steps": 4, "sampler": "ddim", "guidance_scale": 1.5}]
    for place, key in enumerate(("simple_unet", "patch_unet", "simple_unet")):
        expected = zoo[key].sample("dog", seeds=[5 + place], **settings[place])
        assert np.array_equal(pictures(page, "compare", lane=place + 1), expected)
    fill(page, A_Steps=5)
    run(page, "compare")
    page.wait_for_function("location.search.includes('steps_a=5')")
    again = open_page(query=f"?{page.url.partition('?')[2]}")
    again.wait_for_selector(f"{viewer('compare', 'done')}[data-frames='5']")
    assert not again.get_by_label("Same noise for all").is_checked()
    assert again.get_by_label("C: Guidance").input_value() == "1.5"
    again.get_by_role("tab", name="Generate").click()
    fill(again, Steps=2)
    run(again)
    again.wait_for_function("!/tab=|_[abcd]=|linked=/.test(location.search) && location.search.includes('steps=2')")


def test_a_bad_link_gets_a_toast_and_the_tab_opens_as_ever(open_page):
    page = open_page(query="?tab=compare&model_a=simple_unet&steps_a=0")
    page.get_by_test_id("toast-body").filter(
        has_text="steps must be a whole number from 1 to 1000, not '0'."
    ).wait_for()
    page.wait_for_selector(f"{viewer('compare', 'done')}[data-frames='20']")
    assert page.get_by_label("A: Steps").input_value() == "20"


def test_a_sweep_of_five_guidances_at_four_seeds_fills_a_table_that_can_be_saved(open_page, zoo):
    page = open_page()
    open_compare(page)
    fill(page, A_Steps=3, Seed=11, Images=4)
    page.get_by_role("button", name="Sweep guidance").click()
    page.wait_for_selector("#compare-sweep [data-rows='5']")
    page.get_by_text("Save the sweep as one picture").locator("visible=true").wait_for()
    heads = page.locator("#compare-sweep th[scope=row]").all_inner_texts()
    assert heads == ["guidance 1", "guidance 1.5", "guidance 2", "guidance 4", "guidance 8"]
    canvases = page.locator("#compare-sweep canvas")
    assert canvases.count() == 20
    expected = zoo["simple_unet"].sample("horse", steps=3, seeds=range(11, 15), guidance_scale=4)
    assert np.array_equal(drawn(page, "#compare-sweep canvas")[12:16], expected)
    with page.expect_download() as download:
        page.get_by_text("Save the sweep as one picture").locator("visible=true").click()
    assert download.value.suggested_filename == "simple_unet-guidance.png"


def test_a_sweep_that_is_over_before_the_page_hears_of_it(open_page):
    page = open_page()
    open_compare(page)
    fill(page, A_Steps=2, Images=1)

    def answer_late(route: Route) -> None:
        """The sweep is computed between the click and the server's answer to it."""
        answer = route.fetch()
        page.wait_for_timeout(1000)
        route.fulfill(response=answer)

    page.route("**/gradio_api/queue/join*", answer_late)
    page.get_by_role("button", name="Sweep guidance").click()
    page.wait_for_selector("#compare-sweep [data-rows='5']")
    page.get_by_text("Save the sweep as one picture").locator("visible=true").wait_for()


def test_a_sweep_of_guidance_without_a_class_is_refused_in_a_sentence(open_page):
    page = open_page()
    open_compare(page)
    page.get_by_role("radio", name="any", exact=True).locator("visible=true").check()
    page.get_by_role("button", name="Sweep guidance").click()
    page.get_by_test_id("toast-body").filter(has_text="there is nothing to guide").wait_for()
    page.complaints.clear()


def test_stop_ends_a_sweep(open_page):
    page = open_page()
    open_compare(page)
    fill(page, A_Steps=1000, Images=1)
    page.get_by_role("button", name="Sweep samplers").click()
    page.locator("#compare-sweep canvas").first.wait_for()
    begun = []  # by which component, for each event
    page.on("request", lambda request: begun.append(json.loads(request.post_data or "{}").get("trigger_id")))
    page.get_by_role("button", name="Stop").locator("visible=true").click()
    page.wait_for_timeout(500)
    # One event for all that the tab can run: of several, the later ones would end what had been begun meanwhile.
    begun = [trigger for trigger in begun if trigger is not None]
    assert begun.count(begun[0]) == 1
    fill(page, A_Steps=2, B_Steps=2)
    run(page, "compare")
    assert page.locator("#compare-sweep tr").count() < 5
