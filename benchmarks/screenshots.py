"""Take the pictures of the page that the documentation shows: python -m benchmarks.screenshots

Starts the page on the shipped checkpoints, waits for finished runs and writes docs/generate.png and one for each other
tab (1280 pixels wide), and docs/generate-phone.png and so on (390 wide). `--dark` takes them in dark mode. What shows
pictures of the data set or reconstructions of them, which are not ours to hand on, is covered.
"""

import argparse
from pathlib import Path

from benchmarks.browser import chromium, open_shelf, served, wait_for_run
from diffdemo import CHECKPOINTS

# The name of each tab, and what to wait for; those with a viewer of their own wait for its run.
TABS = {
    "generate": ("Generate", None),
    "compare": ("Compare", None),
    "forward": ("Forward", None),
    "latent": ("Latent space", None),
    "classify": ("Classify", "#classify-view .scores"),
    "training": ("Training", "#training-moments img"),
}
# Decoded from the latents of test pictures, or from latents between two of them.
COVERED = "#latent-point canvas, #latent-strip canvas"
GREY = "#94a3b8"
SIZES = {"": (1280, 900), "-phone": (390, 844)}


def take(checkpoints: str, out: Path, dark: bool = False) -> list[Path]:
    """Write the pictures to the folder `out`, and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with served(open_shelf(checkpoints)) as address, chromium() as browser:
        for suffix, (width, height) in SIZES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height},
                device_scale_factor=2 if suffix else 1,
                color_scheme="dark" if dark else "light",
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


def main() -> None:
    """Take them and say where they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", default=str(CHECKPOINTS))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--dark", action="store_true")
    for path in take(**vars(parser.parse_args())):
        print(path)


if __name__ == "__main__":
    main()
