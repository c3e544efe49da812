"""The Generate tab: one model at work, x_t and its guess of x0 side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gradio as gr

from diffdemo.ui.components.viewer import viewer
from diffdemo.ui.parts import exports, nearest, wiring
from diffdemo.ui.parts.fields import Fields
from diffdemo.ui.parts.notes import notes
from diffdemo.ui.runs.examples import Example, examples
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import FAVOURITE, IN_A_LINK, TAB, Settings, linked
from diffdemo.ui.runs.stream import Stops, stream, whole
from diffdemo.ui.runs.zoo import ModelZoo

RUN_ID = "generate-run"
PRESS = wiring.press(RUN_ID)
PRESS_IF_LINKED = wiring.press_if_linked(TAB, RUN_ID, IN_A_LINK)

LEAD = r"""Every picture begins as pure noise, $x_t$. At each step the network guesses the clean picture in it,
$\hat x_0$, and the step moves a little towards that guess."""
EXPLANATION = r"""The curve of $\bar\alpha_t$ shows how much of the picture's variance is in $x_t$ by then."""
FORMULAS = r"""
Training hides a picture $x_0$ in noise, and the network learns to find it again (Ho et al. 2020):
$$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon,\qquad \varepsilon \sim \mathcal N(0, 1),\qquad
\mathrm{SNR}_t = \frac{\bar\alpha_t}{1-\bar\alpha_t}$$

A step of the sampler from $t$ to $s < t$ takes the guess $\hat x_0$, works out which noise
$\hat\varepsilon = (x_t - \sqrt{\bar\alpha_t}\,\hat x_0) / \sqrt{1-\bar\alpha_t}$ must then be in $x_t$, and puts less
of it back. In its simplest form (DDIM):
$$x_s = \sqrt{\bar\alpha_s}\,\hat x_0 + \sqrt{1-\bar\alpha_s}\,\hat\varepsilon$$

Guidance $w$ exaggerates what the class adds (Ho and Salimans 2022); $w = 1$ is none, and a step with any other $w$
takes two network evaluations instead of one:
$$\hat x_0 = \hat x_0(\text{no class}) + w\,\bigl(\hat x_0(\text{class}) - \hat x_0(\text{no class})\bigr)$$

Early on, in nothing but noise, it leaves little choice of picture, and late it has nothing left to decide: guiding only
at the noise levels $\sigma_t = \sqrt{(1-\bar\alpha_t) / \bar\alpha_t}$ between costs less and keeps variety
(Kynkäänniemi et al. 2024). In place of the guess without a class may stand that of a *weaker version* of the network,
smaller and shorter trained: what it gets wrong, too, only worse, points away from where pictures are (autoguidance,
Karras et al. 2024). That way a network that knows no classes can be guided:
$$\hat x_0 = \hat x_0^{\text{weak}} + w\,\bigl(\hat x_0 - \hat x_0^{\text{weak}}\bigr)$$
"""


@dataclass
class Controls:
    """The tab's components, in the order of the page."""

    run: gr.Button
    stop: gr.Button
    viewer: gr.HTML
    fields: Fields
    examples: list[gr.Button]
    exports: exports.Exports
    copying: nearest.Controls | None

    def outputs(self) -> list:
        """What `run` yields, in its order."""
        return [self.viewer, *self.exports.outputs()]


def layout(zoo: ModelZoo, search: nearest.Search) -> Controls:
    """Settings beside the viewer; below it on a phone. The keyboard comes to the viewer first."""
    fields = Fields(zoo, Settings.of(zoo, zoo.pick(FAVOURITE)))
    with gr.Row(elem_classes="tab-body"):
        run, stop = wiring.buttons("Generate", RUN_ID)
        with gr.Column(elem_classes="stage"):
            gr.Markdown(LEAD, elem_classes="lead", latex_delimiters=wiring.LATEX)
            view = viewer("Generated pictures, step by step", "generate-viewer")
            notes("t", "snr", "nfe", "alpha_bar")
        with gr.Column(elem_classes="settings"):
            fields.add_class()
            fields.add_seed(new=True)
            fields.add_steps_and_guidance()
            fields.add_count()
            fields.add_model()
            fields.add_sampler()
            fields.add_guided_how()
        with gr.Column(elem_classes="words"):
            taken = exports.layout()
            copying = nearest.layout(search)
            with gr.Row(elem_classes="chips"):
                gr.HTML("Worth a look", elem_classes="chips-label", apply_default_css=False)
                tries = [gr.Button(example.name, size="sm", min_width=40, scale=0) for example in examples(zoo)]
            gr.Markdown(EXPLANATION, latex_delimiters=wiring.LATEX)
            with gr.Accordion("The formulas", open=False):
                gr.Markdown(FORMULAS, latex_delimiters=wiring.LATEX)
    return Controls(run, stop, view, fields, tries, taken, copying)


