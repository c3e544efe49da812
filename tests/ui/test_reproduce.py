"""What the page says of repeating a run is true to the last pixel; a link brings back every setting."""

import shlex
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from PIL import Image

from benchmarks.support.browser import open_shelf
from diffdemo import CHECKPOINTS, RequestError
from diffdemo.__main__ import main
from diffdemo.ui.runs import reproduce
from diffdemo.ui.runs.examples import EXAMPLES, examples
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.settings import Settings, link, linked
from diffdemo.ui.runs.stream import stream
from diffdemo.ui.tabs.generate import start

SETTINGS = [
    ("attention_unet", "horse", 5, "dpmpp", 2.5, "7", 4),
    ("simple_unet", "any", 3, "ddpm", 1, str(2**64 - 1), 1),
    ("ddpm_unet", "any", 2, "heun", 1, "0", 3),
    ("patch_unet", "dog", 4, "ddim", 0.1 + 0.2, "12", 2),
    ("latent_diffusion", "cat", 6, "dpmpp", 3, "5", 8),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=[row[0] for row in SETTINGS])
def test_the_command_and_the_python_give_the_very_pictures_of_the_run(zoo, settings, tmp_path, monkeypatch):
    lane, recordings = start(zoo, Settings(*settings)), Recordings()
    list(stream([lane]))
    recordings.keep("1", [lane])
    monkeypatch.chdir(tmp_path)
    words = shlex.split(reproduce.command(lane, zoo.folder))
    assert words[:3] == ["python", "-m", "diffdemo"]
    assert main(words[3:]) == 0
    saved = recordings.file("1", "png")
    assert Path(saved.name).read_bytes() == saved.read_bytes()
    names: dict = {}
    exec(reproduce.python(lane, zoo.folder), names)
    assert np.array_equal(names["images"], lane.pictures)


@pytest.mark.parametrize(("key", "steps", "halt"), [("attention_unet", 6, 4), ("latent_diffusion", 250, 7)])
def test_of_a_stopped_run_they_give_the_pictures_of_the_last_step_on_display(zoo, key, steps, halt, tmp_path):
    lane, recordings = start(zoo, Settings(key, "cat", steps, "dpmpp", 2, "5", 2)), Recordings()
    halted = iter([False] * (halt - 1) + [True] * 9)
    *_, last = stream([lane], lambda: next(halted))
    recordings.keep("1", [lane])
    assert last["state"] == "stopped"
    words = shlex.split(reproduce.command(lane, zoo.folder))[3:]
    assert words[words.index("--stop-after") + 1] == str(1 + max(map(int, last["frames"])))
    words[words.index("--out") + 1] = str(tmp_path / "a.png")
    assert main(words) == 0
    assert (tmp_path / "a.png").read_bytes() == recordings.file("1", "png").read_bytes()
    names: dict = {}
    exec(reproduce.python(lane, zoo.folder), names)
    assert np.array_equal(names["images"], lane.pictures)


def test_the_gif_of_a_short_run_is_the_one_that_the_command_writes(zoo, tmp_path):
    lane, recordings = start(zoo, Settings("simple_unet", "cat", 6, "ddim", 1, "3", 2)), Recordings()
    list(stream([lane]))
    recordings.keep("1", [lane])
    words = shlex.split(reproduce.command(lane, zoo.folder))[3:]
    words[words.index("--out") + 1] = str(tmp_path / "a.gif")
    assert main(words) == 0
    with Image.open(tmp_path / "a.gif") as written, Image.open(recordings.file("1", "gif")) as saved:
        assert written.n_frames == saved.n_frames == 7
        for number in range(7):
            written.seek(number)
            saved.seek(number)
            assert np.array_equal(np.asarray(written.convert("RGB")), np.asarray(saved.convert("RGB")))


def test_the_shipped_checkpoints_need_not_be_named(zoo):
    lane = start(zoo, Settings(*SETTINGS[0]))
    assert reproduce.command(lane, CHECKPOINTS) == (
        "python -m diffdemo sample --model attention_unet --class horse --steps 5 --sampler dpmpp --guidance 2.5 "
        "--seed 7 -n 4 --device cpu --out attention_unet-horse-7-to-10.png"
    )
    assert "checkpoints" not in reproduce.python(lane, CHECKPOINTS)
    assert shlex.split(reproduce.command(lane, Path("/a folder")))[-2:] == ["--checkpoints", "/a folder"]


@pytest.mark.parametrize("settings", SETTINGS, ids=[row[0] for row in SETTINGS])
def test_a_link_brings_back_every_setting(zoo, settings):
    lane = start(zoo, Settings(*settings))
    asked = linked(zoo, dict(parse_qsl(link(lane.settings).removeprefix("?"))))
    again = start(zoo, asked)
    assert (again.settings, again.seeds, again.model.key) == (lane.settings, lane.seeds, lane.model.key)
    assert asked == lane.settings


def test_a_link_may_leave_settings_out_and_have_others_than_ours(zoo):
    assert linked(zoo, {}) is None
    assert linked(zoo, {"__theme": "dark"}) is None
    asked = linked(zoo, {"model": "patch_unet", "seed": "3", "utm": "x"})
    assert asked == Settings.of(zoo, "patch_unet", seed="3", count=4)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"model": "vae"}, "There is no model 'vae'"),
        ({"class": "cow"}, "There is no class 'cow'"),
        ({"model": "ddpm_unet", "class": "cat"}, "ddpm_unet is unconditional and takes no class"),
        ({"steps": "0"}, "steps must be a whole number from 1 to 1000, not '0'."),
        ({"sampler": "euler"}, "There is no sampler 'euler'"),
        ({"guidance": "1e9"}, "guidance must be a number from 0 to 20"),
        ({"seed": "-1"}, "seed must be a whole number from 0"),
        ({"images": "9"}, "the number of images must be a whole number from 1 to 8"),
    ],
)
def test_a_bad_link_gets_one_sentence(zoo, query, sentence):
    with pytest.raises(RequestError, match=sentence):
        linked(zoo, query)


def test_every_example_can_be_run_where_its_model_is(zoo, tiny_checkpoints):
    assert examples(zoo) == list(EXAMPLES)
    for example in EXAMPLES:
        assert start(zoo, example.settings).settings.class_name == example.settings.class_name
    assert {example.settings.model for example in examples(open_shelf(tiny_checkpoints))} == {"attention_unet"}
