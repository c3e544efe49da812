"""How much of a generation's time in the page goes into the network: python -m benchmarks.streaming

Starts the page, drives it with headless Chromium and measures, after a warm-up, from the click until the browser shows
the finished pictures. The network's share is timed around its forward passes in the page's own process.
"""

import argparse
import json
import time

import torch

from benchmarks.browser import chromium, open_shelf, served, wait_for_run
from diffdemo import CHECKPOINTS
from diffdemo.device import hardware_name
from diffdemo.generator import Generator

# The browser notes by its own clock when Generate was clicked and when a finished run was on display: Playwright, which
# looks only now and then, would notice up to half a second later.
WATCH = """() => {
    const viewer = document.querySelector("#generate-viewer .viewer");
    window.clicked = window.finished = 0;
    document.addEventListener("click", () => { window.clicked = Date.now() / 1000; }, true);
    new MutationObserver(() => { if (viewer.dataset.state === "done") window.finished = Date.now() / 1000; })
        .observe(viewer, {attributeFilter: ["data-state"]});
}"""


class Stopwatch:
    """Adds up the time a generator's network takes."""

    def __init__(self, model: Generator):
        self.seconds, self.calls, self.first, self.last = 0.0, 0, 0.0, 0.0
        forward = model.network.forward

        def timed(*args, **kwargs):
            began = time.time()
            result = forward(*args, **kwargs)
            self.last = time.time()
            self.first = self.first or began
            self.seconds += self.last - began
            self.calls += 1
            return result

        model.network.forward = timed

    def reset(self) -> None:
        self.seconds, self.calls, self.first, self.last = 0.0, 0, 0.0, 0.0


def measure(checkpoints: str, model: str | None, steps: int, images: int, runs: int) -> dict:
    """Generate `runs` times in the browser; every figure is measured, times are of the median run."""
    shelf = open_shelf(checkpoints)
    key = shelf.pick(model or "attention_unet")
    watch = Stopwatch(shelf[key])
    results = []
    with served(shelf) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        shown = wait_for_run(page, "generate")
        page.get_by_label("Steps").first.fill(str(steps))
        page.get_by_label("number input for Images").first.fill(str(images))
        page.evaluate(WATCH)
        for number in range(runs + 1):
            page.wait_for_timeout(500)
            watch.reset()
            page.get_by_role("button", name="Generate").click()
            shown = wait_for_run(page, "generate", shown, seconds=600)
            began, ended = page.evaluate("[window.clicked, window.finished]")
            if number:  # the first is the warm-up
                frames = int(page.get_attribute("#generate-viewer .viewer", "data-frames"))
                results.append(
                    (ended - began, watch.seconds, watch.first - began, watch.last - watch.first, watch.calls, frames)
                )
    wall, network, before, span, calls, frames = sorted(results)[len(results) // 2]
    return {
        "hardware": hardware_name(torch.device("cpu")),
        "model": key,
        "steps": steps,
        "images": images,
        "runs": runs,
        "network_passes": calls,
        "frames_in_browser": frames,
        "click_to_finished_s": round(wall, 3),
        "click_to_first_pass_s": round(before, 3),
        "last_pass_to_finished_s": round(wall - before - span, 3),
        "network_s": round(network, 3),
        "network_share_of_click_to_finished": round(network / wall, 3),
        "network_share_of_computation": round(network / span, 3),
    }


def main() -> None:
    """Print the measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", default=str(CHECKPOINTS))
    parser.add_argument("--model")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
