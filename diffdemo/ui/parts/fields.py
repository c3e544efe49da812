"""The fields of a run's settings, which the tabs share."""

import random
from collections.abc import Iterator

import gradio as gr
from gradio.components import Component

from diffdemo.generator import Generator
from diffdemo.process.guidance import NO_CLASS, WEAK_MODEL
from diffdemo.process.names import SAMPLER_TITLES
from diffdemo.ui.parts.notes import NOTES, note
from diffdemo.ui.parts.wiring import AT_ONCE, PRIVATE, press, settled_before
from diffdemo.ui.runs.settings import MOST_IMAGES, Settings, can_be_guided
from diffdemo.ui.runs.zoo import ANY, ModelZoo, in_short

SAMPLER_CHOICES = [(name, key) for key, name in SAMPLER_TITLES.items()]
INTERVAL = "Guided at noise levels σ: low,high or all"
HOW_GUIDED = "Where and by what it is guided"
TYPED = ("steps", "guidance", "interval", "seed")
OF_EVERY_MODEL = ("model", "seed", "count")  # that another model does not change


class Fields(dict[str, Component]):
    """Components by the names of the `Settings` that they hold; each `add` puts some on the page.

    Args:
        settings: that they hold at first.
        prefix: of their labels.
    """

    def __init__(self, zoo: ModelZoo, settings: Settings, prefix: str = ""):
        super().__init__()
        self._zoo, self._settings, self._prefix = zoo, settings, prefix
        self._first = properties(zoo, settings)
        self.about: gr.Markdown | None = None
        self._guided: gr.Accordion | None = None
        self._new_seed: gr.Button | None = None

    def add_model(self) -> None:
        """The choice of a model, in whose corner Gradio writes the place in the queue, and what the chosen one is."""
        self._add("model", gr.Radio, "Model", choices=self._zoo.choices(), elem_classes="queue-place")
        self.about = gr.Markdown(elem_classes="about", **self._first["about"])

    def add_line(self) -> None:
        """The choices of a model and a sampler in one line, for where there are several runs."""
        short = {"filterable": False, "min_width": 120}
        with gr.Row(elem_classes="numbers"):
            self._add("model", gr.Dropdown, "Model", choices=self._zoo.choices(), elem_classes="queue-place", **short)
            self._add("sampler", gr.Dropdown, "Sampler", choices=SAMPLER_CHOICES, **short)

    def add_class(self, label: str = "Class", **how) -> None:
        """The choice of a class."""
        self._add("class_name", gr.Radio, label, **how)

    def add_sampler(self) -> None:
        """The choice of a sampler."""
        self._add("sampler", gr.Radio, "Sampler", choices=SAMPLER_CHOICES)

    def add_steps_and_guidance(self) -> None:
        """Steps and guidance, without limits of their own: our checks answer in a sentence."""
        with gr.Row(elem_classes="numbers"):
            self._add("steps", gr.Number, "Steps", min_width=100)
            self._add("guidance", gr.Number, "Guidance", step=0.5, min_width=100)

    def add_guided_how(self) -> None:
        """Where on the way a run is guided, and by what, folded away."""
        with gr.Accordion(HOW_GUIDED, open=False, **self._first["guided"]) as self._guided:
            self._add("interval", gr.Textbox, INTERVAL, max_lines=1)
            self._add("guide", gr.Radio, "Guided by")

    def add_seed(self, label: str = "Seed", new: bool = False) -> None:
        """The seed of the first image, and a button for a new one."""
        with gr.Row(elem_classes="seed-row"):
            self._add("seed", gr.Textbox, label, max_lines=1, scale=3, min_width=120)
            self._new_seed = gr.Button("New seed", scale=1, min_width=96, size="sm") if new else None

    def add_count(self) -> None:
        """The number of images."""
        self._add("count", gr.Slider, "Images", minimum=1, maximum=MOST_IMAGES, step=1, min_width=130, buttons=[])

    def inputs(self) -> list[Component]:
        """What `read` takes the values of."""
        return list(self.values())

    def read(self, values: Iterator) -> dict[str, object]:
        """The next of an event's values by their names."""
        return dict(zip(self, values, strict=False))  # which takes no value more than there are names

    def outputs(self) -> list[Component]:
        """What `show` updates."""
        return [*self.values(), *filter(None, (self.about, self._guided))]

    def show(self, settings: Settings) -> dict[Component, dict]:
        """Updates that show these settings, which are checked."""
        shown = properties(self._zoo, settings)
        fields = {**self, "about": self.about, "guided": self._guided}
        return {field: gr.update(**shown[name]) for name, field in fields.items() if field}

    def connect_model(self, elem_id: str) -> None:
        """Let another model keep what the visitor has chosen, where it can take that, and bring the rest itself.

        What was chosen is remembered, too, while a model that cannot take it is on display.

        Args:
            elem_id: of the button that runs with these settings.
        """
        shown, chosen = gr.State(self._settings), gr.State({})

        def another(before: Settings, wished: dict, *values) -> dict:
            said = self.read(iter(values))
            if isinstance(self["model"], gr.Dropdown) and said["model"] == before.model:
                # A pick fires several times, and what comes again has the fields as they were before the answer.
                return {shown: before}
            own = [name for name in said if name not in OF_EVERY_MODEL]
            wished = wished | {name: said[name] for name in own if said[name] != getattr(before, name)}
            settings = Settings.of(self._zoo, said["model"]).wishing(self._zoo, wished)
            # The model itself may have changed again meanwhile.
            kept = [self[name] for name in OF_EVERY_MODEL if name in self]
            updates = {field: update for field, update in self.show(settings).items() if field not in kept}
            for name in TYPED:  # what stays as it is, or somebody typing meanwhile would lose it to this answer
                if name in said and self[name] in updates and updates[self[name]].get("value") == said[name]:
                    del updates[self[name]]["value"]
            return updates | {shown: settings, chosen: wished}

        asked, changed = [shown, chosen, *self.inputs()], [*self.outputs(), shown, chosen]
        settled_before(elem_id, self["model"].input, another, asked, changed)

    def connect_guidance(self, class_name: Component) -> None:
        """Let guidance be set only where the class, or a weaker model, leaves it something to do."""

        def updates(name: str, guide: str) -> list[dict]:
            return [gr.update(interactive=name != ANY or guide == WEAK_MODEL)] * 2

        events = [class_name.change, self["guide"].change]
        guided = [self["guidance"], self["interval"]]
        # Without Gradio's checks, which know the choices of another model yet.
        how = {"preprocess": False, "show_progress": "hidden", **AT_ONCE}
        gr.on(events, updates, [class_name, self["guide"]], guided, **how)

    def connect_run(self, elem_id: str) -> None:
        """Let Enter in a field, and a new seed, press the button that runs."""
        if self._new_seed:
            new = self._new_seed.click(new_seed, outputs=self["seed"], queue=False, **PRIVATE)
            new.success(None, js=press(elem_id), **PRIVATE)
        gr.on([self[name].submit for name in TYPED if name in self], None, js=press(elem_id), **PRIVATE)

    def _add(self, name: str, kind: type[Component], label: str, **how) -> None:
        field = lambda: kind(label=self._prefix + label, **self._first[name] | how)  # noqa: E731
        if name not in NOTES or self._prefix:
            self[name] = field()
            return
        with gr.Column(elem_classes="noted", **{of: how.pop(of) for of in ("scale", "min_width") if of in how}):
            self[name] = field()
            note(name)


def properties(zoo: ModelZoo, settings: Settings) -> dict[str, dict]:
    """What the components of settings look like, by their names, and that of the words about the model."""
    model = zoo[settings.model]
    guided, classes = can_be_guided(model), zoo.classes(settings.model)
    return {
        "model": {"value": settings.model},
        "about": {"value": in_short(model)},
        "guided": {"visible": guided},
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
