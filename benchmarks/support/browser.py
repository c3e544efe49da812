"""The page in this process and a headless Chromium that looks at it, for tests, measurements and pictures."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from diffdemo.ui.page import SERVING, build
from diffdemo.ui.runs.zoo import ModelZoo

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str | None:
    """The installed Chromium, CHROMIUM first; None is Playwright's own."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium that makes no requests of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(zoo: ModelZoo, **how: object) -> Iterator[str]:
    """The address of the page that `build` makes of these, served from this process as app.py serves it."""
    page = build(zoo, **how)
    _, address, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **SERVING)
    try:
        yield address
    finally:
        page.close(verbose=False)


def open_shelf(checkpoints: str | Path) -> ModelZoo:
    """The models of a folder, on the CPU."""
    return ModelZoo.open(checkpoints, "cpu")


def viewer(tab: str, state: str | None = None) -> str:
    """Selector of a tab's viewer, in that state if one is named."""
    return f"#{tab}-viewer .viewer" + (f"[data-state={state}]" if state else "")


def wait_for_run(page: Page, tab: str, previous: str | None = None, state: str = "done", seconds: float = 60) -> str:
    """Wait until a run other than `previous` is in that state on display; its name."""
    other = f":not([data-run='{previous}'])" if previous else ""
    page.wait_for_selector(viewer(tab, state) + other, timeout=1000 * seconds)
    return page.get_attribute(viewer(tab), "data-run")
