"""On the Training tab: quality against sampling steps and guidance, where `train.curves` has measured it."""

import gradio as gr
import numpy as np

from diffdemo.process.names import SAMPLER_TITLES
from diffdemo.records.measured import spaced
from diffdemo.records.quality_curves import FIGURES, LABELS
from diffdemo.records.tables import plain
from diffdemo.ui.components.curves import Series, curves, plot

# The same in every plot, whichever samplers it has; the next colour is that of real pictures.
COLOURS = {name: colour for colour, name in enumerate(SAMPLER_TITLES)}


def layout() -> list:
    """Hidden plots: for each column of LABELS the group, what it is, and one plot for each of FIGURES."""
    components = []
    for x, label in LABELS.items():
        with gr.Column(visible=False, elem_id=f"training-quality-{x}", elem_classes="quality") as group:
            words = gr.Markdown(elem_classes="about")
            with gr.Row():
                plots = [
                    curves(f"{title} over {label}", f"training-quality-{x}-{figure}")
                    for figure, title in FIGURES.items()
                ]
        components += [group, words, *plots]
    return components


def shown(known: dict[str, list[dict]]) -> list:
    """Updates of `layout`'s components from {x: curves}, each as `quality_curves.Curves.describe` has them."""
    updates = []
    for x, label in LABELS.items():
        found = {one["figure"]: one for one in known.get(x, [])}
        how = _in_words(label, next(iter(found.values()))["how"]) if found else ""
        plots = [
            gr.update(visible=True, value=_plot(found[figure], x)) if figure in found else gr.update(visible=False)
            for figure in FIGURES
        ]
        updates += [gr.update(visible=bool(found)), how, *plots]
    return updates


def _plot(known: dict, x: str) -> dict:
    lines = [
        Series(SAMPLER_TITLES.get(name, name), np.array(points["x"]), np.array(points["y"]), "dots", COLOURS.get(name))
        for name, points in known["samplers"].items()
    ]
    ends = np.array([extreme(np.concatenate([line.x for line in lines])) for extreme in (np.min, np.max)])
    floor = Series("real pictures", ends, np.full(2, known["floor"]), colour=len(COLOURS))
    distance = known["figure"] == "frechet_distance"
    return plot([*lines, floor], LABELS[x], FIGURES[known["figure"]], log=distance, log_x=x == "steps")


def _in_words(label: str, how: dict[str, str]) -> str:
    """What all points of a curve share, as Markdown."""
    parts = [f"{int(how['n']):,} pictures a point, from seed {how['first_seed']}, on {how['sampled_on']}"]
    if how.get("steps"):
        parts.append(f"{how['steps']} steps")
    parts.append(f"{spaced(how)} spacing")
    if how.get("guidance_scale"):
        parts.append(f"guidance {how['guidance_scale']}")
    parts.append(f"against the data set ({how['reference']}) in the features of the classifier ({how['classifier']})")
    return f"**Quality over {label}.** {plain(', '.join(parts))}. A lower distance is better."
