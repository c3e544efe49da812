"""The figures of latent diffusion, each in one call: `visualize_reconstructions("latent_diffusion")`.

Every function takes a model: a key, a checkpoint's folder, or what `diffdemo.load` returned. It returns a matplotlib
figure, which a notebook shows, or with `path` writes it there and returns the path. `data` is the data folder; pictures
come from its test split.

Raises:
    RequestError: the model has no latent space, or a setting is out of range.
    CheckpointError, DataError: the checkpoint or the data cannot be used.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from diffdemo.errors import RequestError
from diffdemo.figures.raster import image_grid, save_animation
from diffdemo.records.files import ANIMATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from diffdemo.data import Dataset
    from diffdemo.latent_generator import LatentGenerator

    Model: TypeAlias = str | Path | LatentGenerator

COLOURS = ("tab:orange", "tab:blue", "tab:green", "tab:red", "tab:purple", "tab:brown")
DPI = 100
ENLARGED = 3  # pixels of an animation for one of a picture


def visualize_reconstructions(
    model: "Model", *, data: str | Path = "data", count: int = 8, path: str | Path | None = None
) -> "Figure | Path":
    """The first `count` test pictures of each class above what the autoencoder makes of them, and their mean PSNR."""
    from diffdemo.figures.plots import labelled_grid
    from diffdemo.latent.space import psnr

    generator = _load(model)
    test = _test_pictures(generator, data)
    rows, names, values = [], [], []
    for label, name in enumerate(generator.classes):
        pictures = test.images[test.labels == label][: _checked("count", count)]
        back = generator.reconstruct(pictures)
        values.append(psnr(pictures / 255, back / 255))
        rows += [pictures, back]
        names += [name, f"decoded\n{values[-1].mean():.1f} dB"]
    mean = np.concatenate(values).mean()
    return _finish(labelled_grid(rows, [], names, f"Reconstructions, mean PSNR {mean:.1f} dB"), path)


def visualize_latent_space(
    model: "Model", *, data: str | Path = "data", count: int = 2000, seed: int = 0, path: str | Path | None = None
) -> "Figure | Path":
    """A t-SNE map of up to `count` test pictures' latents, coloured by class, with its silhouette in the title."""
    from diffdemo.latent.space import silhouette, tsne

    generator = _load(model)
    test = _test_pictures(generator, data)
    images, labels = test.images[: _checked("count", count, 10)], test.labels[:count]
    points = tsne(generator.encode(images), seed)
    figure, axes = _map(points, labels, generator.classes)
    axes.set_title(f"t-SNE of {len(points):,} test pictures' latents, silhouette {silhouette(points, labels):.3f}")
    return _finish(figure, path)


def generate_samples_grid(
    model: "Model", *, count: int = 8, seed: int = 0, path: str | Path | None = None, **settings
) -> "Figure | Path":
    """`count` samples of each class, from seed on; `settings` are those of `Generator.denoise`, such as steps=50."""
    from diffdemo.figures.plots import labelled_grid

    generator = _load(model)
    seeds = range(seed, seed + _checked("count", count))
    rows = {name: generator.sample(name, seeds=seeds, **settings) for name in generator.classes}
    return _finish(labelled_grid(list(rows.values()), [], list(rows), f"Samples, seeds {seed} to {seeds[-1]}"), path)


