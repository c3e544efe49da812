"""The stage: it moves before anyone clicks, and every moment of a run is at hand."""

import shlex
from collections.abc import Iterator
from queue import Queue

import gradio as gr
import numpy as np
from page_helpers import PAUSE, fill, open_compare, pictures, run, start_long_run
from PIL import Image
from playwright.sync_api import Page

from benchmarks.support.browser import viewer
from diffdemo.__main__ import main
from diffdemo.data.pixels import to_images
from diffdemo.figures.raster import image_grid
from diffdemo.ui.components.viewer import viewer as stage
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.stream import stream, whole
from diffdemo.ui.tabs.generate import start

STAGE = viewer("generate")
# By the browser's own clock, since a test may look seconds late where machines are busy.
WATCH = """new MutationObserver(() => {
    const shown = document.querySelector("#generate-viewer .viewer")?.dataset.shown;
    window.seen ??= [];
    if (shown && Number(shown) !== seen.at(-1)?.step) seen.push({at: performance.now(), step: Number(shown)});
}).observe(document, {subtree: true, childList: true, attributeFilter: ["data-shown"]});"""


def step_on_display(page: Page, tab: str = "generate") -> int:
    return int(page.get_attribute(viewer(tab), "data-shown")) + 1


def meaning(page: Page, panel: str, tab: str = "generate") -> str:
    return page.inner_text(f"{viewer(tab)} .lane:first-child .{panel} .meaning")


def film(page: Page, tab: str = "generate") -> np.ndarray:
    """What the film strip shows, (moments, 2, 32, 32, 3): of each moment two pictures."""
    pixels = page.evaluate(
        """selector => [...document.querySelectorAll(selector)].map(
            canvas => [...canvas.getContext("2d").getImageData(0, 0, 32, 32).data])""",
        f"{viewer(tab)} .strip canvas",
    )
    return np.array(pixels, np.uint8).reshape(-1, 2, 32, 32, 4)[..., :3]


def test_noise_becomes_a_picture_without_a_click_and_then_it_rests(open_page, zoo):
    page = open_page(moving=WATCH)
    page.wait_for_function("seen.at(-1)?.step === 19")
    seen = page.evaluate("seen")
    assert [moment["step"] for moment in seen] == list(range(20))
    after = [moment["at"] - seen[0]["at"] for moment in seen]
    assert after[-1] > 3500
    assert sum(at < 1000 for at in after) < 8  # noise on the left, and a guess on the right
    page.wait_for_timeout(700)
    assert step_on_display(page) == 20
    assert np.array_equal(pictures(page), zoo["attention_unet"].sample("horse", steps=20, seeds=[7, 8, 9, 10]))
    assert meaning(page, "x0") == "the finished picture"
    assert page.locator(f"{STAGE} .replay").inner_text() == "▶ Replay"


def test_a_click_ends_the_first_play(open_page):
    page = open_page(
        moving=f"(() => {{ const look = () => ({PAUSE})('generate') || setTimeout(look, 50); look(); }})()"
    )
    rested = step_on_display(page)
    page.wait_for_timeout(900)
    assert rested == step_on_display(page) < 20
    assert "the noisy picture" in meaning(page, "x_t") and "guess" in meaning(page, "x0")
    assert not np.array_equal(pictures(page, panel="x_t"), pictures(page))


def test_who_wants_no_motion_sees_none(open_page):
    page = open_page()
    assert step_on_display(page) == 20
    page.wait_for_timeout(700)
    assert step_on_display(page) == 20


def test_the_other_tabs_play_once_too(open_page):
    page = open_page(moving=WATCH)
    for tab in ("compare", "forward"):
        page.get_by_role("tab", name=tab.capitalize()).click()
        if tab == "forward":  # without scrolling: the row above mirrors it
            page.wait_for_selector(f"{viewer(tab)} .replay:has-text('Pause')")
        page.wait_for_function(PAUSE, arg=tab)
        assert step_on_display(page, tab) < int(page.get_attribute(f"{viewer(tab)} .scrubber", "max")) + 1


