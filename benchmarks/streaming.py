"""How much of a generation's time in the page goes into the network: python -m benchmarks.streaming

Starts the page, drives it with headless Chromium and measures, after a warm-up, from the click until the browser shows
the first frame and the finished pictures, how many frames it shows in a second meanwhile, and how soon it answers to
the scrubber and to clicks on the map of the latent space. The network's share is timed around its forward passes in the
page's own process. Then it opens the page anew, with nothing in the browser's cache, and measures how long it takes
until a click on Generate starts a run.
"""

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from playwright.sync_api import Browser, Page

from benchmarks.support.browser import chromium, open_shelf, served, wait_for_run
from benchmarks.support.stopwatch import Stopwatch
from diffdemo import CHECKPOINTS
from diffdemo.device import hardware_name
from diffdemo.ui.parts.wiring import FirstViews
from diffdemo.ui.tabs.generate import RUN_ID
from train.flags import run_app

# The browser notes by its own clock when Generate was clicked and when its frames were on display: Playwright, which
# looks only now and then, would notice up to half a second later.
WATCH = """() => {
    const viewer = document.querySelector("#generate-viewer .viewer");
    window.watched = {};
    document.addEventListener("click", () => {
        window.watched = {clicked: Date.now() / 1000, run: viewer.dataset.run, frames: []};
    }, true);
    new MutationObserver(() => {
        if (viewer.dataset.run === window.watched.run) return;
        window.watched.frames.push(Date.now() / 1000);
        if (viewer.dataset.state === "done") window.watched.finished = Date.now() / 1000;
    }).observe(viewer, {attributeFilter: ["data-state", "data-shown"]});
}"""
# Milliseconds from a move of the scrubber until the browser has drawn the step, for ten steps.
SCRUB = """async () => {
    const scrubber = document.querySelector("#generate-viewer .scrubber");
    const drawn = () => new Promise((ready) => requestAnimationFrame(() => requestAnimationFrame(ready)));
    const times = [];
    for (let number = 0; number < 10; number += 1) {
        const began = performance.now();
        scrubber.value = String(Math.floor((number / 10) * Number(scrubber.max)));
        scrubber.dispatchEvent(new Event("input", {bubbles: true}));
        await drawn();
        times.push(performance.now() - began);
    }
    return times;
}"""

# Milliseconds from a click on each of these points of the map until the browser has drawn a point's picture, which may
# be another's that lies there too; a point that is shown already is left out.
CLICK_POINTS = """async (indices) => {
    const map = document.querySelector("#latent-map .latent_map");
    const shown = document.querySelector("#latent-point .latent_point");
    const drawn = () => new Promise((ready) => requestAnimationFrame(() => requestAnimationFrame(ready)));
    const times = [];
    for (const index of indices) {
        const canvas = map.querySelector("canvas");
        const box = canvas.getBoundingClientRect();
        const [x, y] = map.positionOf(index);
        const at = {bubbles: true, clientX: box.left + x, clientY: box.top + y};
        const changed = new Promise((done) => {
            const watch = new MutationObserver(() => {
                watch.disconnect();
                done(true);
            });
            watch.observe(shown, {attributeFilter: ["data-of"]});
            setTimeout(() => done(false), 3000);
        });
        const began = performance.now();
        canvas.dispatchEvent(new MouseEvent("click", at));
        if (!(await changed)) continue;
        await drawn();
        times.push(performance.now() - began);
        await new Promise((rested) => setTimeout(rested, 200));
    }
    return times;
}"""

# Clicks Generate as soon as it is there, and notes how many seconds after the opening of the page that was.
CLICK_AT_ONCE = f"""(() => {{
    const look = () => {{
        const button = document.getElementById("{RUN_ID}");
        if (!button) return requestAnimationFrame(look);
        button.click();
        window.clicked = performance.now() / 1000;
    }};
    look();
}})()"""


