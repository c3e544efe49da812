"""The Compare tab's action as a named endpoint."""

from collections.abc import Iterator
from dataclasses import replace

import gradio as gr

from diffdemo.ui.api import endpoint as api
from diffdemo.ui.parts import wiring
from diffdemo.ui.runs.compare_link import OF_A_RUN
from diffdemo.ui.runs.comparisons import NAMES, PAIR, start
from diffdemo.ui.runs.settings import FIRST_SEED, Settings, first_class
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs.compare import LATER


def connect(zoo: ModelZoo) -> None:
    """Add `/compare` to the page that is being built.

    It takes class_name, seed, n, same_noise, and model_a, steps_a, sampler_a, guidance_a, interval_a, guide_a, the same
    of b, and of c and d, which take part only if they name a model. It returns a gallery for each of the four, empty
    where there is no run, and a list of each run's settings with what it took. Settings that are left out are each
    model's own, but for the samplers of c and d, and the class is one that all of them know. For the rest see
    `diffdemo.ui.api`.
    """

    def run(
        class_name=None,
        seed=None,
        n=None,
        same_noise=None,
        model_a=None,
        steps_a=None,
        sampler_a=None,
        guidance_a=None,
        interval_a=None,
        guide_a=None,
        model_b=None,
        steps_b=None,
        sampler_b=None,
        guidance_b=None,
        interval_b=None,
        guide_b=None,
        model_c=None,
        steps_c=None,
        sampler_c=None,
        guidance_c=None,
        interval_c=None,
        guide_c=None,
        model_d=None,
        steps_d=None,
        sampler_d=None,
        guidance_d=None,
        interval_d=None,
        guide_d=None,
    ) -> Iterator[tuple]:
        given = locals()
        sides = [{setting: given[f"{setting}_{name.lower()}"] for setting in OF_A_RUN} for name in NAMES]
        with wiring.toasts():
            sides = [side for side in sides if side["model"]]
            if class_name is None:
                class_name = first_class(zoo, *(side["model"] for side in sides))
            asked = [replace(Settings.of(zoo, class_name=class_name, **side), seed=seed, count=n) for side in sides]
            lanes = start(zoo, asked, same_noise)
            for reports in api.finish(lanes):
                yield *[None for _ in NAMES], reports
            galleries = [api.gallery(lane) for lane in lanes]
            yield *galleries, *[[] for _ in NAMES[len(lanes) :]], [lane.report() for lane in lanes]

    keys = [zoo.pick(key) for key in PAIR]
    sides = [("a", keys[0], None), ("b", keys[1], None), *zip("cd", ("", ""), LATER, strict=True)]
    inputs = [
        api.text("class_name"),
        api.text("seed", FIRST_SEED),
        api.value("n", 1),
        gr.Checkbox(True, visible=False, label="same_noise"),
    ]
    for name, model, sampler in sides:
        inputs += [
            api.text(f"model_{name}", model),
            api.value(f"steps_{name}"),
            api.text(f"sampler_{name}", sampler),
            api.value(f"guidance_{name}"),
            api.text(f"interval_{name}"),
            api.text(f"guide_{name}"),
        ]
    outputs = [api.pictures(f"pictures_{name.lower()}") for name in NAMES]
    api.endpoint("compare", run, inputs, [*outputs, gr.JSON(visible=False, label="settings")])
