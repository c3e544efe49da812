"""The Training tab in a real browser: a checkpoint's curve and pictures, and a run that grows meanwhile."""

import base64
import io
import json
import time
from collections.abc import Iterator
from shutil import copytree

import numpy as np
import pytest
from conftest import save_tiny_checkpoint
from gradio_client import Client
from page_helpers import drawn
from PIL import Image
from playwright.sync_api import Page
from run_folders import write_run

from benchmarks.support.browser import open_shelf, served
from diffdemo.errors import RequestError
from diffdemo.loading import load_generator
from diffdemo.records.quality_curves import weights_of
from diffdemo.records.run_folder import Record
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs.training import Library, facts
from train.curves import COLUMNS, Table
from train.install import install

QUALITY = "#training-quality"
CURVES, MOMENTS = "#training-curves .curves", "#training-moments .moments"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def zoo(tiny_checkpoints, folder) -> ModelZoo:
    """Checkpoints of which one has a history and pictures."""
    copytree(tiny_checkpoints, folder / "checkpoints")
    draw(folder / "checkpoints/attention_unet", "epoch_0001", 60)
    draw(folder / "checkpoints/attention_unet", "final", 200)
    write_history_of(folder / "checkpoints/attention_unet", 900)
    write_quality_of(folder / "checkpoints/attention_unet")
    return open_shelf(folder / "checkpoints")


@pytest.fixture(scope="module")
def address(zoo, folder) -> Iterator[str]:
    with served(zoo, runs=folder / "runs") as url:
        yield url


def write_history_of(checkpoint, seen: int) -> None:
    """Give a checkpoint the history of a run, and nothing else of it."""
    run = write_run(checkpoint.parent / "elsewhere", seen)
    (run.folder / "history.csv").rename(checkpoint / "history.csv")


def write_quality_of(checkpoint) -> None:
    """Give a checkpoint the table of quality over steps, with rows that were measured otherwise before."""
    weights = weights_of(json.loads((checkpoint / "config.json").read_text())["files"])
    shared = {
        "spacing": "trailing",
        "guidance_scale": 2,
        "first_seed": 0,
        "sampled_on": "cpu fp32",
        "reference": "train 1",
        "classifier": "2",
    }
    shared |= {"floor_frechet_distance": 0.2, "weights": weights, "n": 500}
    rows = [
        {"sampler": sampler, "steps": steps, "frechet_distance": distance}
        for sampler, steps, distance in [("ddim", 10, 2), ("ddim", 2, 8), ("heun", 2, 4), ("ddim", 100, 1)]
    ]
    others = [{"sampler": "ddim", "steps": 5, "frechet_distance": 99, "n": 10}, rows[0] | {"weights": "others"}]
    table = Table(checkpoint / "quality_steps.csv")
    for row in [*others, *rows]:
        table.add(dict.fromkeys(COLUMNS, "") | shared | row)


