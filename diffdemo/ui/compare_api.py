"""The Compare tab's action as a named endpoint."""

from collections.abc import Iterator

import gradio as gr

from diffdemo.ui import api, wiring
from diffdemo.ui.compare import LATER
from diffdemo.ui.comparisons import NAMES, PAIR, start
from diffdemo.ui.settings import FIRST_SEED, first_settings_of
from diffdemo.ui.shelf import Shelf


def connect(shelf: Shelf) -> None:
    """Add `/compare` to the page that is being built.

    It takes class_name, seed, n, same_noise, and model_a, steps_a, sampler_a, guidance_a, the same of b, and of c and
    d, which take part only if they name a model. It returns a gallery for each of the four, empty where there is no
    run, and a list of each run's settings with what it took. For the rest see `diffdemo.ui.api`.
    """

    def run(
        class_name,
        seed,
        n,
        same_noise,
        model_a,
        steps_a,
        sampler_a,
        guidance_a,
        model_b,
        steps_b,
        sampler_b,
        guidance_b,
        model_c,
        steps_c,
        sampler_c,
        guidance_c,
        model_d,
        steps_d,
        sampler_d,
        guidance_d,
    ) -> Iterator[tuple]:
        sides = [
            (model_a, steps_a, sampler_a, guidance_a),
            (model_b, steps_b, sampler_b, guidance_b),
            (model_c, steps_c, sampler_c, guidance_c),
            (model_d, steps_d, sampler_d, guidance_d),
        ]
        with wiring.toasts():
            lanes = start(shelf, class_name, seed, n, same_noise, *[side for side in sides if side[0]])
            for reports in api.finish(lanes):
                yield *[gr.skip() for _ in NAMES], reports
            galleries = [api.gallery(lane) for lane in lanes]
            yield *galleries, *[[] for _ in NAMES[len(lanes) :]], [lane.report() for lane in lanes]

    keys = [shelf.pick(key) for key in PAIR]
    sides = [("a", keys[0], keys[0], None), ("b", keys[1], keys[1], None)]
    sides += [(name, "", keys[1], sampler) for name, sampler in zip("cd", LATER, strict=True)]
    inputs = [
        api.text("class_name", first_settings_of(shelf, keys[1])["class_name"]),
        api.text("seed", FIRST_SEED),
        api.value("n", 1),
        gr.Checkbox(True, visible=False, label="same_noise"),
    ]
    for name, model, like, sampler in sides:
        settings = first_settings_of(shelf, like)
        inputs += [
            api.text(f"model_{name}", model),
            api.value(f"steps_{name}", settings["steps"]),
            api.text(f"sampler_{name}", sampler or settings["sampler"]),
            api.value(f"guidance_{name}", settings["guidance"]),
        ]
    outputs = [api.pictures(f"pictures_{name.lower()}") for name in NAMES]
    api.endpoint("compare", run, inputs, [*outputs, gr.JSON(visible=False, label="settings")])
