"""Figures: what is drawn where, from which input, and what cannot be drawn."""

import csv
import itertools
import subprocess
import sys

import numpy as np
import pytest
from data_helpers import random_picture
from matplotlib.figure import Figure
from PIL import Image

from diffdemo.errors import RequestError
from diffdemo.figures.plots import class_grid, loss_curve, strip

HISTORY = [
    {
        "step": step,
        "images": step * 128,
        "epoch": step / 10,
        "loss": 1 / step,
        "val_loss": 1.1 / step if step % 5 == 0 else "",
        "lr": 2e-4,
        "grad_norm": 1.0,
        "skipped": 0,
    }
    for step in range(1, 41)
]


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that were saved, so that a test can look at what is in them."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: figures.append(figure) or save(figure, *a, **k))
    return figures


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*shape, 32, 32, 3), dtype=np.uint8)


def lines_of(figure: Figure) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    lines = [line for axes in figure.axes for line in axes.get_lines()]
    return {line.get_label(): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in lines}


def test_importing_figures_imports_no_drawing_library():
    heavy = "{'matplotlib', 'imageio', 'torchvision'}"
    code = f"import sys, diffdemo.figures; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_figure_touches_pyplot(tmp_path):
    code = (
        "import sys, numpy as np; from diffdemo.figures import *; p = np.zeros((2, 8, 8, 3), np.uint8);"
        f"strip(p, 'ab', {str(tmp_path / 's.png')!r}); class_grid({{'a': p}}, {str(tmp_path / 'c.png')!r});"
        f"loss_curve([dict(images=1, loss=1, val_loss=1, lr=1)], {str(tmp_path / 'l.png')!r}, 't');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert len(list(tmp_path.iterdir())) == 3


# --- loss curve -------------------------------------------------------------------------------------------------------


def test_loss_curve_draws_losses_on_a_log_scale_and_the_rate_over_the_images_seen(tmp_path, drawn):
    path = loss_curve(HISTORY, tmp_path / "new" / "loss.png", "simple_unet")
    lines = lines_of(drawn[0])
    assert set(lines) == {"loss", "validation loss", "learning rate"}
    images = [row["images"] for row in HISTORY]
    np.testing.assert_allclose(lines["loss"], [images, [row["loss"] for row in HISTORY]])
    np.testing.assert_allclose(lines["learning rate"], [images, [2e-4] * 40])
    shown = np.isfinite(lines["validation loss"][1])
    np.testing.assert_allclose(lines["validation loss"][0][shown], [step * 128 for step in range(5, 41, 5)])
    np.testing.assert_allclose(lines["validation loss"][1][shown], [1.1 / step for step in range(5, 41, 5)])
    assert drawn[0].axes[0].get_yscale() == "log" and drawn[0].axes[0].get_title() == "simple_unet"
    with Image.open(path) as image:
        assert image.size == (1400, 800)


def test_loss_curve_reads_the_same_from_a_csv_file_even_if_its_last_row_is_unfinished(tmp_path, drawn):
    with open(tmp_path / "history.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HISTORY[0])
        writer.writeheader()
        writer.writerows(HISTORY)
    loss_curve(HISTORY, tmp_path / "a.png", "t")
    loss_curve(tmp_path / "history.csv", tmp_path / "b.png", "t")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with open(tmp_path / "history.csv", "a", encoding="utf-8") as file:
        file.write("41,5248")
    loss_curve(str(tmp_path / "history.csv"), tmp_path / "c.png", "t")
    assert np.isfinite(lines_of(drawn[2])["loss"][1]).sum() == 40


def test_a_long_history_is_smoothed_around_each_point(tmp_path, drawn):
    rows = [{"images": n, "loss": 1 + 0.5 * (-1) ** n, "val_loss": "", "lr": 0} for n in range(200)]
    loss_curve(rows, tmp_path / "a.png", "t")
    lines = lines_of(drawn[0])
    assert "validation loss" not in lines
    images, smooth = lines["loss, mean of 4"]
    np.testing.assert_allclose(smooth, np.ones(197))
    assert images[0] == 1 and images[-1] == 197


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], "the history lacks images"),
        ([{"images": 1, "loss": 1, "lr": 1}], "the history lacks val_loss"),
        ([{"images": 1, "loss": "low", "val_loss": "", "lr": 1}], "rows of numbers"),
        ("no-such.csv", "no-such.csv cannot be read"),
    ],
)
def test_histories_that_are_not(tmp_path, history, expected):
    with pytest.raises(RequestError, match=expected):
        loss_curve(history, tmp_path / "a.png", "t")
    assert not list(tmp_path.iterdir())


