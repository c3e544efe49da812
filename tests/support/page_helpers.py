"""What tests do with the page in a browser, in a word each."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs

import numpy as np
from playwright.sync_api import Browser, Page, Route, expect

from benchmarks.support.browser import viewer, wait_for_run

SENDS = re.compile(r"/gradio_api/(queue/join|run/)")  # where the page sends events

# What tabs without a run show once they are ready.
VIEWS = {
    "classify": "#classify-view .scores[data-state=done]",
    "inside": "#inside-view .inside[data-state=shown]",
}

OF_LEAVING = ("AbortError", "Unexpected error Connection errored out", "Failed to fetch")

# Clicks Pause as soon as there is one on the stage with this id.
PAUSE = """tab => {
    document.querySelector(`#${tab}-viewer .lanes`)?.scrollIntoView({block: "center"});
    const button = document.querySelector(`#${tab}-viewer .replay`);
    if (!button?.textContent.includes("Pause")) return false;
    button.click();
    return true;
}"""

expect.set_options(timeout=30_000)  # as what waits for selectors has; a busy machine is slow


@contextmanager
def visits(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """A function that opens the page; afterwards no page may have asked another host or reported an error.

    Every page has lists of what was `requested` and of `complaints` in the console so far, by all of them.
    """
    contexts, requests, complaints, documents = [], [], [], []

    def open_one(width: int = 1280, height: int = 900, query: str = "", moving: str = "", **options) -> Page:
        # The run on display plays before it rests, unless nothing is to move; `moving` is a script that watches it.
        calm = {} if moving else {"reduced_motion": "reduce"}
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **calm, **options))
        page = contexts[-1].new_page()
        page.add_init_script(moving)
        page.on("domcontentloaded", lambda document: documents.append(document))
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address + query)
        linked = parse_qs(query.removeprefix("?")).get("tab", ["generate"])[0]
        if linked in VIEWS:
            page.wait_for_selector(VIEWS[linked])
        else:
            wait_for_run(page, linked)
        page.requested, page.complaints = requests, complaints
        return page

    yield open_one
    for context in contexts:
        context.close()
    if len(documents) > len(contexts):  # Gradio complains of streams that leaving a page breaks off
        complaints[:] = [said for said in complaints if not said.startswith(OF_LEAVING)]
    assert complaints == [], "\n".join(complaints)  # pytest shows no values of what stands in a helper
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []


@contextmanager
def held(page: Page) -> Iterator[None]:
    """The first event sent inside reaches the server only at the end: what a busy machine does, at will."""
    requests = []

    def keep(route: Route) -> None:
        if requests or route.request.method != "POST":
            route.fallback()
        else:
            requests.append(route)

    page.route(SENDS, keep)
    yield
    for _ in range(1500):  # half a minute
        if requests:
            break
        page.wait_for_timeout(20)
    requests[0].continue_()
    page.unroute(SENDS, keep)


def pictures(page: Page, tab: str = "generate", panel: str = "x0", lane: int = 1) -> np.ndarray:
    """What the canvases of a viewer's panel show, (N, 32, 32, 3) uint8."""
    return drawn(page, f"{viewer(tab)} .lane:nth-child({lane}) .{panel} canvas")


def drawn(page: Page, selector: str) -> np.ndarray:
    """What the selected canvases show, (N, 32, 32, 3) uint8."""
    pixels = page.evaluate(
        """selector => [...document.querySelectorAll(selector)].map(
            canvas => [...canvas.getContext("2d").getImageData(0, 0, 32, 32).data])""",
        selector,
    )
    return np.array(pixels, np.uint8).reshape(-1, 32, 32, 4)[..., :3]


def fill(page: Page, **fields) -> None:
    """Type into the visible fields of these labels."""
    for label, value in fields.items():
        name = {"Images": "number input for Images"}.get(label, label.replace("_", ": "))
        page.get_by_label(name, exact=True).locator("visible=true").fill(str(value))


def run(page: Page, tab: str = "generate", seconds: float = 60) -> str:
    """Press the tab's button and wait for its run to finish; the run's name."""
    previous = page.get_attribute(viewer(tab), "data-run")
    page.get_by_role("button", name=tab.capitalize(), exact=True).click()
    return wait_for_run(page, tab, previous, seconds=seconds)


def choose(page: Page, label: str, option: str) -> None:
    """Pick an option of the visible dropdown of this label."""
    page.get_by_label(label, exact=True).locator("visible=true").click()
    page.get_by_role("option", name=option, exact=True).click()


def for_a_visitor() -> bool:
    """Whether this thread works for a visitor, and not on what a tab shows before anyone clicks."""
    return not threading.current_thread().name.startswith("first_view")


def open_compare(page: Page) -> None:
    """Go to the Compare tab and wait for its first run."""
    page.get_by_role("tab", name="Compare").click()
    wait_for_run(page, "compare")


def start_long_run(page: Page) -> None:
    """Start a run of 1000 steps and wait for its first frame."""
    previous = page.get_attribute(viewer("generate"), "data-run")
    fill(page, Steps=1000)
    page.get_by_role("button", name="Generate", exact=True).click()
    wait_for_run(page, "generate", previous, "running")
