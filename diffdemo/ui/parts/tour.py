"""A guided tour: six moments, each a link that sets the page, and words that say what to see there."""

import html
from dataclasses import dataclass
from urllib.parse import urlencode

import gradio as gr

from diffdemo.ui.parts import wiring
from diffdemo.ui.runs.zoo import ModelZoo

TOUR, STEP = NAMES = ("tour", "step")  # in a link; neither is a setting
_SHIPS = {"tab": "compare", "class": "ship", "seed": "2", "images": "4"}
_TWICE = {"model_a": "attention_unet", "model_b": "attention_unet"}


@dataclass(frozen=True)
class Moment:
    """A moment of the tour: its title, what to see, and what a link asks for."""

    title: str
    words: str
    query: dict[str, str]
    models: tuple[str, ...] = ()


MOMENTS = (
    Moment(
        "Noise",
        "The first step: the left pictures are nothing but noise, drawn from the seed. Drag the slider and watch them "
        "clear.",
        {STEP: "1"},
    ),
    Moment(
        "The guess",
        "A few steps on, the left pictures are still mostly noise, but the network's guess beside them has its colours "
        "and shapes already. Every step moves a little towards it.",
        {STEP: "5"},
    ),
    Moment(
        "Guidance off and on",
        "The same noise, and guidance 1 against 4: B is more typical of its class and less varied than A.",
        {**_SHIPS, **_TWICE, "guidance_a": "1", "guidance_b": "4"},
        ("attention_unet",),
    ),
    Moment(
        "Few steps and many",
        "3 steps against 50, from the same noise: the few leave it blurred, and most of it is there.",
        {**_SHIPS, **_TWICE, "steps_a": "3", "steps_b": "50"},
        ("attention_unet",),
    ),
    Moment(
        "Two networks, one noise",
        "Two networks that were trained apart find similar pictures in the same noise: most of what comes out is "
        "decided by the noise and the data.",
        {**_SHIPS, "model_a": "simple_unet", "model_b": "attention_unet"},
        ("simple_unet", "attention_unet"),
    ),
    Moment(
        "A latent's path",
        "Latent diffusion moves a point through a space of 128 numbers. Follow the red dots from the noise to where "
        "pictures are.",
        {"tab": "latent"},
        ("latent_diffusion",),
    ),
)
# Of the first run, which needs no other; the moment it is on display.
SEEK = f"""() => {{
    const step = new URLSearchParams(location.search).get("{STEP}");
    if (!step) return;
    const seek = () => {{
        const scrubber = document.querySelector("#generate-viewer .viewer[data-state=done] .scrubber");
        if (!scrubber) return void setTimeout(seek, 100);
        scrubber.value = String(Number(step) - 1);
        scrubber.dispatchEvent(new Event("input"));
    }};
    seek();
}}"""


def add(page: gr.Blocks, zoo: ModelZoo) -> None:
    """Put the tour onto the page, whose address says which moment is on display."""
    moments = [moment for moment in MOMENTS if all(model in zoo.keys for model in moment.models)]
    shown = gr.HTML(_words(moments, None), elem_classes="tour", apply_default_css=False)

    def at(request: gr.Request) -> str:
        asked = request.query_params.get(TOUR, "")
        return _words(moments, int(asked) if asked.isdecimal() else None)

    page.load(at, outputs=shown, show_progress="hidden", **wiring.AT_ONCE)
    page.load(None, js=SEEK, **wiring.PRIVATE)


def _words(moments: list[Moment], number: int | None) -> str:
    links = []
    for place, moment in enumerate(moments, 1):
        here = ' aria-current="step"' if place == number else ""
        address = html.escape("?" + urlencode({TOUR: place, **moment.query}))
        links.append(f'<a href="{address}"{here}>{place}. {html.escape(moment.title)}</a>')
    words = [moment.words for place, moment in enumerate(moments, 1) if place == number]
    said = f'<p role="status">{html.escape(words[0])}</p>' if words else ""
    return f'<nav aria-label="A tour in {len(moments)} moments"><b>A tour</b> {" ".join(links)}</nav>{said}'
