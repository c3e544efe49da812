"""The benchmark that compares the plain and the attention UNet over several seeds: from tables of runs to its words."""

from types import SimpleNamespace

import pytest
from PIL import Image

from benchmarks import simple_vs_attention as benchmark
from diffdemo.records.quality_curves import TABLES
from train.curves import COLUMNS, Table
from train.flags import run_command
from train.loop.history import Row, write_history

DISTANCES = {"simple_unet": (4.0, 6.0), "attention_unet": (3.0, 7.0)}  # of the two seeds, at guidance 1


@pytest.fixture
def args(tmp_path, monkeypatch) -> SimpleNamespace:
    """Four finished runs with figures that are easy to add up."""
    args = SimpleNamespace(out=tmp_path, seeds=2, images=200)
    for model, distances in DISTANCES.items():
        for seed, distance in enumerate(distances):
            run = benchmark.run_of(model, seed, args)
            run.mkdir()
            write_history(run / "history.csv", [Row(k, 50 * k, k / 4, 1 / k, "", 0, 1, 0) for k in (1, 2, 3, 4)])
            shared = dict.fromkeys(COLUMNS, "1")
            for scale in (1.0, 2.0):
                row = {"guidance_scale": scale, "frechet_distance": distance / scale}
                Table(run / TABLES["guidance_scale"]).add(shared | row)
            for images in (100, 200):
                row = {"images": images, "guidance_scale": 2.0, "frechet_distance": 100 * distance / images}
                Table(run / TABLES["images"], ("images", *COLUMNS)).add(shared | row)
    info = SimpleNamespace(training={"images_seen": 200, "loss": 0.25, "val_loss": None, "minutes": 3.0})
    monkeypatch.setattr(benchmark, "read_info", lambda folder: info)
    return args


def test_the_summary_has_means_and_spreads_over_the_seeds(args):
    rows = list(benchmark.measured(args))
    assert len(rows) == 2 * 2 * (2 + 2)
    lines = {line[:34].strip(): line[34:].split() for line in benchmark.summary(rows).splitlines()}
    words = lines["frechet_distance, guidance 1.0"]
    assert (words[0], words[2]) == ("5.0000", "1.4142") and (words[3], words[5]) == ("5.0000", "2.8284")
    assert " ".join(words[6:]) == "attention higher in 1 of 2"
    assert lines["frechet_distance, guidance 2.0"][0] == "2.5000"
    assert lines["run_loss"][0] == "0.2500" and "run_validation_loss" not in lines


def test_the_table_and_the_figure_hold_every_run(args, tmp_path):
    rows = list(benchmark.measured(args))
    assert {(row["model"], row["seed"]) for row in rows} == {(m, s) for m in DISTANCES for s in (0, 1)}
    over_training = [row for row in rows if row["over"] == "images" and row["model"] == "simple_unet"]
    assert [float(row["frechet_distance"]) for row in over_training] == [4, 2, 6, 3]
    benchmark.draw(rows, args, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").width > 1500


def test_a_single_seed_has_no_spread_and_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmark", "--seeds", "1"])
    with pytest.raises(SystemExit):
        run_command(benchmark.main, benchmark.Options)
    assert "--seeds must be 2 or more" in capsys.readouterr().err