def test_the_film_strip_has_eight_moments_and_a_click_goes_there(open_page, zoo):
    page = open_page()
    steps = list(zoo["attention_unet"].denoise("horse", steps=20, seeds=[7, 8, 9, 10]))
    moments = [0, 3, 5, 8, 11, 14, 16, 19]
    shown = film(page)
    for index, (state, guess) in zip(moments, shown, strict=True):
        assert np.array_equal(state, to_images(steps[index].x_t)[0])
        assert np.array_equal(guess, to_images(steps[index].x0)[0])
    page.get_by_role("button", name="Step 9 of 20").click()
    assert np.array_equal(pictures(page, panel="x_t"), to_images(steps[8].x_t))
    assert np.array_equal(pictures(page), to_images(steps[8].x0))
    boxes = [page.locator(f"{STAGE} .{part}").bounding_box() for part in ("lanes", "strip", "controls")]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"] and boxes[1]["y"] < boxes[2]["y"]


def test_of_several_runs_the_strip_shows_the_guess_of_each(open_page, zoo):
    page = open_page()
    open_compare(page)
    fill(page, A_Steps=3, B_Steps=5, Seed=11, Images=2)
    run(page, "compare")
    last = [zoo[key].sample("horse", steps=n, seeds=[11]) for key, n in (("simple_unet", 3), ("attention_unet", 5))]
    shown = film(page, "compare")
    assert len(shown) == 5 and np.array_equal(shown[-1], np.concatenate(last))
    page.get_by_role("button", name="Step 1 of 5").locator("visible=true").click()
    assert step_on_display(page, "compare") == 1


def test_the_keys_go_through_the_run_wherever_the_stage_was_clicked(open_page):
    page = open_page()
    page.locator(f"{STAGE} .x0 canvas").first.click()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert step_on_display(page) == 18
    page.keyboard.press("ArrowRight")
    assert step_on_display(page) == 19
    scroll = page.evaluate("scrollY")
    page.keyboard.press("Space")
    page.wait_for_selector(f"{STAGE}[data-shown='19']")
    page.locator(f"{STAGE} .speed").select_option("0.5")
    page.locator(f"{STAGE} .x0 canvas").first.click()
    page.evaluate(
        """selector => {
            const viewer = document.querySelector(selector);
            new MutationObserver(() => {
                if (viewer.dataset.shown === "4") viewer.dispatchEvent(new KeyboardEvent("keydown", {key: " "}));
            }).observe(viewer, {attributeFilter: ["data-shown"]});
        }""",
        STAGE,
    )
    page.keyboard.press("Space")  # from the end, from its beginning
    page.wait_for_selector(f"{STAGE}[data-shown='4']")
    page.wait_for_timeout(500)
    assert step_on_display(page) == 5 and page.evaluate("scrollY") == scroll


def test_single_steps_and_the_speed_of_the_replay(open_page):
    page = open_page(moving=WATCH)
    page.wait_for_function("seen.at(-1)?.step === 19")
    page.get_by_role("button", name="One step back").locator("visible=true").click()
    assert step_on_display(page) == 19
    page.get_by_role("button", name="One step on").locator("visible=true").click()
    assert step_on_display(page) == 20
    for speed, least in (("2", 900), ("0.5", 3500)):
        page.locator(f"{STAGE} .speed").select_option(speed)
        page.evaluate("seen.length = 0")
        page.get_by_role("button", name="Replay").locator("visible=true").click()
        page.wait_for_function("seen.at(-1)?.step === 19")
        seen = page.evaluate("seen")
        assert [moment["step"] for moment in seen] == list(range(20))
        assert seen[-1]["at"] - seen[0]["at"] > least  # and longer where machines are busy


