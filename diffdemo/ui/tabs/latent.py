"""The Latent space tab: a map of encoded pictures to click on, ways between them, and a sample's path across it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import numpy as np

from diffdemo.errors import CheckpointError
from diffdemo.records.tables import plain
from diffdemo.ui.components.block import block
from diffdemo.ui.components.viewer import viewer
from diffdemo.ui.parts import exports, sources, wiring
from diffdemo.ui.parts import latent_views as views
from diffdemo.ui.parts.exports import SAVE
from diffdemo.ui.parts.fields import Fields
from diffdemo.ui.parts.latent_views import LatentSpace
from diffdemo.ui.runs.settings import POINTS, Settings, link, linked
from diffdemo.ui.runs.stream import whole
from diffdemo.ui.runs.zoo import ModelZoo

RUN_ID, TAB = "latent-run", "latent"
# Puts the points of the map that are chosen into an address, and that into the bar; the visitor's own is in no link.
WITH_POINTS = f"""(address, chosen) => {{
    const {{ selected, from, to }} = document.querySelector("#latent-map .latent_map").dataset;
    const whole = new URL(address || location.href);
    whole.searchParams.set("tab", "{TAB}");
    for (const [name, index] of Object.entries({{ point: chosen ?? selected, from, to }}))
        if (index >= 0) whole.searchParams.set(name, index);
        else whole.searchParams.delete(name);
    ({exports.IN_THE_ADDRESS_BAR})(whole.href, "replaceState");
    return whole.href;
}}"""

LEAD = """Each point is a picture, squeezed into {dim} numbers: click one to see it decoded, walk from one to another,
or watch a new sample find its way from noise to where pictures are."""
EXPLANATION = """The autoencoder makes a latent of {dim} numbers of a picture's 3,072, a point in a space where similar
pictures are neighbours; the map lays {count:,} test pictures of that space flat. Latent diffusion never sees a pixel:
it moves a point of pure noise through this space, step by step, and only what it arrives at is decoded."""
FORMULAS = r"""
An encoder $E$ and a decoder $D$ are trained to give a picture back, and each number of the latent is standardised with
its mean $\mu$ and deviation $\sigma$ over the training pictures; the denoiser works on that $z$ (Rombach et al. 2022):
$$z = \frac{E(x) - \mu}{\sigma},\qquad \hat x = D(\sigma z + \mu),\qquad z_t = \sqrt{\bar\alpha_t}\,z +
\sqrt{1-\bar\alpha_t}\,\varepsilon$$

The PCA map shows $(v_1^\top (z - \bar z),\ v_2^\top (z - \bar z))$, with the two directions $v$ along which these
latents vary most; the same formula places any other latent, such as every $z_t$ of a run. t-SNE (van der Maaten and
Hinton 2008) has no such formula.

Between A and B the way is a great circle, not a straight line (Shoemake 1985):
$$z(s) = r(s)\left(\frac{\sin((1-s)\,\omega)}{\sin\omega}\,\frac{z_A}{\lVert z_A\rVert} + \frac{\sin(s\,\omega)}
{\sin\omega}\,\frac{z_B}{\lVert z_B\rVert}\right),\qquad r(s) = (1-s)\,\lVert z_A\rVert + s\,\lVert z_B\rVert$$

Standardised latents of $d$ numbers lie near a sphere of radius $\sqrt d$. A straight line cuts through it: halfway,
latents would be 30 % too short and decode to washed-out pictures.
"""


@dataclass
class Controls:
    """The tab's components, in the order of the page."""

    run: gr.Button
    stop: gr.Button
    map: gr.HTML
    viewer: gr.HTML
    point: gr.HTML
    absent: gr.Markdown
    fetch: gr.Button
    strip: gr.HTML
    gif: gr.Button
    file: gr.DownloadButton
    upload: gr.UploadButton
    fields: Fields
    link: gr.Textbox


def add(around: wiring.Around, data: str | Path) -> LatentSpace | None:
    """Put the whole tab on the page; without a map, one sentence that says how to get one, and None.

    Without a model of latents there is no tab.
    """
    zoo = around.zoo
    if views.MODEL not in zoo.keys:
        return None
    with gr.Tab("Latent space", id=TAB) as tab:
        try:
            space = LatentSpace.open(zoo, data)
        except CheckpointError as error:
            gr.Markdown(plain(str(error)), elem_classes="problems")
            wiring.open_if_linked(around.page.load, TAB)
            return None
        connect(tab, around, space, layout(zoo, space))
        return space