def test_a_csv_file_that_is_no_text(tmp_path):
    (tmp_path / "history.csv").write_bytes(bytes(range(256)))
    with pytest.raises(RequestError, match=r"history\.csv"):
        loss_curve(tmp_path / "history.csv", tmp_path / "a.png", "t")


# --- strips and class grids -------------------------------------------------------------------------------------------


def picture_in(figure_file, picture: np.ndarray) -> tuple[int, int]:
    """Where in the figure the picture lies, drawn three times as large, as (row, column); fails if it is not there."""
    with Image.open(figure_file) as image:
        figure = np.asarray(image.convert("RGB"))
    large = picture.repeat(3, 0).repeat(3, 1)
    windows = np.lib.stride_tricks.sliding_window_view(figure, (96, 96, 3))[:, :, 0]
    corners = np.argwhere(
        (windows[:, :, 0, 0] == large[0, 0]).all(-1) & (windows[:, :, -1, -1] == large[-1, -1]).all(-1)
    )
    found = [tuple(corner) for corner in corners if np.array_equal(windows[tuple(corner)], large)]
    assert len(found) == 1
    return found[0]


def test_a_strip_shows_each_row_pixel_by_pixel_below_the_labels(tmp_path, drawn):
    images = pictures(2, 3)
    path = strip(images, ["t = 0", "t = 250", "t = 999"], tmp_path / "strip.png", "Forward")
    places = np.array([[picture_in(path, picture) for picture in row] for row in images])
    assert (np.diff(places[:, :, 1], axis=1) == 102).all() and (np.diff(places[:, :, 0], axis=0) == 102).all()
    assert places[0, 0, 0] > 40, "no room for title and labels"
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["t = 0", "t = 250", "t = 999"]
    assert axes.get_title() == "Forward"


def test_one_row_needs_no_row_axis(tmp_path):
    images = pictures(4)
    strip(images, "abcd", tmp_path / "one.png")
    strip(images[None], "abcd", tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_labels_that_are_long_do_not_overlap(tmp_path, drawn):
    strip(pictures(4), [f"alpha_bar = {value:.6f}" for value in (1, 0.5, 0.25, 0)], tmp_path / "a.png")
    boxes = [label.get_window_extent() for label in drawn[0].axes[0].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_a_class_grid_has_a_row_for_each_class_and_leaves_the_rest_white(tmp_path, drawn):
    images = {"cat": pictures(3), r"dog $\5$": 255 - pictures(2)}
    path = class_grid(images, tmp_path / "classes.png", "attention_unet")
    cats = [picture_in(path, picture) for picture in images["cat"]]
    dogs = [picture_in(path, picture) for picture in images[r"dog $\5$"]]
    assert len({row for row, _ in cats}) == 1 and {row for row, _ in dogs} == {cats[0][0] + 102}
    assert [column for _, column in dogs] == [column for _, column in cats[:2]]
    with Image.open(path) as image:
        figure = np.asarray(image.convert("RGB"))
    assert (figure[dogs[0][0] : dogs[0][0] + 96, cats[2][1] : cats[2][1] + 96] == 255).all()
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == ["cat", r"dog $\5$"]


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda path: strip(pictures(3), ["a", "b"], path), "one label a column"),
        (lambda path: strip(random_picture(0), ["a"], path), "one label a column"),
        (lambda path: strip(pictures(2) / 255, ["a", "b"], path), "uint8"),
        (lambda path: class_grid({}, path), "at least one class"),
        (lambda path: class_grid({"cat": pictures(0)}, path), "there are none"),
        (lambda path: class_grid({"cat": pictures(1), "dog": pictures(1)[:, :16]}, path), "sizes"),
        (lambda path: strip(pictures(1), ["a"], path.with_suffix(".bmp")), r"not 'a\.bmp'"),
        (lambda path: strip(pictures(1), ["a"], path / "below.png"), "cannot be written"),
        (lambda path: loss_curve(HISTORY, path / "below.png", "t"), "cannot be written"),
    ],
)
def test_figures_that_are_not(tmp_path, draw, expected):
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(RequestError, match=expected):
        draw(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"] and (tmp_path / "a.png").read_bytes() == b"old"


def test_of_very_many_classes_the_first_are_drawn_and_the_title_says_so(drawn, tmp_path):
    rows = {f"class {k}": np.zeros((1, 4, 4, 3), np.uint8) for k in range(400)}
    class_grid(rows, tmp_path / "grid.png", "epoch 3")
    (figure,) = drawn
    (axes,) = figure.axes
    assert len(axes.get_yticklabels()) == 40 and axes.get_title() == "epoch 3, the first 40 of 400 classes"
