"""No click and no choice is swallowed: what a visitor asks for happens, and what was chosen stays."""

import re

import numpy as np
from page_helpers import choose, fill, for_a_visitor, open_compare, pictures, start_long_run
from playwright.sync_api import Page, expect

from benchmarks.support.browser import viewer, wait_for_run
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.stream import Stops


def radio(page: Page, name: str):
    return page.get_by_role("radio", name=name, exact=True).locator("visible=true")


def field(page: Page, name: str):
    return page.get_by_label(name, exact=True).locator("visible=true")


def test_a_click_while_a_run_goes_on_begins_another_with_the_new_settings(open_page, zoo, unhurried, monkeypatch):
    advance, end_older, steps, before = SamplingRun.advance, Stops.end_older, [], []

    def counting(self, shown: bool):
        if for_a_visitor():
            steps.append(self.total)
        return advance(self, shown)

    def ending(self, visitor: str, click: int) -> None:
        before.append(len(steps))
        end_older(self, visitor, click)

    page = open_page()
    monkeypatch.setattr(SamplingRun, "advance", counting)
    monkeypatch.setattr(Stops, "end_older", ending)
    start_long_run(page)
    for total in (900, 3):  # the second click, and a third
        going = page.get_attribute(viewer("generate"), "data-run")
        fill(page, Steps=total, Seed=5, Images=1)
        before.clear()
        page.get_by_role("button", name="Generate", exact=True).click()
        page.wait_for_selector(f"{viewer('generate')}:not([data-run='{going}'])")
        assert sum(other != total for other in steps[before[0] :]) <= 1  # no more of the run before
    page.wait_for_selector(f"{viewer('generate', 'done')}[data-frames='3']")
    assert np.array_equal(pictures(page), zoo["attention_unet"].sample("horse", steps=3, seeds=[5]))
    page.wait_for_timeout(1000)  # for whatever of the others is still on its way
    assert page.get_attribute(viewer("generate"), "data-state") == "done"


def test_who_waits_for_another_visitor_reads_so_on_the_stage(open_page, unhurried):
    first, second = open_page(), open_page()
    start_long_run(first)
    second.get_by_role("button", name="Generate", exact=True).click()
    stage = second.locator(viewer("generate"))
    expect(stage.locator(".status")).to_have_text(re.compile("^Waiting, 1 before you"), timeout=10_000)
    assert float(stage.locator(".lanes").evaluate("node => getComputedStyle(node).opacity")) < 0.6
    before = second.get_attribute(viewer("generate"), "data-run")
    fill(second, Steps=4, Seed=8)
    second.get_by_role("button", name="Generate", exact=True).click()  # other settings, while it waits
    first.get_by_role("button", name="Stop").locator("visible=true").click()
    wait_for_run(second, "generate", before)
    assert second.get_attribute(viewer("generate"), "data-frames") == "4"
    assert float(stage.locator(".lanes").evaluate("node => getComputedStyle(node).opacity")) == 1


def test_a_new_model_keeps_what_was_chosen_where_it_can_take_it(open_page):
    page = open_page()
    radio(page, "ship").check()
    fill(page, Steps=35, Guidance=3)
    for title, class_name in (("Simple UNet", "ship"), ("Latent diffusion", "dog"), ("Simple UNet", "ship")):
        page.get_by_role("radio", name=title).locator("visible=true").check()
        page.locator(".prose.about").locator("visible=true").filter(has_text=title).wait_for()
        expect(radio(page, class_name)).to_be_checked()
        expect(field(page, "Steps")).to_have_value("35")
        expect(field(page, "Guidance")).to_have_value("3")


def test_enter_in_a_field_and_a_new_seed_run(open_page):
    page = open_page()
    fill(page, Steps=3, Images=1)
    for press in (
        lambda: field(page, "Steps").press("Enter"),
        lambda: field(page, "Seed").press("Enter"),
        lambda: page.get_by_role("button", name="New seed").locator("visible=true").click(),
    ):
        previous = page.get_attribute(viewer("generate"), "data-run")
        press()
        wait_for_run(page, "generate", previous)
        assert page.get_attribute(viewer("generate"), "data-frames") == "3"
    label = page.locator(f"{viewer('generate')} .x0 .seed").inner_text()
    assert label == f"seed {field(page, 'Seed').input_value()}"


def test_guidance_can_be_set_only_where_it_changes_something(open_page):
    page = open_page()
    expect(field(page, "Guidance")).to_be_enabled()
    radio(page, "any").check()
    expect(field(page, "Guidance")).to_be_disabled()
    radio(page, "ship").check()
    expect(field(page, "Guidance")).to_be_enabled()


def test_comparing_falls_back_to_a_class_that_all_models_know(open_page):
    page = open_page()
    open_compare(page)
    expect(radio(page, "horse")).to_be_checked()
    choose(page, "B: Model", "Patch UNet")
    expect(radio(page, "dog")).to_be_checked()
    expect(field(page, "A: Guidance")).to_be_enabled()