def layout(zoo: ModelZoo, space: LatentSpace) -> Controls:
    """The map above a sample's way, the point beside it, the interpolation below; settings aside.

    Where no sample can be drawn, a sentence says why in place of its way and its settings.
    """
    fields, possible = Fields(zoo, Settings.of(zoo, space.model.key)), not space.pathless
    with gr.Row(elem_classes="tab-body"):
        run, stop = wiring.buttons("Denoise a new sample", RUN_ID)
        run.interactive = stop.interactive = possible
        with gr.Column(elem_classes="stage"):
            gr.Markdown(LEAD.format(dim=space.model.shape[0]), elem_classes="lead")
            with gr.Row(elem_classes="latent-grid"):
                chart = block("latent_map", "Map of the latent space", "latent-map", parts=("latent_map_canvas.js",))
                with gr.Column(elem_classes="latent-point", min_width=0):
                    point = block("latent_point", "The chosen point", "latent-point")
                    absent = gr.Markdown(
                        plain(f"The originals are not here; they are of {space.map.source}."),
                        elem_classes="about queue-place absent",
                        visible=False,
                    )
                    fetch = gr.Button("Download CIFAR-10 (170 MB)", size="sm", visible=False)
                way = viewer("A sample on its way through the latent space", "latent-viewer")
                way.visible = possible
            if not possible:
                gr.Markdown(plain(space.pathless), elem_classes="problems")
            strip = block("latent_strip", "Pictures between A and B", "latent-strip")
            with gr.Row(elem_classes="chips"):
                gr.HTML("Save the way from A to B", elem_classes="chips-label", apply_default_css=False)
                gif = gr.Button("GIF", size="sm", min_width=56, scale=0)
            file = gr.DownloadButton(visible="hidden")
        with gr.Column(elem_classes="settings"):
            upload = sources.upload("Place your own picture")
            with gr.Column(visible=possible, min_width=0):
                fields.add_class(elem_classes="queue-place")
                fields.add_seed(new=True)
                fields.add_steps_and_guidance()
                fields.add_count()
                fields.add_sampler()
                fields.add_guided_how()
        with gr.Column(elem_classes="words"):
            words = EXPLANATION.format(dim=space.model.shape[0], count=len(space.map))
            gr.Markdown(words, latex_delimiters=wiring.LATEX)
            link = exports.share("A picture of your own is in no link.")
            with gr.Accordion("The formulas", open=False):
                gr.Markdown(FORMULAS, latex_delimiters=wiring.LATEX)
    return Controls(run, stop, chart, way, point, absent, fetch, strip, gif, file, upload, fields, link)


def first_points(space: LatentSpace) -> tuple[int, int]:
    """The ends of the first interpolation: a point of the first class and one of the last, of which A is chosen."""
    labels = space.map.labels
    return int(np.argmin(labels)), int(np.argmax(labels))


def first_scene(zoo: ModelZoo, space: LatentSpace) -> tuple:
    """What is on display when the tab is opened: map, point, strip, and a path that is done if there can be one."""
    space.look_for_originals()
    a, b = first_points(space)
    chart, run = views.scene(space, a, (a, b)), gr.skip()
    if not space.pathless:
        messages, ways = zip(*views.walk(space, Settings.of(zoo, space.model.key)), strict=True)
        chart, run = chart | ways[-1], whole(iter(messages))
    return chart, run, views.point(space, a), views.strip(space, a, b)


