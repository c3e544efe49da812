"""The Inside tab's action as a named endpoint."""

from collections.abc import Iterator
from dataclasses import replace

import gradio as gr

from diffdemo import validate
from diffdemo.ui.api import endpoint as api
from diffdemo.ui.parts import inside_views, wiring
from diffdemo.ui.runs.settings import FAVOURITE, FIRST_SEED, Settings
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs.inside import QUEUE


def connect(zoo: ModelZoo) -> None:
    """Add `/inside` to the page that is being built.

    It takes model, class_name, steps, seed, sampler, guidance, interval, guide as `/generate` does, the step of that
    run, from 0, a pixel (row, column), and the name of a block. It returns x_t and the guess as PNG files, and {"t",
    "blocks": [the fields of `diffdemo.measure.inside.Block`], "attention": {block: (heads, H, W) weights for the
    pixel}}, with a block's name also "activations": {"channels", "values": (K, H, W), those that vary most}.
    """

    def run(
        model,
        class_name=None,
        steps=None,
        seed=None,
        sampler=None,
        guidance=None,
        interval=None,
        guide=None,
        step=0,
        row=0,
        column=0,
        block=None,
    ) -> Iterator[tuple]:
        with wiring.toasts():
            how = {"sampler": sampler, "guidance": guidance, "interval": interval, "guide": guide}
            of = zoo[model]
            settings = Settings.of(zoo, model, class_name=class_name, steps=steps, **how)
            asked = replace(settings, seed=seed, count=1).request(of)
            states, step = inside_views.states_of(of, asked), validate.whole_number("step", step, 0, asked.steps - 1)
            for _ in api.in_time(map(states.at, range(step + 1)), "an earlier step"):
                yield (None,) * 3
            t, x_t, x0 = states.at(step)
            evaluation = inside_views.evaluation_of(of, asked, step)
            looks = inside_views.attention_at(evaluation, of.image_size, row, column)
            known = {
                "t": t,
                "blocks": [vars(one) for one in evaluation.blocks],
                "attention": {name: weights.tolist() for name, weights in looks.items()},
            }
            if block:
                output = evaluation.outputs[validate.choice("block", block, list(evaluation.outputs))]
                channels, values = inside_views.liveliest(output)
                known["activations"] = {"channels": channels, "values": values.tolist()}
            yield of.images(x_t)[0], of.images(x0)[0], known

    inputs = [
        api.text("model", zoo.pick(FAVOURITE)),
        api.text("class_name"),
        api.value("steps"),
        api.text("seed", FIRST_SEED),
        api.text("sampler"),
        api.value("guidance"),
        api.text("interval"),
        api.text("guide"),
        api.value("step", 0),
        api.value("row", 0),
        api.value("column", 0),
        api.text("block"),
    ]
    outputs = [api.image("x_t"), api.image("x0"), gr.JSON(visible=False, label="inside")]
    gr.Button(visible=False).click(run, inputs, outputs, api_name="inside", **QUEUE)
