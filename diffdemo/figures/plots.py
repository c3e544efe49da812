"""Every figure that diffdemo draws, and, from raster.py, every picture and animation it writes.

The writers here behave as those there do. Figures are built without matplotlib's pyplot and its global state, and
matplotlib is imported where it is used, so that importing this module is quick.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffdemo.data.pictures import checked_pictures
from diffdemo.errors import RequestError
from diffdemo.figures.raster import WHITE, image_grid, write_file
from diffdemo.records.run_folder import HISTORY_COLUMNS, history_columns, moving_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 40
DPI = 100
CELL = 96  # pixels a picture is drawn wide in a labelled figure
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


def loss_curve(history: Sequence[Mapping] | str | Path, path: str | Path, title: str = "") -> Path:
    """Draw training and validation loss (log scale) and the learning rate over the images seen.

    `history` is a list of rows, or the CSV file of them, with images, loss, val_loss (may be empty) and lr.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    columns = history_columns(history)
    images, loss, val_loss, lr = (columns[name] for name in HISTORY_COLUMNS)
    figure = Figure(figsize=(7, 4), dpi=2 * DPI, layout="constrained")
    axes = figure.subplots()
    rate_axes = axes.twinx()
    rate_axes.plot(images, lr, color="0.7", linestyle="--", linewidth=1, label="learning rate")
    rate_axes.set_ylabel("learning rate", color="0.5")
    rate_axes.set_ylim(bottom=0)
    rate_axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate_axes.tick_params(colors="0.5")
    axes.set_zorder(rate_axes.get_zorder() + 1)
    axes.patch.set_visible(False)

    middles, means, width = moving_mean(images, loss)
    if width > 1:
        axes.plot(images, loss, color="tab:blue", alpha=0.25, linewidth=0.8)
        axes.plot(middles, means, color="tab:blue", label=f"loss, mean of {width}")
    else:
        axes.plot(images, loss, color="tab:blue", marker="." if len(images) == 1 else None, label="loss")
    if np.isfinite(val_loss).any():
        axes.plot(images, val_loss, "o", color="tab:orange", markersize=4, label="validation loss")
    axes.set_yscale("log")
    axes.set_xlabel("images seen")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(True, which="both", color="0.92", linewidth=0.6)
    axes.set_title(title, parse_math=False)
    lines = [*axes.get_legend_handles_labels()[0], *rate_axes.get_lines()]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
    return save_figure(figure, path)


def strip(images: np.ndarray, labels: Sequence[str], path: str | Path, title: str | None = None) -> Path:
    """Draw pictures (C, H, W, 3), or rows of them (R, C, H, W, 3), with one label above each of the C columns."""
    images = np.asarray(images)
    rows = images[None] if images.ndim == 4 else images
    if rows.ndim != 5 or rows.shape[1] != len(labels):
        raise RequestError(f"A strip needs one label a column; {images.shape} pictures have {len(labels)} labels.")
    return save_figure(labelled_grid(list(rows), labels, [], title), path, bbox_inches="tight")


def class_grid(images_by_class: Mapping[str, np.ndarray], path: str | Path, title: str | None = None) -> Path:
    """Draw one row of pictures (n, H, W, 3) for each class, its name at the left; n may differ between classes.

    Of more than MOST_ROWS classes the first are drawn, and the title says so: a figure of hundreds takes gigabytes.
    """
    if not images_by_class:
        raise RequestError("A grid of classes needs at least one class.")
    if len(images_by_class) > MOST_ROWS:
        some = f"the first {MOST_ROWS} of {len(images_by_class):,} classes"
        title = f"{title}, {some}" if title else some
    names = list(images_by_class)[:MOST_ROWS]
    figure = labelled_grid([images_by_class[name] for name in names], [], names, title)
    return save_figure(figure, path, bbox_inches="tight")


def confusion_matrix(
    labels: np.ndarray, guesses: np.ndarray, classes: Sequence[str], path: str | Path, title: str = ""
) -> Path:
    """Draw how often, in percent of a row's class, (N,) guesses are this and that class where (N,) labels are true."""
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay
    from sklearn.metrics import confusion_matrix as count

    figure = Figure(figsize=(6, 6), dpi=DPI, layout="constrained")
    shares = 100 * count(labels, guesses, labels=range(len(classes)), normalize="true")
    display = ConfusionMatrixDisplay(shares, display_labels=classes)
    axes = figure.subplots()
    display.plot(ax=axes, cmap="Blues", values_format=".0f", colorbar=False, xticks_rotation="vertical")
    axes.set(xlabel="guess", ylabel="class", title=title)
    return save_figure(figure, path)


def save_figure(figure: "Figure", path: str | Path, **options: object) -> Path:
    """Write a figure as PNG, SVG or PDF; `options` are those of matplotlib's savefig."""
    if Path(path).suffix.lower() not in FIGURE_SUFFIXES:
        raise RequestError(f"A figure is a {', '.join(FIGURE_SUFFIXES)} file, not {Path(path).name!r}.")
    return write_file(path, lambda unfinished: figure.savefig(unfinished, **options))


def labelled_grid(
    rows: Sequence[np.ndarray], column_labels: Sequence[str], row_labels: Sequence[str], title: str | None
) -> "Figure":
    """A figure with rows of pictures (C, H, W, 3), labels above the columns and labels left of the rows."""
    from matplotlib.figure import Figure

    pictures = checked_pictures([picture for row in rows for picture in row])
    height, width = pictures.shape[1:3]
    columns, padding = max(len(row) for row in rows), max(1, width // 16)
    cells = np.full((len(rows), columns, height, width, 3), WHITE, dtype=np.uint8)
    for cell_row, row in zip(cells, rows, strict=True):
        cell_row[: len(row)] = row
    grid = image_grid(cells.reshape(-1, height, width, 3), columns, padding)

    scale = max(1, CELL // width)
    figure = Figure(figsize=(grid.shape[1] * scale / DPI, grid.shape[0] * scale / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(grid, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    longest = max((len(label) for label in column_labels), default=1)
    size = min(10, 1.6 * scale * width * 72 / DPI / longest)  # a character is about 0.6 of the size wide
    axes.set_xticks(np.arange(len(column_labels)) * (width + padding) + (width - 1) / 2)
    axes.set_xticklabels(column_labels, fontsize=size, parse_math=False)
    axes.set_yticks(np.arange(len(row_labels)) * (height + padding) + (height - 1) / 2)
    axes.set_yticklabels(row_labels, parse_math=False)
    if title:
        axes.set_title(title, parse_math=False)
    return figure
