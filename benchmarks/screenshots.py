"""Take the pictures of the page that the documentation shows: python -m benchmarks.screenshots

Starts the page on the shipped checkpoints, waits for finished runs and writes docs/generate.png and one for each other
tab (1280 pixels wide), and docs/generate-phone.png and so on (390 wide). `--dark` takes them in dark mode. What shows
pictures of the data set or reconstructions of them, which are not ours to hand on, is covered.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.support.browser import chromium, open_shelf, served, wait_for_run
from diffdemo import CHECKPOINTS
from train.flags import run_app

# The name of each tab, and what to wait for; those with a viewer of their own wait for its run.
TABS = {
    "generate": ("Generate", None),
    "compare": ("Compare", None),
    "inside": ("Inside", "#inside-view .inside[data-state=shown]"),
    "forward": ("Forward", None),
    "latent": ("Latent space", None),
    "classify": ("Classify", "#classify-view .scores"),
    "training": ("Training", "#training-moments img"),
}
# Decoded from the latents of test pictures, or from latents between two of them.
COVERED = "#latent-point canvas, #latent-strip canvas"
GREY = "#94a3b8"
SIZES = {"": (1280, 900), "-phone": (390, 844)}


def take(checkpoints: Path, out: Path, dark: bool = False) -> list[Path]:
    """Write the pictures to the folder `out`, and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    # Without a data set, of which examples would be.
    with (
        TemporaryDirectory() as nothing,
        served(open_shelf(checkpoints), data=nothing) as address,
        chromium() as browser,
    ):
        for suffix, (width, height) in SIZES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height},
                device_scale_factor=2 if suffix else 1,
                color_scheme="dark" if dark else "light",
                reduced_motion="reduce",  # else the runs on display play before they rest
            )
            page.goto(address)
            for tab, (name, shown) in TABS.items():
                page.get_by_role("tab", name=name).click()
                page.wait_for_selector(shown) if shown else wait_for_run(page, tab)
                page.wait_for_timeout(1000)  # fonts of the formulas, the slider's pictures
                written.append(out / f"{tab}{suffix}.png")
                page.screenshot(path=written[-1], full_page=True, mask=[page.locator(COVERED)], mask_color=GREY)
            page.close()
    return written


def main(
    checkpoints: Annotated[Path, typer.Option(help="Folder with a checkpoint folder for each model.")] = CHECKPOINTS,
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs"),
    dark: Annotated[bool, typer.Option("--dark", help="In dark mode.")] = False,
) -> None:
    """Take a picture of every tab, wide and on a phone, and print where they are."""
    for path in take(checkpoints, out, dark):
        print(path)


if __name__ == "__main__":
    run_app(main)