def start(zoo: ModelZoo, asked: Settings) -> SamplingRun:
    """A checked run of these settings; RequestError says which of them is wrong."""
    model = zoo[asked.model]
    return SamplingRun.start(model, asked.request(model))


def first_run(zoo: ModelZoo, recordings: Recordings) -> tuple:
    """The finished run that is on display before the first click, and what can be taken away of it."""
    asked = Settings.of(zoo, zoo.pick(FAVOURITE))
    # A network's first evaluation takes longer, and the times on display should be those of any other run.
    next(start(zoo, asked).steps)
    lane = start(zoo, asked)
    message = whole(stream([lane]))
    recordings.keep(message["run"], [lane], for_ever=True)
    return message, *exports.describe(message["run"], lane, zoo.folder)


def connect(
    page: gr.Blocks,
    zoo: ModelZoo,
    stops: Stops,
    recordings: Recordings,
    controls: Controls,
    search: nearest.Search,
    first_views: wiring.FirstViews,
) -> None:
    """Wire the tab; `page` shows the first run when it loads, and runs what its address asks for."""
    fields = controls.fields

    def run(halted: Callable[[], bool], *values) -> Iterator[tuple]:
        lane = start(zoo, Settings(**fields.read(iter(values))))
        for message in stream([lane], halted, wiring.time_limit()):
            recordings.keep(message["run"], [lane])
            yield message, *exports.describe(message["run"], lane, zoo.folder)

    def restore(request: gr.Request) -> dict:
        with wiring.toasts():
            asked = linked(zoo, request.query_params)
        return fields.show(asked) if asked else gr.skip()

    page.load(None, js=wiring.ON_LOAD, **wiring.PRIVATE)
    outputs = controls.outputs()
    going = wiring.connect_run(controls.run, run, fields.inputs(), outputs, fields["model"], stops, TAB)
    exports.connect_link(controls.exports.link, going)
    wiring.connect_stop(controls.stop.click, controls.viewer, stops, (going, controls.run, TAB))
    quiet = {"show_progress": "hidden", **wiring.AT_ONCE}
    fields.connect_model(RUN_ID)
    fields.connect_guidance(fields["class_name"])
    fields.connect_run(RUN_ID)

    def set_up(example: Example) -> Callable[[], dict]:
        return lambda: fields.show(example.settings.checked(zoo))

    for button, example in zip(controls.examples, examples(zoo), strict=True):
        # The click on the button that runs ends what goes on. Gradio's own `cancels` would do so, too, but now and then
        # it forgets the click that comes before its answer.
        ready = button.click(set_up(example), outputs=fields.outputs(), **quiet)
        ready.success(None, js=PRESS, **wiring.PRIVATE)
    exports.connect(controls.exports, recordings)
    if controls.copying:
        nearest.connect(controls.copying, controls.exports.run, search, recordings)
    first_view = first_views.add(lambda: first_run(zoo, recordings), at_once=True)

    def unless_there(name: str | None) -> tuple:
        return (gr.skip(),) * len(controls.outputs()) if name else first_view()

    # In two events, because the first may take seconds, in which a visitor or a link can have begun a run.
    there = page.load(lambda: first_view() and None, **quiet)
    # In the queue, as of what comes beside it Gradio's page does not hear that a state has changed, which tells others.
    how = {"show_progress": "hidden", **wiring.BESIDE}
    shown = there.then(unless_there, controls.exports.run, controls.outputs(), **how)
    shown.then(first_views.begin_all, **quiet)
    opened = page.load(restore, outputs=fields.outputs(), show_progress="hidden", **wiring.BESIDE)
    opened.success(None, js=PRESS_IF_LINKED, **wiring.PRIVATE)