def usable_after(browser: Browser, address: str, shown: str) -> float:
    """Seconds from opening the page until a click starts a run; `shown` is the run on display before."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(CLICK_AT_ONCE)
    page.goto(address)
    wait_for_run(page, "generate", shown, seconds=600)  # what was clicked did happen
    seconds = page.evaluate("window.clicked")
    page.close()
    return seconds


def map_clicks(page: Page) -> list[float]:
    """Milliseconds that single clicks on the map of the latent space take to show their point, in order of size."""
    page.get_by_role("tab", name="Latent space").click()
    page.wait_for_selector("#latent-point .latent_point[data-of]")
    return sorted(page.evaluate(CLICK_POINTS, list(range(40, 60))))


def measure(checkpoints: Path, model: str | None, steps: int, images: int, runs: int) -> dict:
    """Generate `runs` times in the browser; every figure is measured, times are of the median run."""
    zoo = open_shelf(checkpoints)
    key = zoo.pick(model or "attention_unet")
    watch = Stopwatch(zoo[key])
    results = []
    first_views = FirstViews()
    with served(zoo, first_views=first_views) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        first = shown = wait_for_run(page, "generate")
        first_views.finish_all()
        page.get_by_label("Steps").first.fill(str(steps))
        page.get_by_label("number input for Images").first.fill(str(images))
        page.evaluate(WATCH)
        for number in range(runs + 1):
            page.wait_for_timeout(500)
            watch.reset()
            page.get_by_role("button", name="Generate").click()
            shown = wait_for_run(page, "generate", shown, seconds=600)
            page.wait_for_function("window.watched.finished")
            seen = page.evaluate("window.watched")
            began, ended, shown_at = seen["clicked"], seen["finished"], seen["frames"]
            if number:  # the first is the warm-up
                frames = int(page.get_attribute("#generate-viewer .viewer", "data-frames"))
                computed = watch.seconds, watch.first - began, watch.last - watch.first, watch.calls
                rate = (len(shown_at) - 1) / max(1e-3, shown_at[-1] - shown_at[0])
                results.append((ended - began, *computed, frames, shown_at[0] - began, rate))
        scrubs = sorted(page.evaluate(SCRUB))
        clicks = map_clicks(page) if "latent_diffusion" in zoo.keys else []
        page.close()
        opened = sorted(usable_after(browser, address, first) for _ in range(runs))
    wall, network, before, span, calls, frames, first, rate = sorted(results)[len(results) // 2]
    return {
        "hardware": hardware_name(torch.device("cpu")),
        "model": key,
        "steps": steps,
        "images": images,
        "runs": runs,
        "page_usable_after_s": round(opened[len(opened) // 2], 2),
        "network_passes": calls,
        "frames_in_browser": frames,
        "click_to_first_frame_s": round(first, 3),
        "frames_shown_per_s": round(rate, 1),
        "network_steps_per_s": round(steps / network, 1),
        "scrubber_ms_median": round(scrubs[len(scrubs) // 2], 1),
        "scrubber_ms_slowest": round(scrubs[-1], 1),
        "map_click_ms_median": round(clicks[len(clicks) // 2], 1) if clicks else None,
        "map_click_ms_slowest": round(clicks[-1], 1) if clicks else None,
        "click_to_finished_s": round(wall, 3),
        "click_to_first_pass_s": round(before, 3),
        "last_pass_to_finished_s": round(wall - before - span, 3),
        "network_s": round(network, 3),
        "network_share_of_click_to_finished": round(network / wall, 3),
        "network_share_of_computation": round(network / span, 3),
    }


def main(
    checkpoints: Annotated[Path, typer.Option(help="Folder with a checkpoint folder for each model.")] = CHECKPOINTS,
    model: Annotated[str | None, typer.Option(help="Which one.  [default: that the page opens with]")] = None,
    steps: Annotated[int, typer.Option(help="Of each run.")] = 50,
    images: Annotated[int, typer.Option(help="Of each run.")] = 4,
    runs: Annotated[int, typer.Option(help="How many.")] = 3,
) -> None:
    """Print what was measured, as JSON."""
    print(json.dumps(measure(checkpoints, model, steps, images, runs), indent=2))


if __name__ == "__main__":
    run_app(main)