def connect(tab: gr.Tab, around: wiring.Around, space: LatentSpace, controls: Controls) -> None:
    """Wire the tab, which shows its first scene when it is opened, or runs what the page's address asks for."""
    zoo, stops = around.zoo, around.stops
    films, first = views.Films(), around.first_views.add(lambda: first_scene(zoo, space))
    first_a, first_b = first_points(space)
    chosen, ends, mine = gr.State(first_a), gr.State((first_a, first_b)), gr.State(None)

    def select(picture, asked: dict) -> tuple:
        with wiring.toasts():
            return views.point(space, asked["index"], picture), asked["index"]

    def show_preview(picture, asked: dict) -> dict:
        with wiring.toasts():
            return views.preview(space, asked["index"], picture)

    def connect_ends(picture, asked: dict) -> tuple:
        with wiring.toasts():
            return views.strip(space, asked["a"], asked["b"], picture), (asked["a"], asked["b"])

    def run(halted: Callable[[], bool], index: int, pair: tuple[int, int], *values) -> Iterator[tuple]:
        asked = Settings(space.model.key, **controls.fields.read(iter(values)))
        points = {name: value for name, value in zip(POINTS, (index, *pair), strict=True) if value != views.MINE}
        address = link(asked.checked(zoo), tab=TAB, **points)
        for message, way in views.walk(space, asked, halted, wiring.time_limit()):
            yield message, way, address

    def restore(query: Mapping[str, str]) -> dict | None:
        asked = None if space.pathless else linked(zoo, query, TAB, model=space.model.key)
        pointed = query.get("tab") == TAB and any(name in query for name in POINTS)
        if not (asked or pointed):
            return None
        first = zip(POINTS, (first_a, first_a, first_b), strict=True)
        point, *pair = (space.index(query.get(name, usual), name) for name, usual in first)
        return (fields.show(asked) if asked else {}) | {chosen: point, ends: tuple(pair)}

    def take(path: str) -> tuple:
        with wiring.toasts():
            picture = sources.read(path)
            return picture, views.placed(space, picture), views.point(space, views.MINE, picture), views.MINE

    def fetch(index, picture, progress=gr.Progress(track_tqdm=True)) -> tuple:  # noqa: B008
        with wiring.toasts():
            progress(0, "Downloading CIFAR-10")
            space.download_originals()
            return *offer_download(), views.point(space, index, picture)

    def offer_download() -> list:
        return [gr.update(visible=space.originals is None), gr.update(visible=space.downloadable)]

    def first_sight(mine: np.ndarray | None, index: int, pair: tuple[int, int]) -> tuple:
        """The first scene, with the visitor's picture in it if there is one, and what a link asks for."""
        chart, run, point, strip = first()
        if mine is not None:
            chart, point = chart | views.placed(space, mine), gr.skip()
        elif index != first_a:
            chart, point = chart | {"selected": index}, views.point(space, index)
        if tuple(pair) != (first_a, first_b):
            chart, strip = chart | {"ends": list(pair)}, views.strip(space, *pair, mine)
        return chart, run, point, strip, *offer_download()

    def film(pair, picture) -> str:
        with wiring.toasts():
            return str(films.write(space, *pair, picture))

    quiet = {"show_progress": "hidden", **wiring.AT_ONCE}
    wiring.answer_newest(controls.map, "select", select, [mine], [controls.point, chosen], **quiet)
    wiring.answer_newest(controls.map, "focus", show_preview, [mine], controls.map, **quiet)
    wiring.answer_newest(controls.map, "input", connect_ends, [mine], [controls.strip, ends], **quiet)
    fields = controls.fields
    going = wiring.connect_run(
        controls.run,
        run,
        [chosen, ends, *fields.inputs()],
        [controls.viewer, controls.map, controls.link],
        fields["class_name"],
        stops,
        TAB,
    )
    exports.connect_link(controls.link, going)
    for pointed in (controls.map.select, controls.map.input):
        pointed(None, controls.link, controls.link, js=WITH_POINTS, **wiring.PRIVATE)
    restored = [*fields.outputs(), chosen, ends]
    exports.connect_restoring(around.page, TAB, restore, restored, RUN_ID, "#latent-map [data-path]")
    fields.connect_guidance(fields["class_name"])
    fields.connect_run(RUN_ID)
    wiring.connect_stop(controls.stop.click, controls.viewer, stops, (going, controls.run, TAB))
    taken = controls.upload.upload(
        take, controls.upload, [mine, controls.map, controls.point, chosen], **sources.TOASTING
    )
    without = f"(address) => ({WITH_POINTS})(address, {views.MINE})"  # which the map itself may not know yet
    taken.success(None, controls.link, controls.link, js=without, **wiring.PRIVATE)
    controls.fetch.click(
        fetch,
        [chosen, mine],
        [controls.absent, controls.fetch, controls.point],
        show_progress_on=controls.absent,
        **wiring.BESIDE | {"concurrency_limit": 1},
    )
    written = controls.gif.click(film, [ends, mine], controls.file, show_progress="hidden", **wiring.FILES)
    written.success(None, controls.file, js=SAVE, **wiring.PRIVATE)
    scene = [controls.map, controls.viewer, controls.point, controls.strip, controls.absent, controls.fetch]
    wiring.show_first(tab, first, first_sight, [mine, chosen, ends], scene)
