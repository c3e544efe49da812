"""The fields of a run's settings, which the tabs share."""

import random
from collections.abc import Iterator

import gradio as gr
from gradio.components import Component

from diffdemo.generator import Generator
from diffdemo.process.guidance import NO_CLASS, WEAK_MODEL
from diffdemo.process.samplers import SAMPLER_TITLES
from diffdemo.records.tables import plain
from diffdemo.ui.runs.settings import MOST_IMAGES, Settings, can_be_guided
from diffdemo.ui.runs.zoo import ModelZoo, about

SAMPLER_CHOICES = [(name, key) for key, name in SAMPLER_TITLES.items()]
SAMPLER_INFO = "DPM-Solver++ needs the fewest steps; DDPM is the original; Heun evaluates the network twice a step."
INTERVAL = "Guided at noise levels σ: low,high or all"
OF_EVERY_MODEL = ("model", "seed", "count")  # that another model does not change


class Fields(dict[str, Component]):
    """Components by the names of the `Settings` that they hold; each method adds some, in the order of the page.

    Args:
        settings: that they hold at first.
        prefix: of their labels.
    """

    def __init__(self, zoo: ModelZoo, settings: Settings, prefix: str = ""):
        super().__init__()
        self._zoo, self._prefix, self._first = zoo, prefix, properties(zoo, settings)
        self.about: gr.Markdown | None = None

    def add_model(self) -> None:
        """The choice of a model, in whose corner the place in the queue is shown, and what the chosen one is."""
        self._add("model", gr.Radio, "Model", choices=self._zoo.choices(), elem_classes="queue-place")
        self.about = gr.Markdown(elem_classes="about", **self._first["about"])

    def add_class(self, label: str = "Class", **how) -> None:
        self._add("class_name", gr.Radio, label, **how)

    def add_sampler(self, **how) -> None:
        self._add("sampler", gr.Radio, "Sampler", choices=SAMPLER_CHOICES, **how)

    def add_steps_and_guidance(self) -> None:
        """Steps, guidance, its interval and its guide, without limits of their own: our checks answer in a sentence."""
        with gr.Row():
            self._add("steps", gr.Number, "Steps", min_width=100)
            self._add("guidance", gr.Number, "Guidance", step=0.5, min_width=100)
        self._add("interval", gr.Textbox, INTERVAL, max_lines=1)
        self._add("guide", gr.Radio, "Guided by")

    def add_seed(self, label: str = "Seed") -> None:
        self._add("seed", gr.Textbox, label, max_lines=1)

    def add_noise(self) -> None:
        """Seed, a button for a new one, and the number of images."""
        with gr.Row(elem_classes="seed-row"):
            self._add("seed", gr.Textbox, "Seed", max_lines=1, scale=3, min_width=120)
            button = gr.Button("New seed", scale=1, min_width=96, size="sm")
        button.click(new_seed, outputs=self["seed"], queue=False, api_visibility="private")
        self._add("count", gr.Slider, "Images", minimum=1, maximum=MOST_IMAGES, step=1, min_width=130, buttons=[])

    def inputs(self) -> list[Component]:
        """What `read` takes the values of."""
        return list(self.values())

    def read(self, values: Iterator) -> dict[str, object]:
        """The next of an event's values by their names."""
        return dict(zip(self, values, strict=False))  # which takes no value more than there are names

    def outputs(self) -> list[Component]:
        """What `show` updates."""
        return [*self.values(), *([self.about] if self.about else [])]

    def show(self, settings: Settings) -> dict[Component, dict]:
        """Updates that show these settings, which are checked."""
        shown = properties(self._zoo, settings)
        note = {self.about: gr.update(**shown["about"])} if self.about else {}
        return note | {field: gr.update(**shown[name]) for name, field in self.items()}

    def follow(self, settings: Settings) -> dict[Component, dict]:
        """The same for another model: without the model itself, which may have changed again meanwhile, and noise."""
        kept = [self[name] for name in OF_EVERY_MODEL if name in self]
        return {field: update for field, update in self.show(settings).items() if field not in kept}

    def _add(self, name: str, kind: type[Component], label: str, **how) -> None:
        self[name] = kind(label=self._prefix + label, **self._first[name] | how)


def properties(zoo: ModelZoo, settings: Settings) -> dict[str, dict]:
    """What the components of settings look like, by their names, and that of the words about the model."""
    model = zoo[settings.model]
    guided, classes = can_be_guided(model), zoo.classes(settings.model)
    return {
        "model": {"value": settings.model},
        "about": {"value": plain(about(model))},
        "class_name": {"choices": classes, "value": settings.class_name, "visible": bool(model.classes)},
        "steps": {"value": settings.steps},
        "sampler": {"value": settings.sampler},
        "guidance": {"value": settings.guidance, "visible": guided},
        "interval": {"value": settings.interval, "visible": guided},
        "guide": {"choices": guide_choices(model), "value": settings.guide, "visible": bool(model.guide)},
        "seed": {"value": settings.seed},
        "count": {"value": settings.count},
    }


def guide_choices(model: Generator) -> list[tuple[str, str]]:
    """What a model can be guided by, as Gradio's Radio takes it."""
    by_class = [("The same without its class", NO_CLASS)] if model.classes or not model.guide else []
    return by_class + ([("A weaker version of it", WEAK_MODEL)] if model.guide else [])


def new_seed() -> str:
    """A seed nobody chose, short enough to read out."""
    return str(random.randrange(1_000_000))
