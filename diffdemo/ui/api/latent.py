"""The actions of the Latent space tab as named endpoints."""

from collections.abc import Iterator

import gradio as gr
import numpy as np

from diffdemo import validate
from diffdemo.ui.api import endpoint as api
from diffdemo.ui.parts import latent_views as views
from diffdemo.ui.parts import sources, wiring
from diffdemo.ui.parts.latent_views import LatentSpace
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs import latent

MOST = 64  # pictures of an interpolation


def connect(zoo: ModelZoo, space: LatentSpace) -> None:
    """Add `/latent_map`, `/latent_point`, `/place`, `/interpolate` and `/latent_path` to the page that is being built.

    `/latent_map` returns {"classes", "shares", "source", "points": [{"class", "pca": [x, y], "tsne": [x, y]}]}; a
    point is named by its place in that list. `/latent_point` (point) returns what its latent decodes to, the original
    (None where the data set is not there), and {"of", "title", "psnr", "probabilities", "neighbours", "pca", "tsne"}.
    `/place` (picture) returns the same for a picture file, whose t-SNE is None. `/interpolate` (a, b, n) returns n
    pictures on the way from one point to another and a GIF of it, there and back. `/latent_path` (class_name, steps,
    seed, sampler, guidance, interval) returns a sample and the settings with what the run took and "path":
    [[x, y], ...] on the PCA map, from its noise to the sample. For the rest see `diffdemo.ui.api.generate`.
    """
    _map(space)
    _point(space)
    _place(space)
    _interpolate(space)
    _path(zoo, space)


def _map(space: LatentSpace) -> None:
    def run() -> dict:
        of = space.map
        places = zip(of.labels, of.points("pca").tolist(), of.points("tsne").tolist(), strict=True)
        points = [{"class": of.classes[label], "pca": pca, "tsne": tsne} for label, pca, tsne in places]
        return {"classes": of.classes, "shares": of.shares.tolist(), "source": of.source, "points": points}

    api.endpoint("latent_map", run, [], [gr.JSON(visible=False, label="map")])


def _point(space: LatentSpace) -> None:
    def run(point) -> tuple:
        with wiring.toasts():
            index = space.index(point)
            space.look_for_originals()
            places = {view: space.map.points(view)[index].tolist() for view in ("pca", "tsne")}
            known, pictures, original = views.facts(space, index)
            return pictures[0], original, known | places

    outputs = [api.image("reconstruction"), api.image("original"), gr.JSON(visible=False, label="numbers")]
    api.endpoint("latent_point", run, [api.value("point", 0)], outputs)


def _place(space: LatentSpace) -> None:
    def run(path) -> tuple:
        with wiring.toasts():
            picture = sources.read(path)
            known, pictures, original = views.facts(space, views.MINE, picture)
            return pictures[0], original, known | {"pca": views.placed(space, picture)["placed"], "tsne": None}

    outputs = [api.image("reconstruction"), api.image("picture"), gr.JSON(visible=False, label="numbers")]
    api.endpoint("place", run, [api.picture_file()], outputs)


def _interpolate(space: LatentSpace) -> None:
    films = views.Films()

    def run(a, b, n) -> tuple:
        with wiring.toasts():
            count = validate.whole_number("n", n, 2, MOST)
            a, b = space.index(a, "a"), space.index(b, "b")
            shares = np.linspace(0, 100, count)
            pictures = views.between(space, a, b, count=count)
            captions = [f"{share:.0f} %" for share in shares]
            return list(zip(pictures, captions, strict=True)), str(films.write(space, a, b))

    first, last = latent.first_points(space)
    inputs = [api.value("a", first), api.value("b", last), api.value("n", views.STRIP)]
    api.endpoint("interpolate", run, inputs, [api.pictures("pictures"), gr.File(visible=False, label="film")])


def _path(zoo: ModelZoo, space: LatentSpace) -> None:
    asked = Settings.of(zoo, space.model.key)

    def run(class_name, steps, seed, sampler, guidance, interval) -> Iterator[tuple]:
        with wiring.toasts():
            how = {"sampler": sampler, "guidance": guidance, "seed": seed, "interval": interval}
            way: list[np.ndarray] = []
            lane = views.start(space, Settings(space.model.key, class_name, steps, **how, count=1), way)
            for reports in api.finish([lane]):
                yield None, reports[0]
            yield lane.pictures[0], lane.report() | {"path": np.concatenate(way).tolist()}

    inputs = [
        api.text("class_name", asked.class_name),
        api.value("steps", asked.steps),
        api.text("seed", asked.seed),
        api.text("sampler", asked.sampler),
        api.value("guidance", asked.guidance),
        api.text("interval", asked.interval),
    ]
    api.endpoint("latent_path", run, inputs, [api.image("sample"), gr.JSON(visible=False, label="settings")])
