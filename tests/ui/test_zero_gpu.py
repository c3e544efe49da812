"""The page as a Space on ZeroGPU: runs are computed in forked children that a stand-in lends, all else as ever."""

import inspect
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_helpers import REPOSITORY
from gradio_client import Client
from gradio_client.exceptions import AppError
from page_helpers import fill, pictures, run, start_long_run, visits
from PIL import Image

from benchmarks.support.browser import open_shelf, viewer
from diffdemo.device import use_own_cores
from diffdemo.figures.raster import image_grid
from diffdemo.process.samplers import SAMPLERS, Step
from diffdemo.ui import options
from diffdemo.ui.parts.wiring import FirstView
from diffdemo.ui.runs import zero_gpu
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.tabs.generate import start

STAND_IN = REPOSITORY / "tests" / "support" / "zero"


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """Where the stand-in notes what it has lent."""
    return tmp_path_factory.mktemp("zero") / "log"


@pytest.fixture(scope="module")
def address(tiny_checkpoints, log) -> Iterator[str]:
    """app.py as the host starts it, but for a flag, which being a Space does not swallow."""
    space = {"SPACES_ZERO_GPU": "true", "SPACE_ID": "ada/diffdemo", "CPU_CORES": "1", "ZERO_LOG": str(log)}
    paths = {"PYTHONPATH": str(STAND_IN), "DIFFDEMO_CHECKPOINTS": str(tiny_checkpoints)}
    limits = {"ZERO_QUOTA": "50", "ZERO_PAUSE": "0.01", "DIFFDEMO_MAX_SECONDS": "60", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "app.py", "--data", str(log.parent)]
    page = subprocess.Popen(
        command, cwd=REPOSITORY, env=os.environ | space | paths | limits, stdout=subprocess.PIPE, text=True
    )
    try:
        yield re.search(r"http://[\w.:]+/?", page.stdout.readline())[0]
    finally:
        page.terminate()
        page.wait(timeout=30)
        page.stdout.close()


@pytest.fixture
def open_page(browser, address):
    with visits(browser, address) as open_one:
        yield open_one


@pytest.fixture(scope="module")
def zoo(tiny_checkpoints):
    return open_shelf(tiny_checkpoints)


@pytest.fixture
def lent(log):
    """A function that gives what was lent since the test began, or since its last call."""
    seen = len(log.read_text().splitlines()) if log.exists() else 0

    def news() -> list[dict]:
        nonlocal seen
        lines = log.read_text().splitlines() if log.exists() else []
        fresh, seen = lines[seen:], len(lines)
        return [json.loads(line) for line in fresh]

    return news


def test_the_first_sight_of_the_page_costs_nobody_a_gpu(open_page, lent):
    page = open_page()
    assert page.get_attribute(viewer("generate"), "data-state") == "done"
    assert lent() == []


def test_a_run_is_computed_in_a_child_and_its_pictures_are_the_same(address, zoo, lent, tmp_path):
    client = Client(address, verbose=False, download_files=str(tmp_path))
    drawn, details = client.predict("simple_unet", "dog", 6, "5", 2, "heun", 1.5, api_name="/generate")
    expected = zoo["simple_unet"].sample("dog", steps=6, seeds=[5, 6], sampler="heun", guidance_scale=1.5)
    assert np.array_equal([np.asarray(Image.open(one["image"])) for one in drawn], expected)
    assert "--device cuda" in details["command"] and details["network_evaluations"] == 22
    (loan,) = lent()
    assert loan["child"] != loan["parent"] and loan["taken"] == 6 and loan["ended"]
    assert zero_gpu.LEAST <= loan["seconds"] < 10
    grid = np.asarray(Image.open(client.predict("png", api_name="/save")))
    assert np.array_equal(grid, image_grid(expected, scale=4)) and lent() == []