def test_at_the_end_the_captions_say_what_is_alike_and_the_guess_is_the_larger_picture(open_page, zoo):
    page = open_page()
    steps = list(zoo["attention_unet"].denoise("horse", steps=20, seeds=[7, 8, 9, 10]))
    alike = np.abs(to_images(steps[-1].x_t).astype(int) - to_images(steps[-1].x0)).mean() < 5
    assert meaning(page, "x_t") == ("the same by now, to the eye" if alike else "before the last step")
    state, guess = (page.locator(f"{STAGE} .{panel} canvas").first.bounding_box() for panel in ("x_t", "x0"))
    assert guess["width"] > 1.3 * state["width"]
    page.locator(f"{STAGE} .scrubber").press("Home")
    assert meaning(page, "x_t") == "the noisy picture"


def test_the_bar_shows_how_far_a_run_is(open_page, unhurried):
    page = open_page()
    start_long_run(page)
    bar = page.locator(f"{STAGE} .scrubber")
    assert bar.get_attribute("max") == "999"
    assert int(bar.input_value()) < 500
    page.get_by_role("button", name="Stop").locator("visible=true").click()
    page.wait_for_selector(viewer("generate", "stopped"))
    assert bar.get_attribute("max") == "999" and int(bar.input_value()) < 900


def test_a_frame_that_comes_late_does_not_revive_a_stopped_run(browser, zoo):
    done = whole(stream([start(zoo, Settings("simple_unet", "horse", 3, "ddim", 1, "5", 1))]))
    first, second = (
        {**done, "state": "running", "frames": {str(k): done["frames"][str(k)] for k in range(n)}} for n in (1, 2)
    )

    messages: Queue = Queue()

    def send() -> Iterator[dict]:
        yield from iter(messages.get, None)

    with gr.Blocks() as blocks:
        view = stage("A run", "generate-viewer")
        gr.Button("Go").click(send, outputs=view)
    _, address, _ = blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False)
    page = browser.new_page()
    page.goto(address)
    page.get_by_role("button", name="Go", exact=True).click()
    messages.put(first)
    page.wait_for_selector(f"{STAGE}[data-frames='1'][data-state='running']")
    messages.put({"stopped": int(done["run"])})
    page.wait_for_selector(viewer("generate", "stopped"))
    messages.put(second)
    page.wait_for_selector(f"{STAGE}[data-frames='2']")
    assert page.get_attribute(STAGE, "data-state") == "stopped"
    assert page.inner_text(f"{STAGE} .status").startswith("Stopped.")
    messages.put(None)
    page.close()
    blocks.close(verbose=False)


def test_the_picture_is_saved_as_it_is_at_the_step_on_display(open_page):
    page = open_page()
    fill(page, Steps=12, Seed=3, Images=2)
    run(page)
    saved = {}
    for step, key in ((12, "End"), (11, "ArrowLeft"), (10, "ArrowLeft")):
        page.locator(f"{STAGE} .scrubber").press(key)
        assert step_on_display(page) == step
        with page.expect_download() as download:
            page.get_by_role("button", name="PNG", exact=True).click()
        assert download.value.suggested_filename.endswith(
            "3-to-4.png" if step == 12 else f"after-{step}-of-12-steps.png"
        )
        saved[step] = np.asarray(Image.open(download.value.path()))
        assert np.array_equal(saved[step], image_grid(pictures(page), scale=4))
    assert page.get_by_text("Save the step on display").is_visible()
    assert not np.array_equal(saved[10], saved[12])


def test_the_command_of_a_stopped_run_gives_the_picture_on_display(open_page, unhurried, tmp_path):
    page = open_page()
    start_long_run(page)
    page.get_by_role("button", name="Stop").locator("visible=true").click()
    page.wait_for_selector(viewer("generate", "stopped"))
    page.get_by_role("button", name="Reproduce and share").click()
    page.wait_for_timeout(300)
    words = shlex.split(page.locator(".reproduce textarea").first.input_value())[3:]
    assert words[words.index("--stop-after") + 1] == str(step_on_display(page))
    assert main([*words, "--npy", str(tmp_path / "a.npy"), "--out", str(tmp_path / "a.png")]) == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), pictures(page))
