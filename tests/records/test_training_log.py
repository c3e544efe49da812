"""What the log of a run says at each point of its life, and of damaged folders."""

import json
import os

import numpy as np
import pytest
from run_folders import NOW, write_run
from sentences import refused

from diffdemo import CHECKPOINTS
from diffdemo.errors import RequestError
from diffdemo.records.run_folder import Record, moving_mean, runs
from diffdemo.ui.tabs.training import facts, in_words


def test_a_run_begins_goes_on_and_ends(tmp_path):
    record = write_run(tmp_path / "a")
    assert record.progress(NOW + 30).state == "beginning"
    assert facts(record)["problems"] == []
    record = write_run(tmp_path / "a", 500)
    progress = record.progress(NOW + 200)
    assert (progress.state, progress.share, progress.idle) == ("going on", 0.5, 200)
    assert record.progress(NOW + 3600).state == "interrupted"
    final = tmp_path / "a/samples/final.png"
    final.write_bytes(b"")
    os.utime(final, (NOW + 9, NOW + 9))
    assert record.progress(NOW + 3600).state == "finished"  # its patience was over
    os.utime(final, (NOW - 9, NOW - 9))
    assert record.progress(NOW).state == "going on"  # resumed
    assert write_run(tmp_path / "a", 1000).progress(NOW + 3600).state == "finished"


def test_an_autoencoder_alone_is_followed_like_any_other(tmp_path):
    record = write_run(tmp_path / "a", 500)
    training = record.description()["training"]
    (record.folder / "config.json").write_text(json.dumps({"training": {"images_seen": 0, "autoencoder": training}}))
    os.utime(record.folder / "config.json", (NOW, NOW))
    words = in_words(record.progress(NOW + 30), record.reached())
    assert words.startswith("**Going on**, 50 % of its budget, 500 images, 11.1 images a second, ")
    assert words.endswith("Last written less than a minute ago.")


def test_the_command_begins_with_what_made_the_first_weights(tmp_path):
    record = write_run(tmp_path / "a", 500)
    assert record.command() == "python -m train.unet --out a"  # of run.json, before a description has it
    earlier = {"command": "second", "started_from": {"command": "first"}}
    training = {"command": "last", "autoencoder": earlier}
    (record.folder / "config.json").write_text(json.dumps({"training": training}))
    assert record.command() == "first && second && last"


def test_moments_are_in_the_order_of_training(tmp_path):
    record = write_run(tmp_path / "a", 1000)
    (tmp_path / "a/epoch_visualizations").mkdir()
    for name in ("samples/final", "samples/images_000000500", "samples/epoch_0002", "samples/forward"):
        (tmp_path / f"a/{name}.png").write_bytes(b"")
    for name in ("epoch_0001", "epoch_0001_steps"):
        (tmp_path / f"a/epoch_visualizations/{name}.png").write_bytes(b"")
    found = [(moment.label, moment.images, len(moment.files)) for moment in record.moments()]
    assert found == [("epoch 1", 400, 2), ("500 images", 500, 1), ("epoch 2", 800, 1), ("end", 1000, 1)]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("history.csv", "step,images,ep", "A loss curve needs rows with images, loss, val_loss, lr; "),
        ("history.csv", "images,loss,val_loss,lr\n50,x,,1", "A loss curve needs rows of numbers"),
        ("history.csv", "\0\udcff", "history.csv"),
        ("config.json", '{"training": ', "config.json cannot be read as JSON"),
        ("config.json", '{"training": [1]}', "config.json does not describe a run"),
        ("run.json", "[]", "run.json does not describe a run"),
        ("run.json", '{"images": 0}', "run.json is damaged"),
    ],
)
def test_damage_gets_one_sentence_and_the_rest_is_still_told(tmp_path, name, content, sentence):
    record = write_run(tmp_path / "a", 500)
    (tmp_path / "a" / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    known = facts(record)
    assert any(sentence in problem and problem.count("\n") == 0 for problem in known["problems"])
    assert json.loads(json.dumps(known, allow_nan=False)) == known
    assert bool(known["history"]) == (name != "history.csv")


def test_runs_are_found_in_both_depths_the_newest_first(tmp_path):
    write_run(tmp_path / "all/simple_unet", 100)
    write_run(tmp_path / "a", 100)
    (tmp_path / "empty").mkdir()
    os.utime(tmp_path / "all/simple_unet/history.csv", (NOW + 5, NOW + 5))
    assert [record.name for record in runs(tmp_path)] == ["all/simple_unet", "a"]
    assert runs(tmp_path / "none") == []


def test_shipped_checkpoints_tell_their_whole_story(tmp_path):
    record = Record("Latent diffusion", CHECKPOINTS / "latent_diffusion")
    known = facts(record)
    assert known["problems"] == [] and known["state"] == "checkpoint"
    assert known["command"].startswith("python -m train.autoencoder")
    assert known["command"].endswith("--out runs/latent_diffusion && python -m train.install runs/latent_diffusion")
    assert [at["label"] for at in known["grids"]][-1] == "end"
    with refused(RequestError, "cannot be read"):
        Record("a", tmp_path / "none").history()


def test_a_smoothed_curve_lies_in_the_middle_of_its_values():
    x = np.arange(200.0)
    middles, means, width = moving_mean(x, 3 * x)
    assert width == 4
    np.testing.assert_allclose(means, 3 * (middles + 0.5))
    assert moving_mean(x[:9], x[:9])[2] == 1
