"""Model cards: what the hub reads, and that they say what config.json says."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml
from sentences import refused

from diffdemo import CHECKPOINTS
from diffdemo.description import read_info, write_json
from diffdemo.errors import TrainingError
from train.cards import card, main
from train.install import install


@pytest.fixture
def checkpoints(tiny_checkpoints, tmp_path):
    shutil.copytree(tiny_checkpoints, tmp_path / "checkpoints")
    folder = tmp_path / "checkpoints" / "attention_unet"
    content = json.loads((folder / "config.json").read_text())
    figure = {"value": 1.25, "floor": 0.05, "measured": "n = 5,000 against the test pictures"}
    before = {"images_seen": 111, "command": "python -m train.unet --first"}
    training = content["training"] | {"images_seen": 222, "started_from": before}
    write_json(folder / "config.json", content | {"metrics": {"frechet_distance": figure}, "training": training})
    return tmp_path / "checkpoints"


def test_the_metadata_is_what_the_hub_reads(checkpoints):
    text = card(read_info(checkpoints / "attention_unet"), "samples/final.png")
    _, head, body = text.split("---\n", 2)
    data = yaml.safe_load(head)
    assert data["license"] == "mit" and data["datasets"] == ["cifar10"]
    (result,) = data["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 1.25
    assert result["metrics"][0]["args"]["measured"] == "n = 5,000 against the test pictures"
    assert "| 1.25 | 0.05 | n = 5,000" in body and "![Attention UNet](samples/final.png)" in body
    assert body.index("| pictures seen | 111 |") < body.index("| pictures seen | 222 |")


def test_a_card_of_own_classes_names_no_data_set_of_others(checkpoints):
    info = replace(read_info(checkpoints / "attention_unet"), classes=("tabby", "tom"))
    head = yaml.safe_load(card(info, name="ada/cats").split("---\n")[1])
    assert "datasets" not in head and "cifar10" not in head["tags"]
    assert head["model-index"][0]["results"][0]["dataset"] == {"name": "own pictures", "type": "imagefolder"}
    assert 'diffdemo.load("ada/cats")' in card(info, name="ada/cats")


def test_a_card_says_of_int8_that_it_is(checkpoints, tmp_path):
    assert "- weights" not in card(read_info(checkpoints / "attention_unet"))
    smaller = install(checkpoints / "attention_unet", tmp_path / "smaller")
    assert "- weights: int8 with one fp16 scale for each output channel" in card(read_info(smaller))


def test_a_card_that_says_something_else_is_noticed(checkpoints, capsys):
    with refused(TrainingError, "does not say what config.json says"):
        main(checkpoints, check=True)
    main(checkpoints, check=False)
    main(checkpoints, check=True)
    path = checkpoints / "attention_unet" / "README.md"
    path.write_text(path.read_text().replace("1.25", "0.25"))
    with refused(TrainingError, "attention_unet/README.md does not say"):
        main(checkpoints, check=True)


def test_the_shipped_cards_are_up_to_date():
    main(CHECKPOINTS, check=True)
