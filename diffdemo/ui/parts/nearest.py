"""Is it copying? The training pictures that a picture of the run on display is most like."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import gradio as gr
import numpy as np

from diffdemo import validate
from diffdemo.errors import DataError
from diffdemo.measure.classifier import KEY as CLASSIFIER
from diffdemo.measure.classifier import load_classifier
from diffdemo.measure.nearest import MEASURES, Neighbours, TrainingPictures, together
from diffdemo.records.tables import plain
from diffdemo.ui.components.block import block
from diffdemo.ui.components.viewer import pack
from diffdemo.ui.parts import wiring
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.zoo import ModelZoo

SHOWN = 5
# Beside the queue of runs, because the first search takes minutes; one at a time, so that it is never made twice.
QUEUE = {"concurrency_id": "neighbours", "concurrency_limit": 1}
NAMES = {"pixels": "Pixels", "features": "The classifier's features"}
EXPLANATION = """A model that copies shows it here: a picture's nearest training picture is then nearer than any real
picture's. The classifier's features see what is in a picture; pixels miss a copy that is shifted. The first search
takes minutes, in which every training picture is looked at, once and for all."""
NEEDED = "A model that copies would show it here, beside the training pictures that each picture is nearest to. "


class Search:
    """Looks for neighbours in one data folder; what it needs is read at the first question and kept.

    Args:
        zoo: whose folder may hold the classifier.
        data: data folder, which may not be there.
    """

    def __init__(self, zoo: ModelZoo, data: str | Path):
        self._data, self._classifier = data, zoo.folder / CLASSIFIER
        self._device = zoo[zoo.keys[0]].device.type

    @property
    def possible(self) -> list[str]:
        """What can be compared, the better first. Raises DataError where there are no training pictures."""
        self._by_pixels  # noqa: B018
        return [*(["features"] if self._classifier.is_dir() else []), "pixels"]

    def among(self, by: object) -> TrainingPictures:
        """The training pictures, to be compared by "pixels" or "features".

        Raises:
            RequestError: there is no such comparison. DataError: there is no data set.
            CheckpointError: there is no classifier, or a damaged one.
        """
        return self._by_features if validate.choice("comparison", by, list(MEASURES)) == "features" else self._by_pixels

    def judge(self, picture: np.ndarray) -> str:
        """What all comparisons together say of a picture (32, 32, 3) uint8."""
        said = {}
        for name in self.possible:
            training = self.among(name)
            said[name] = training.usual.says(training.nearest(picture, 1).distances[0])
        return together(said)

    @cached_property
    def _by_pixels(self) -> TrainingPictures:
        return TrainingPictures(self._data)

    @cached_property
    def _by_features(self) -> TrainingPictures:
        return TrainingPictures(self._data, load_classifier(self._classifier, self._device))


@dataclass
class Controls:
    """The components, in the order of the page."""

    by: gr.Radio
    look: gr.Button
    progress: gr.Markdown
    view: gr.HTML


def layout(search: Search) -> Controls | None:
    """An accordion, which says what it needs where there is no data set to search."""
    with gr.Accordion("Is it copying?", open=False):
        try:
            possible = search.possible
        except DataError as error:
            gr.Markdown(NEEDED + plain(str(error)))
            return None
        by = gr.Radio([(NAMES[name], name) for name in possible], value=possible[0], label="Compare")
        look = gr.Button("Find the nearest training pictures", size="sm")
        words = gr.Markdown(EXPLANATION, elem_classes="about queue-place absent")
        view = block("neighbours", "The nearest training pictures", "generate-neighbours")
    return Controls(by, look, words, view)


def message(run: str, place: int, pictures: np.ndarray, names: list[str], found: Neighbours, words: str) -> dict:
    """What the component shows: the pictures of a run, the one at `place` and its neighbours, and what that says."""
    return {
        "run": run,
        "place": place,
        "pictures": pack(pictures),
        "names": names,
        "nearest": pack(found.pictures),
        "neighbours": found.describe(),
        "size": list(found.picture.shape[:2]),
        "words": words,
    }


def connect(controls: Controls, run: gr.State, search: Search, recordings: Recordings) -> None:
    """Search for the first picture of the run on display at a click on the button, then for any that is clicked on."""

    def neighbours(name: str, by: str, place: object) -> Iterator[dict]:
        with wiring.toasts():
            lane = recordings.lanes(name)[0]
            pictures = lane.pictures
            place = validate.whole_number("the picture", place, 0, len(pictures) - 1)
            training = search.among(by)
            found = training.nearest(pictures[place], SHOWN)
            known = name, place, pictures, [f"seed {seed}" for seed in lane.seeds], found
            yield message(*known, f"{MEASURES[by]}. How near real pictures come is being measured …")
            details = f"{MEASURES[by]}. {training.usual.judge(found.distances[0])}"
            yield message(*known, f"{search.judge(pictures[place])} {details}")

    def first(name, by, progress=gr.Progress(track_tqdm=True)) -> Iterator[dict]:  # noqa: B008
        yield from neighbours(name, by, 0)

    def clicked(name, by, asked: dict, progress=gr.Progress(track_tqdm=True)) -> Iterator[dict]:  # noqa: B008
        yield from neighbours(name, by, asked["place"])

    searched = [run, controls.by]
    shown = {"show_progress_on": controls.progress, **QUEUE, **wiring.PRIVATE}
    controls.look.click(first, searched, controls.view, **shown)
    wiring.answer_newest(controls.view, "select", clicked, searched, controls.view, **shown)
    # Those of another run would be mistaken for those of the pictures above.
    run.change(lambda name: {"run": None, "now": name}, run, controls.view, show_progress="hidden", **wiring.AT_ONCE)
