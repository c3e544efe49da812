"""The Inside tab in a real browser: the network of the run on display, its blocks, and where attention looks."""

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from page_helpers import fill, run
from playwright.sync_api import Page

from benchmarks.support.browser import open_shelf
from diffdemo.measure.inside import States

VIEW = "#inside-view .inside"


@pytest.fixture(scope="module")
def zoo(tiny_checkpoints):
    return open_shelf(tiny_checkpoints)


def shown(page: Page, **attributes: object) -> None:
    """Wait until the component shows what these data attributes say."""
    conditions = "".join(f"[data-{name}='{value}']" for name, value in attributes.items())
    page.wait_for_selector(f"{VIEW}[data-state=shown]{conditions}")


def open_inside(page: Page) -> None:
    page.get_by_role("tab", name="Inside").click()
    shown(page)


def test_a_clicked_pixel_is_shown_with_the_networks_own_attention(open_page, zoo):
    page = open_page()
    fill(page, Steps=4, Seed=5, Images=2)
    name = run(page)
    open_inside(page)
    model = zoo["attention_unet"]
    states = States(model, model.request("horse", steps=4, seeds=[5]))
    attending = [block for block in states.look(2).blocks if block.heads]
    assert page.locator(f"{VIEW} .part.attention").count() == len(attending) > 0
    shown(page, run=name, step=2)
    box = page.locator(".look-picture canvas").bounding_box()
    page.locator(".look-picture canvas").click(position={"x": box["width"] * 4.5 / 32, "y": box["height"] * 20.5 / 32})
    shown(page, pixel="20 4")
    for block in attending:
        page.locator(f"{VIEW} [data-name='{block.name}']").click()
        sums = [float(one) for one in page.get_attribute(VIEW, "data-sums").split()]
        assert len(sums) == block.heads and np.allclose(sums, 1, atol=1e-4)
        _, height, width = block.output
        weights = states.look(2).attention(block.name, 20 * height // 32, 4 * width // 32)
        # The brightest spot of a map is where that head looks most.
        drawn = page.evaluate(
            """() => [...document.querySelectorAll(".heads canvas")].map((canvas) =>
                [...canvas.getContext("2d").getImageData(0, 0, 32, 32).data])"""
        )
        red = np.array(drawn).reshape(block.heads, 32, 32, 4)[..., 0]
        for head in range(block.heads):
            row, column = np.unravel_index(weights[head].argmax(), (height, width))
            assert red[head, row * 32 // height, column * 32 // width] >= red[head].max() - 16


def test_pointing_at_a_block_shows_what_it_puts_out(open_page, zoo):
    page = open_page()
    open_inside(page)
    for name in ("stem", "down.1", "time_embedding"):
        page.locator(f"{VIEW} [data-name='{name}']").hover()
        shown(page, block=name)
        assert page.locator(".inside-detail code").inner_text() == name
        vector = name == "time_embedding"
        assert page.locator(".inside-detail .channel").count() == (1 if vector else 8)
        colours = page.evaluate(
            """() => { const canvas = document.querySelector(".channel canvas");
                const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
                return new Set(data).size; }"""
        )
        assert colours > 10  # no empty picture
    # By keyboard alone, one stop for the whole diagram and arrows within it.
    first = page.locator(f"{VIEW} .part[tabindex='0']")
    assert first.count() == 1
    first.focus()
    before = page.get_attribute(VIEW, "data-block")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute(VIEW, "data-block") != before
    page.locator(".look-picture").focus()
    page.keyboard.press("ArrowLeft")
    shown(page, pixel="16 12")  # one spot of 8 x 8
    page.mouse.move(0, 0)
    page.keyboard.press("ArrowLeft")
    shown(page, pixel="16 8")


def test_the_tab_follows_the_run_and_its_own_slider(open_page):
    page = open_page(width=390, height=844, query="?tab=inside")
    assert "Attention UNet" in page.inner_text(".inside-title")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_label("Step of the run", exact=True).fill("3")
    shown(page, step=2)
    page.get_by_role("tab", name="Generate").click()
    page.get_by_role("radio", name="Simple UNet").locator("visible=true").first.check()
    fill(page, Steps=3, Images=1)
    name = run(page)
    page.get_by_role("tab", name="Inside").click()
    shown(page, run=name)
    assert "Simple UNet" in page.inner_text(".inside-title")
    assert "no attention" in page.inner_text(".inside-looks")


def test_a_link_to_the_tab_waits_for_the_first_run(browser, address):
    with browser.new_context() as context:
        page, kept = context.new_page(), []
        page.route("**/gradio_api/run/**", lambda route: kept.append(route))  # the first run among them
        page.goto(f"{address}?tab=inside")
        page.get_by_role("tab", name="Inside", selected=True).wait_for()
        page.wait_for_timeout(1000)
        page.unroute("**/gradio_api/run/**")  # which lets them go
        shown(page)
        assert kept


def test_the_endpoint_gives_the_same_weights(address, zoo):
    client, model = Client(address, verbose=False), zoo["attention_unet"]
    settings = {"model": "attention_unet", "class_name": "cat", "steps": 3, "seed": "4"}
    *_, known = client.predict(**settings, step=1, row=9, column=31, block="stem", api_name="/inside")
    states = States(model, model.request("cat", steps=3, seeds=[4]))
    evaluation = states.look(1)
    assert known["t"] == evaluation.t and len(known["blocks"]) == len(evaluation.blocks)
    for name, weights in known["attention"].items():
        size = np.array(weights).shape[1]
        assert np.allclose(weights, evaluation.attention(name, 9 * size // 32, 31 * size // 32), atol=1e-6)
    activations = known["activations"]
    assert np.allclose(activations["values"], evaluation.outputs["stem"][activations["channels"]], atol=1e-5)
    for wrong, sentence in (({"step": 3}, "step must be"), ({"row": 32}, "row must be"), ({"block": "x"}, "no block")):
        with pytest.raises(AppError, match=sentence):
            client.predict(**{**settings, "step": 1, **wrong}, api_name="/inside")