def visualize_denoising_steps(
    model: "Model",
    class_name: str | None = None,
    *,
    data: str | Path = "data",
    seed: int = 0,
    columns: int = 8,
    path: str | Path | None = None,
    **settings,
) -> "Figure | Path":
    """Noise becoming a picture, and below it the same path in latent space.

    Above, what the noisy latent and the guess of the clean one decode to, at `columns` moments. Below, the latents of
    test pictures in the plane of their first two principal components, and the noisy latent's way through it.
    """
    from sklearn.decomposition import PCA

    generator = _load(model)
    test = _test_pictures(generator, data)
    name = generator.classes[0] if class_name is None else class_name
    steps = list(generator.denoise(name, seeds=[seed], **settings))
    shown = np.unique(np.linspace(0, len(steps) - 1, _checked("columns", columns, 2)).astype(int))
    latents = generator.encode(test.images)
    plane = PCA(2, random_state=0).fit(latents)
    states = [step.x_t for step in steps] + [steps[-1].x_prev]
    way = plane.transform(np.concatenate([state.cpu().numpy() for state in states]))

    figure, axes = _map(plane.transform(latents), test.labels, generator.classes, height=8)
    axes.plot(*way.T, color="black", linewidth=1)
    axes.scatter(*way[shown].T, color="black", s=18, zorder=3)
    axes.annotate(f"t = {steps[0].t}", way[0], (6, -3), textcoords="offset points", fontsize=8)
    axes.plot(*way[-1], marker="*", color="crimson", markersize=14, linestyle="none", label="sample", zorder=4)
    axes.legend(loc="best", fontsize=8)
    share = plane.explained_variance_ratio_.sum()
    axes.set_title(f"The same path in the plane of two principal components ({share:.0%} of the variance)", fontsize=9)

    top = figure.add_axes((0.08, 0.74, 0.9, 0.21))
    rows = [generator.images(steps[index].x_t)[0] for index in shown]
    rows += [generator.images(steps[index].x0)[0] for index in shown]
    grid = image_grid(np.stack(rows), len(shown), 2)
    top.imshow(grid, interpolation="nearest")
    width = grid.shape[1] / len(shown)
    top.set_xticks(
        (np.arange(len(shown)) + 0.5) * width - 0.5, [f"t = {steps[index].t}" for index in shown], fontsize=8
    )
    top.set_yticks([grid.shape[0] * 0.25, grid.shape[0] * 0.75], ["x_t", "x0"])
    top.tick_params(length=0)
    top.spines[:].set_visible(False)
    figure.suptitle(f"Denoising a {name}, seed {seed}, {len(steps)} steps")
    return _finish(figure, path)


def create_diffusion_animation(
    model: "Model", path: str | Path = ANIMATION, *, count: int = 4, seed: int = 0, fps: float = 12, **settings
) -> Path:
    """Write noise becoming `count` pictures of each class, one row a class, as a GIF (or MP4); return the path."""
    generator = _load(model)
    seeds = list(range(seed, seed + _checked("count", count)))
    names = [name for name in generator.classes for _ in seeds]
    steps = list(generator.denoise(names, seeds=seeds * len(generator.classes), **settings))
    states = [steps[0].x_t, *(step.x_prev for step in steps)]
    frames = [image_grid(generator.images(state), count, 2) for state in states]
    return save_animation(path, np.stack(frames).repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2), fps=fps)


def _load(model: "Model") -> "LatentGenerator":
    import diffdemo

    generator = diffdemo.load(str(model)) if isinstance(model, str | Path) else model
    if generator.info.spec.space != "latents":
        raise RequestError(f"{generator.key} works on pixels and has no latent space; choose latent_diffusion.")
    return generator


def _test_pictures(generator: "LatentGenerator", data: str | Path) -> "Dataset":
    from diffdemo.data import load_dataset

    return load_dataset(data, "test").only(generator.classes)


def _checked(name: str, count: int, least: int = 1) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise RequestError(f"{name} must be a whole number of at least {least}, not {count!r}.")
    return count


def _map(points: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], height: float = 6) -> "tuple[Figure, Axes]":
    """A scatter plot of points (N, 2) in the lower six inches of a figure, one colour a class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), dpi=DPI)
    axes = figure.add_axes((0.08, 0.05, 0.9, 5.2 / height))
    for label, name in enumerate(classes):
        colour = COLOURS[label % len(COLOURS)]
        axes.scatter(*points[labels == label].T, s=6, alpha=0.5, color=colour, linewidths=0, label=name)
    axes.legend(loc="best", fontsize=8)
    axes.tick_params(labelsize=7)
    return figure, axes


def _finish(figure: "Figure", path: str | Path | None) -> "Figure | Path":
    from diffdemo.figures.plots import save_figure

    if path is not None:
        return save_figure(figure, path, bbox_inches="tight")

    def png() -> bytes:
        buffer = io.BytesIO()
        figure.savefig(buffer, bbox_inches="tight")
        return buffer.getvalue()

    figure._repr_png_ = png  # notebooks know by themselves only how to show figures of pyplot
    return figure
