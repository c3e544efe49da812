"""Everybody can use the page: what axe, the usual checker of web pages, finds on each tab, light and dark."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.support.browser import open_shelf, wait_for_run
from diffdemo.ui.runs.zoo import ModelZoo

AXE = Path(find_spec("axe_playwright_python").origin).with_name("axe.min.js")
# What is waited for: the run on display, or else that this is there.
TABS = {
    "Generate": None,
    "Compare": None,
    "Inside": "#inside-view .inside[data-state=shown]",
    "Forward": None,
    "Latent space": None,
    "Classify": "#classify-view .scores",
    "Training": "#training-moments .moments",
}
SERIOUS = """async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations
        .filter(({ impact }) => ["serious", "critical"].includes(impact))
        .flatMap(({ id, nodes }) => nodes.map(({ target, any }) => `${id}: ${target} ${any[0]?.message ?? ""}`));
}"""


@pytest.fixture(scope="module")
def zoo(mapped_checkpoints) -> ModelZoo:
    return open_shelf(mapped_checkpoints)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_tab_has_a_serious_violation(open_page, scheme):
    page = open_page(color_scheme=scheme)
    page.add_script_tag(path=AXE)
    found = {}
    for name, shown in TABS.items():
        page.get_by_role("tab", name=name).click()
        page.wait_for_selector(shown) if shown else wait_for_run(page, name.split()[0].lower())
        page.wait_for_timeout(300)
        found[name] = page.evaluate(SERIOUS)
    assert found == {name: [] for name in TABS}
