"""The tables of README and docs/results.md: made from measurements, stale ones noticed, and a front page stays one."""

import json
import shutil

import pytest
from sentences import refused

from diffdemo import CHECKPOINTS
from diffdemo.description import read_info, write_info, write_json
from diffdemo.errors import TrainingError
from train.cards import main
from train.evaluate.results import MADE, PAGES, filled_in

ROOT = CHECKPOINTS.parent


@pytest.fixture
def project(tiny_checkpoints, tmp_path):
    """A project with two tiny checkpoints, of which one was evaluated."""
    shutil.copytree(tiny_checkpoints, tmp_path / "checkpoints")
    for key in ("simple_unet", "attention_unet"):
        folder = tmp_path / "checkpoints" / key
        info = read_info(folder)
        facts = {"images_per_second": 12.3, "loss": 0.25, "val_loss": 0.26}
        write_info(folder, type(info)(**{**vars(info), "training": info.training | facts}))
    figures = {"frechet_distance": 1.234, "precision": 0.9, "recall": 0.8, "class_agreement": 0.951}
    figures["copying_share_5"] = 0.05
    drawn = {"sampler": "dpmpp", "steps": 16, "spacing": "karras", "guidance_scale": 2.5, "nfe": 20}
    drawn |= {"guidance_interval": "0.25,5", "guide": "no-class", "weights": info.files}
    floor = {"n": 500, "split": "test", "figures": figures | {"frechet_distance": 0.1}}
    result = {"n": 500, "drawn": drawn, "figures": figures, "floor": floor, "reference": {"n": 9, "sha256": "a"}}
    write_json(folder / "evaluation.json", result)
    return tmp_path


def page(*names: str) -> str:
    return "\n".join(f"text\n<!-- {name} -->\nold\n<!-- /{name} -->" for name in names) + "\nend\n"


def test_tables_are_put_between_their_marks_and_nothing_else_changes(project):
    text = filled_in(page("quality", "models"), project)
    assert text.startswith("text\n<!-- quality -->\n| pictures |") and text.endswith("<!-- /models -->\nend\n")
    assert "old" not in text and text.count("text\n") == 2
    row = "| `attention_unet` | DPM-Solver++, 16 (karras), guidance 2.5 (sigma 0.25 to 5) | 20 | 500 | 1.23 | 0.900 |"
    assert f"{row} 0.800 | 95.1 % | 5.0 % |" in text
    assert "| real test pictures of the same classes |  |  | 500 | 0.10 |" in text
    assert filled_in(text, project) == text


def test_an_evaluation_of_other_weights_is_left_out(project):
    path = project / "checkpoints" / "attention_unet" / "evaluation.json"
    result = json.loads(path.read_text())
    result["drawn"]["weights"] = {"model.safetensors": "0" * 64}
    write_json(path, result)
    assert "1.23" not in filled_in(page("quality", "shown"), project)


def test_every_table_can_be_made_where_nothing_was_measured(project):
    (project / "checkpoints" / "attention_unet" / "evaluation.json").unlink()
    text = filled_in(page(*MADE.keys() - {"pair-study"}), project)
    assert "not measured" in text


def test_a_page_that_asks_for_an_unknown_table_is_refused(project):
    with refused(TrainingError, "There is no table 'speed'; choose one of: shown, models"):
        filled_in(page("speed"), project)


def test_the_shipped_pages_say_what_was_measured():
    main(CHECKPOINTS, check=True)
    for name in PAGES:
        text = (ROOT / name).read_text("utf-8")
        changed = text.replace("| `attention_unet` |", "| `attention_unet` | 9 |", 1)
        assert filled_in(text, ROOT) == text != changed and filled_in(changed, ROOT) == text


def test_the_front_page_stays_one():
    assert len((ROOT / "README.md").read_text("utf-8").split()) < 1200