def draw(folder, name: str, grey: int) -> None:
    """A sample grid of one colour."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (grey,) * 3).save(folder / f"samples/{name}.png")


def grey_of(page: Page) -> int:
    """The colour of the sample grid on display."""
    source = page.get_attribute(f"{MOMENTS} img", "src")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    assert pixels.shape == (48, 64, 3)
    return int(pixels[0, 0, 0])


def open_training(page: Page) -> None:
    page.get_by_role("tab", name="Training").click()
    page.wait_for_selector(f"{CURVES}[data-points]")


def choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name).locator("visible=true").check()


def test_the_slider_goes_through_the_training_of_a_checkpoint(open_page, folder):
    page = open_page()
    open_training(page)
    page.wait_for_selector(f"{CURVES}[data-points='9 2']")  # nine losses, of which two rows end an epoch
    page.wait_for_selector(f"{MOMENTS}[data-shown=end]")
    assert grey_of(page) == 200
    page.locator(f"{MOMENTS} .time").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f"{MOMENTS}[data-shown='epoch 1']")
    assert grey_of(page) == 60
    page.locator(f"{CURVES} .area").focus()
    page.keyboard.press("ArrowRight")
    assert page.inner_text(f"{CURVES} .reading").splitlines() == [
        "200 images seen",
        "training: 0.5",
        "validation: 0.225",
    ]
    assert page.locator("#training-tables").get_by_text("1,234").is_visible()
    scale = page.locator(f"{CURVES} .scale")
    assert scale.get_attribute("aria-pressed") == "true"
    scale.click()
    assert scale.get_attribute("aria-pressed") == "false"
    assert page.get_attribute(f"{QUALITY}-steps-frechet_distance .curves", "data-points") == "3 1 2"
    assert page.locator(f"{QUALITY}-steps span.md").inner_text().startswith("Quality over denoising steps. 500 ")
    page.locator(f"{QUALITY}-steps-frechet_distance .area").focus()
    page.keyboard.press("ArrowRight")
    assert page.inner_text(f"{QUALITY}-steps-frechet_distance .reading").splitlines() == [
        "10 denoising steps", "DDIM: 2", "Heun: 4", "real pictures: 0.2"
    ]  # fmt: skip
    assert page.locator(f"{QUALITY}-steps-class_agreement, {QUALITY}-guidance_scale").count() == 0
    choose(page, "Simple UNet")  # it has no history
    page.locator(CURVES).get_by_text("history.csv cannot be read").wait_for()
    page.get_by_text("No sample grids yet.").wait_for()
    assert page.locator(f"{QUALITY}-steps").count() == 0


def test_a_run_appears_and_grows_while_the_page_is_open(open_page, folder):
    page = open_page()
    open_training(page)
    run = write_run(folder / "runs/mine", 300, saved=time.time())
    choose(page, "runs/mine")
    page.wait_for_selector(f"{CURVES}[data-points='3 0']")
    page.locator("#training-state").get_by_text("Going on, 30 % of its budget").wait_for()
    draw(run.folder, "epoch_0001", 90)
    write_run(folder / "runs/mine", 500, saved=time.time())
    page.wait_for_selector(f"{CURVES}[data-points='5 1']")
    page.wait_for_selector(f"{MOMENTS}[data-shown='epoch 1']")
    assert grey_of(page) == 90
    (run.folder / "history.csv").write_text("step,images,lo")  # as if it were written by something else than the loop
    page.locator(CURVES).get_by_text("A loss curve needs rows with").wait_for()
    page.get_by_role("tab", name="Generate").click()
    page.wait_for_timeout(500)  # a look that was under way
    asked = len(page.requested)
    page.wait_for_timeout(3000)
    assert len(page.requested) == asked


def test_the_endpoint_gives_the_facts(address, folder):
    known = Client(address, verbose=False).predict("attention_unet", api_name="/training")
    assert known["history"]["loss"][:2] == [1, 0.5] and known["history"]["val_loss"][:4] == [None, None, None, 0.225]
    assert [at["label"] for at in known["grids"]] == ["epoch 1", "end"]
    assert known["state"] == "checkpoint" and known["training"]["images_seen"] == 1234
    assert {"attention_unet", "simple_unet"} <= set(known["names"])
    assert known["quality"]["steps"][0]["samplers"]["ddim"] == {"x": [2, 10, 100], "y": [8, 2, 1]}


def test_curves_are_installed_and_a_damaged_table_is_a_sentence(folder, tmp_path):
    installed = install(folder / "checkpoints/attention_unet", tmp_path / "installed")
    assert Record("", installed).quality()["steps"][0].floor == 0.2
    for damage in ("sampler,steps", "no table"):
        (installed / "quality_guidance.csv").write_text(f"{damage}\nddim,2\n")
        with pytest.raises(RequestError, match=r"quality_guidance.csv is no table of train.curves"):
            Record("", installed).quality()
    assert any("no table" in sentence for sentence in facts(Record("", installed))["problems"])


def test_without_a_folder_of_runs_there_are_checkpoints_only(zoo, tmp_path):
    for folder in (None, tmp_path / "runs"):
        assert list(Library(zoo, folder).records()) == ["simple_unet", "attention_unet"]


def test_the_time_machine_draws_the_same_seeds_at_every_snapshot(open_page, folder):
    kept = {100: "snapshots/images_000000100", 300: ""}
    run = folder / "runs" / "travelling"
    for seen, name in kept.items():
        save_tiny_checkpoint(folder / f"{seen}", "attention_unet", seed=seen)
        copytree(folder / f"{seen}" / "attention_unet", run / name, dirs_exist_ok=True)
        config = run / name / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"training": {"images_seen": seen}}))
    (run / "run.json").write_text(json.dumps({"images": 300, "max_minutes": 0.0, "save_minutes": 2.0, "commands": []}))
    page = open_page()
    page.get_by_role("tab", name="Training").click()
    page.get_by_role("radio", name="runs/travelling").check()
    page.get_by_role("button", name="Draw at every snapshot").click()
    page.wait_for_selector("#training-machine [data-rows='2']")
    assert page.locator("#training-machine th[scope=row]").all_inner_texts() == ["100 images", "300 images"]
    expected = [load_generator(run / name, "cpu").sample("airplane", seeds=range(4)) for name in kept.values()]
    page.wait_for_selector("#training-machine [data-over='true']")
    assert np.array_equal(drawn(page, "#training-machine canvas"), np.concatenate(expected))
    page.get_by_role("radio", name="Attention UNet").locator("visible=true").check()
    page.get_by_role("button", name="Draw at every snapshot").wait_for(state="hidden")
