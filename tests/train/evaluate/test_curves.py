"""train.curves: figures over steps, guidance and training."""

import csv
import shutil

from PIL import Image

from diffdemo.description import read_info
from diffdemo.records.quality_curves import read_curves, weights_of
from train import curves


def test_curves_have_a_row_for_each_setting_and_measure_none_twice(run, refusal, tmp_path, monkeypatch):
    flags = ["--model", "attention_unet", "-n", 10, "--out", tmp_path / "curves", "--samplers", "ddim,heun"]
    measure, measured = curves.measure, []

    def stopped_at_the_second(point: curves.Point, *rest: object) -> dict:
        measured.append((point.draw.sampler, point.draw.steps, point.draw.guidance.scale))
        if len(measured) == 2:
            raise OSError("stopped")
        return measure(point, *rest)

    monkeypatch.setattr(curves, "measure", stopped_at_the_second)
    run(*flags, "--steps", 5, "--guidance", "1", command=curves.main, code=1)
    run(*flags, "--steps", "5,1", "--guidance", "1", command=curves.main)
    assert measured[:2] == [("ddim", 5, 2.0), ("heun", 5, 2.0)]
    assert measured[2:] == [("ddim", 1, 2.0), ("heun", 5, 2.0), ("heun", 1, 2.0), ("dpmpp", 20, 1.0)]
    with (tmp_path / "curves" / "quality_steps.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["sampler"], r["steps"], r["nfe"]) for r in rows] == [
        ("ddim", "5", "10"), ("ddim", "1", "2"), ("heun", "5", "18"), ("heun", "1", "2")
    ]  # fmt: skip
    assert all(float(r["frechet_distance"]) > 0 and float(r["floor_frechet_distance"]) > 0 for r in rows)
    for name in ("quality_steps.png", "quality_guidance.png"):
        assert Image.open(tmp_path / "curves" / name).width > 1000
    said = refusal(*flags[:2], "-n", 50, command=curves.main)
    assert "only 10 real pictures" in said


def test_the_curve_over_training_is_of_every_kept_checkpoint_and_the_last(run, trained):
    flags = ["--model", trained, "-n", 10, "--steps", "none", "--guidance", "none"]
    run(*flags, command=curves.main)
    with (trained / "quality_training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["images"] for row in rows] == ["1100", "1200", "1300"]
    folders = (trained / "snapshots/a", trained / "snapshots/b", trained)
    assert [row["weights"] for row in rows] == [weights_of(read_info(folder).files) for folder in folders]
    assert len({row["frechet_distance"] for row in rows}) == 3  # each with its own weights
    alone = curves.snapshots(folders[1])
    assert [images for _, info in alone if (images := curves.images_seen(info))] == [1200]
    (curve, *_) = read_curves(trained, "images", rows[-1]["weights"])
    assert curve.samplers["dpmpp"][0].tolist() == [1100, 1200, 1300]
    assert curve.samplers["dpmpp"][1].tolist() == [float(row["frechet_distance"]) for row in rows]
    assert read_curves(trained, "images", "other weights") == []
    assert Image.open(trained / "quality_training.png").width > 1000
    shutil.rmtree(trained / "snapshots")
    assert "no curve to measure" in run(*flags, command=curves.main, code=2)
