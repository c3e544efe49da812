"""Nothing is overwritten or lost by a mistake, and what is printed for typing can be typed."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from sentences import refused

from diffdemo.data import make_toy_dataset
from diffdemo.description import read_info
from diffdemo.errors import TrainingError
from train import autoencoder, classifier, latent, patch_unet, unet
from train.loop.progress import Progress
from train.loop.settings import Settings
from train.tasks.denoising import how_to_sample


@pytest.mark.parametrize("script", [unet, patch_unet, autoencoder, latent, classifier], ids=lambda one: one.__name__)
def test_a_new_run_into_a_checkpoints_folder_is_refused(script, tiny_checkpoints):
    folder = tiny_checkpoints / "simple_unet"
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with refused(TrainingError, "simple_unet holds a checkpoint, which would be replaced; name another --out"):
        script.main(script.Options(device="cpu"), script.Settings(out=folder), set())
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("minutes, said", [(1500, "24:59:30 left"), (90, "01:29:30 left"), (45_000, "749:59:30 left")])
def test_the_time_that_is_left_may_be_longer_than_a_day(minutes, said):
    with Progress(Settings(max_minutes=minutes, images=10**9), 0, 0.0, silent=True) as progress:
        told = []
        progress._bar.set_description_str = lambda line, refresh: told.append(line)
        progress.update(100, 30.0)
    assert told[0].endswith(said)


def test_the_command_to_sample_is_quoted_where_a_shell_would_change_it():
    said = how_to_sample(Path("my runs/a b"), SimpleNamespace(classes=("price_$10_up",), steps=20))
    command = said.splitlines()[-1].strip()
    words = ["--model", "my runs/a b", "--class", "price_$10_up", "--steps", "20", "-n", "4", "--out", "out.png"]
    assert shlex.split(command) == ["python", "-m", "diffdemo", "sample", *words] and "'price_$10_up'" in command


def test_trouble_in_a_last_drawing_leaves_the_run_as_finished_as_it_is(tmp_path, monkeypatch, capsys):
    def draw(*_, **__):
        raise ValueError("no such font")

    monkeypatch.setattr(unet, "draw_summary", draw)
    data, out = make_toy_dataset(tmp_path / "data", per_class=8), tmp_path / "run"
    options = unet.Options(device="cpu", size="tiny", data=data)
    unet.main(options, unet.Settings(out=out, images=40, batch_size=8), {"size"})
    said = capsys.readouterr()
    assert "Not drawn: ValueError: no such font" in said.err and "python -m diffdemo sample" in said.out
    assert read_info(out).training["images_seen"] == 40