def test_a_comparison_is_one_loan(address, zoo, lent):
    client = Client(address, verbose=False)
    *galleries, _ = client.predict(steps_a=3, steps_b=5, seed="9", n=1, api_name="/compare")
    for gallery, key, steps in zip(galleries[:2], ("simple_unet", "attention_unet"), (3, 5), strict=True):
        expected = zoo[key].sample("horse", steps=steps, seeds=[9])
        assert np.array_equal(np.asarray(Image.open(gallery[0]["image"])), expected[0])
    assert [(loan["taken"], loan["ended"]) for loan in lent()] == [(8, True)]


def test_a_quota_that_is_used_up_is_a_sentence(address, lent):
    client = Client(address, verbose=False)
    with pytest.raises(AppError) as refused:
        client.predict(steps=1000, n=8, api_name="/generate")
    assert str(refused.value) == (
        "Hugging Face lent no GPU for all of this run: You have exceeded your free ZeroGPU quota (60s requested vs. "
        "50s left). Fewer steps or images need less of it."
    )
    assert lent() == []


def test_generate_scrub_stop_and_save_in_a_browser(open_page, zoo, lent):
    page = open_page()
    fill(page, Steps=5, Seed=3, Images=2)
    run(page)
    steps = list(zoo["attention_unet"].denoise("horse", steps=5, seeds=[3, 4], guidance_scale=2.0))
    images = zoo["attention_unet"].images
    assert np.array_equal(pictures(page), images(steps[-1].x_prev))
    page.locator(f"{viewer('generate')} .scrubber").focus()
    page.keyboard.press("Home")
    for step in steps:
        assert np.array_equal(pictures(page, panel="x_t"), images(step.x_t))
        page.keyboard.press("ArrowRight")
    with page.expect_download() as download:
        page.get_by_role("button", name="GIF", exact=True).click()
    assert Image.open(download.value.path()).n_frames == 6
    assert [(loan["taken"], loan["ended"]) for loan in lent()] == [(5, True)]
    fill(page, Images=1)
    start_long_run(page)
    page.get_by_role("button", name="Stop", exact=True).locator("visible=true").click()
    page.wait_for_selector(viewer("generate", "stopped"))
    while not (loans := lent()):
        page.wait_for_timeout(50)
    assert 0 < loans[0]["taken"] < 1000 and not loans[0]["ended"]


def test_the_link_and_the_hubs_address_bar_name_the_run(browser, address):
    """The hub's page has ours in a frame, whose own address nobody sees."""
    hub = "https://huggingface.co/spaces/ada/diffdemo"
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["local-network-access"])
    page = context.new_page()
    framed = f'<iframe src="{address}?__theme=dark" width="1200" height="850"></iframe>'
    heard = "<script>told = []; addEventListener('message', ({ data }) => told.push(data.queryString))</script>"
    page.route("https://huggingface.co/**", lambda route: route.fulfill(body=heard + framed, content_type="text/html"))
    page.goto(hub)
    frame = page.frame_locator("iframe")
    frame.locator(viewer("generate", "done")).wait_for(timeout=60_000)
    frame.get_by_label("Steps", exact=True).locator("visible=true").fill("3")
    frame.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_function("told.some((query) => query?.includes('steps=3'))")
    told = page.evaluate("told.filter((query) => query?.includes('steps=3'))")[0]
    assert "theme" not in told and "model=attention_unet" in told
    frame.get_by_role("button", name="Reproduce and share").click()
    shown = frame.locator(".reproduce textarea").nth(2)
    assert shown.input_value() == f"{hub}?{told}"
    frame.get_by_role("tab", name="Forward").click()
    page.wait_for_function("told.at(-1) === 'tab=forward'")
    context.close()


@pytest.fixture
def copies(zoo, monkeypatch) -> None:
    """As if these models were lent a GPU, in this very process."""
    monkeypatch.setattr(zero_gpu, "_copies", {key: zoo[key] for key in zoo.keys})


def same(a: Step, b: Step) -> bool:
    states = all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("x_t", "x0", "x_prev"))
    return states and (a.index, a.t, a.snr, a.nfe, a.guide_nfe) == (b.index, b.t, b.snr, b.nfe, b.guide_nfe)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("level", [None, 400])
