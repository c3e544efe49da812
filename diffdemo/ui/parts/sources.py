"""Where the Forward and the Classify tab take their picture from: an upload, the Generate tab, the data, a model."""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import gradio as gr
import numpy as np
from gradio.components import Component

from diffdemo.data import load_dataset
from diffdemo.data.pictures import read_pictures
from diffdemo.errors import DataError, RequestError
from diffdemo.ui.components.picker import chosen, offer, picker
from diffdemo.ui.parts import wiring
from diffdemo.ui.runs.settings import FAVOURITE
from diffdemo.ui.runs.zoo import ANY, ModelZoo, title

CLASSES = ("automobile", "horse", "ship", "cat", "deer", "truck")
SEED, STEPS = 3, 10
# Of quick actions that may be refused: only the queue brings sentences to a toast, and these wait for nothing in it.
TOASTING = {"show_progress": "hidden", "concurrency_limit": None, **wiring.PRIVATE}
_READING = Lock()  # one at a time: a large picture takes half a gigabyte while it is unpacked


@dataclass(frozen=True)
class Examples:
    """Pictures to begin with.

    Attributes:
        pictures: (N, H, W, 3) uint8.
        labels: what each is.
        source: where they are from, in words.
        drawn_by: the model that drew them; "" of real pictures.
    """

    pictures: np.ndarray
    labels: list[str]
    source: str
    drawn_by: str = ""

    @classmethod
    def find(cls, zoo: ModelZoo, data: str | Path) -> "Examples":
        """Real test pictures, the first of each of a few classes, where the folder `data` holds any; else `draw`."""
        try:
            test = load_dataset(data, "test", download=False)
        except DataError:
            return cls.draw(zoo)
        names = [name for name in CLASSES if name in test.classes] or test.classes[: len(CLASSES)]
        first = {name: np.flatnonzero(test.labels == test.classes.index(name))[:1] for name in names}
        labels = [f"{name}, a real picture" for name, found in first.items() if len(found)]
        return cls(
            np.array(test.images[np.concatenate(list(first.values()))]), labels, f"Real pictures: {test.source}."
        )

    @classmethod
    def draw(cls, zoo: ModelZoo) -> "Examples":
        """One picture of each of a few classes by the favourite model, or some of no class if it knows none."""
        model = zoo[zoo.pick(FAVOURITE)]
        names = [name for name in CLASSES if name in model.classes] or [ANY] * 4
        seeds = range(SEED, SEED + len(names))
        pictures = model.sample(names, seeds=seeds, steps=STEPS, sampler="dpmpp")
        by = f"drawn by {title(model)}"
        labels = [f"{name}, {by}, seed {seed}" for name, seed in zip(names, seeds, strict=True)]
        return cls(pictures, labels, f"No real pictures: {by}.", model.key)

    def drawn_by_itself(self, model: str, picture: np.ndarray) -> bool:
        """Whether it is this model that drew this picture, (H, W, 3) uint8, of these."""
        return model == self.drawn_by and bool((self.pictures == picture).all(axis=(1, 2, 3)).any())


@dataclass
class Source:
    """The components that choose a tab's picture.

    Which one is chosen, only the page knows. Events have `picture` among their last inputs and read it there by the
    expression `off_page` (see `wiring.reading`), for `picture_of`.
    """

    upload: gr.UploadButton
    picker: gr.HTML
    picture: gr.JSON

    @property
    def off_page(self) -> str:
        return wiring.newest(self.picker, "select")


def layout(tab: str) -> Source:
    """Pictures to choose from above an upload button."""
    choices = picker(f"{tab}-picker")
    return Source(upload("Upload a picture"), choices, gr.JSON(visible=False))


def upload(label: str) -> gr.UploadButton:
    """A button that takes a picture file, for `read`."""
    return giving_paths(gr.UploadButton(label, file_types=["image"], size="md", type="filepath"))


def giving_paths(component: Component) -> Component:
    """Let a component that takes a file hand on its path; Gradio's own way leaves an empty file behind each time."""
    component.preprocess = lambda file: getattr(file, "path", None)
    return component


def read(path: str | None) -> np.ndarray:
    """An uploaded picture of any size and kind as (32, 32, 3) uint8; errors call it by its file name.

    Raises:
        RequestError: there is none, or it cannot be read.
    """
    if not path:
        raise RequestError("There is no picture yet; upload one or choose one of those on the page.")
    try:
        with _READING:
            return read_pictures([Path(path)])[0]
    except DataError as error:
        raise RequestError(str(error).replace(str(path), Path(path).name)) from error


def picture_of(asked: object) -> np.ndarray | None:
    """The picture that is chosen on the page, (H, W, 3) uint8; None until the tab has any.

    Raises:
        RequestError: what was sent is no such picture.
    """
    return None if asked is None else chosen(asked)


def offered(examples: Examples) -> dict:
    """The picker's message with which a tab opens: all examples, the first of them chosen."""
    return offer(examples.pictures, examples.labels, examples.source)


def connect(source: Source) -> None:
    """Add a picture that is uploaded to those to choose from, which chooses it."""

    def take(path: str) -> dict:
        with wiring.toasts():
            return offer(read(path)[None], ["Your picture"])

    source.upload.upload(take, source.upload, source.picker, **TOASTING)