def test_a_loan_takes_and_gives_plain_values_and_changes_nothing(zoo, copies, sampler, level):
    model = zoo["simple_unet"]
    asked = model.request("cat", steps=4, sampler=sampler, seeds=[1, 2], guidance_scale=2)
    begin = None if level is None else (torch.randn(2, 3, 32, 32), level)
    taken = list(zero_gpu.run(model, asked, begin))
    assert len(taken) == 4 and all(same(*pair) for pair in zip(taken, model.run(asked, begin), strict=True))
    runs = [(model.key, asked, begin and (begin[0].numpy(), level))]
    place, (index, t, x_t, *_) = next(zero_gpu.steps(pickle.loads(pickle.dumps(runs))))
    assert (place, index, type(t), type(x_t)) == (0, 0, int, np.ndarray)


def test_runs_of_one_loan_may_be_taken_in_any_order_and_end_together(zoo, copies, monkeypatch):
    going = []
    steps = zero_gpu.steps
    monkeypatch.setattr(zero_gpu, "steps", lambda runs: going.append(steps(runs)) or going[-1])
    model = zoo["simple_unet"]
    asked = [model.request("cat", steps=count, seeds=[count]) for count in (2, 5, 3)]

    def begin() -> list[Iterator[Step]]:
        with zero_gpu.one_loan():
            return [zero_gpu.run(model, one) for one in asked]

    for taken, one in zip(reversed(begin()), reversed(asked), strict=True):
        assert all(same(*pair) for pair in zip(taken, model.run(one), strict=True))
    assert len(going) == 1 and inspect.getgeneratorstate(going[0]) == inspect.GEN_CLOSED
    first, second, _ = runs = begin()
    assert [len(list(islice(first, 2))), next(second).index] == [2, 0]
    first.close()  # which has come to its end
    assert next(second).index == 1 and inspect.getgeneratorstate(going[1]) == inspect.GEN_SUSPENDED
    second.close()
    assert inspect.getgeneratorstate(going[1]) == inspect.GEN_CLOSED and len(runs) == 3


def test_what_the_page_computes_for_itself_is_computed_here(zoo, copies, monkeypatch):
    monkeypatch.setattr(zero_gpu, "steps", lambda runs: pytest.fail("a GPU was asked for"))
    assert FirstView(lambda: start(zoo, Settings.of(zoo, "simple_unet", steps=2)).device)() == "cpu"
    assert start(zoo, Settings.of(zoo, "simple_unet", steps=2)).device == "cuda"


def test_seconds_follow_steps_and_images(zoo):
    def asked(**how) -> int:
        return zero_gpu.seconds([("simple_unet", zoo["simple_unet"].request("cat", **how), None)])

    assert asked(steps=1, guidance_scale=1) == zero_gpu.LEAST
    assert asked(steps=1000, guidance_scale=1) < asked(steps=1000, guidance_scale=1, seeds=range(8)) < zero_gpu.MOST
    assert asked(steps=1000, sampler="heun", guidance_scale=2, seeds=range(8)) == zero_gpu.MOST


def test_elsewhere_there_is_no_trace_of_it(zoo):
    assert not zero_gpu.ON and inspect.isgeneratorfunction(zero_gpu.steps) and "spaces" not in sys.modules
    steps = zero_gpu.run(zoo["simple_unet"], zoo["simple_unet"].request("cat", steps=1))
    assert steps.gi_code.co_name == "run" and not zero_gpu.is_lent(zoo["simple_unet"])


def test_a_space_computes_on_its_own_cores_and_takes_its_flags_from_variables(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "ada/diffdemo")
    monkeypatch.setenv("CPU_CORES", "3")
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    use_own_cores()
    monkeypatch.delenv("SPACE_ID")
    use_own_cores()
    assert threads == [3]
    monkeypatch.setenv("DIFFDEMO_DEVICE", "cpu")
    monkeypatch.setenv("DIFFDEMO_RUNS", "elsewhere")
    assert (options.read([]).device, options.read([]).runs) == ("cpu", "elsewhere")
    assert options.read(["--device", "cuda"], {"SPACE_ID": "ada/diffdemo"}).device == "cuda"
