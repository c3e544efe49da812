"""The page without a browser: runs as messages, the zoo of models, the named endpoints, and the command line."""

import base64
import itertools
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from benchmarks.support.browser import open_shelf
from diffdemo import RequestError
from diffdemo.errors import CheckpointError
from diffdemo.generator import Generator
from diffdemo.records.tables import plain
from diffdemo.ui.page import build
from diffdemo.ui.parts import sources, wiring
from diffdemo.ui.runs import stream as runs
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.stream import Stops, stream, whole
from diffdemo.ui.runs.zoo import ModelZoo, about
from diffdemo.ui.tabs import generate


@pytest.fixture(scope="module")
def zoo(tiny_checkpoints) -> ModelZoo:
    return open_shelf(tiny_checkpoints)


def lane(zoo: ModelZoo, steps: int = 5, seeds=(1, 2), model: str = "simple_unet", **changes) -> SamplingRun:
    settings = {"class_name": "cat", "sampler": "ddim", "guidance": 1, **changes}
    return generate.start(zoo, Settings(model, steps=steps, seed=seeds[0], count=len(seeds), **settings))


def shown_pixels(packed: str, count: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), np.uint8).reshape(count, 32, 32, 3)


def test_the_last_frame_holds_the_finished_pictures(zoo):
    frames = whole(stream([lane(zoo)]))["frames"]
    expected = zoo["simple_unet"].sample("cat", steps=5, seeds=[1, 2], sampler="ddim", guidance_scale=1)
    assert list(frames) == ["0", "1", "2", "3", "4"]
    assert np.array_equal(shown_pixels(frames["4"][0]["x0"], 2), expected)


def test_messages_come_at_most_twenty_times_a_second_and_lose_no_frame(zoo, monkeypatch):
    clock = itertools.count(0, 0.002)  # every look at the clock takes 2 ms
    monkeypatch.setattr(runs, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    messages = list(stream([lane(zoo, steps=60)]))
    times = [max(frame[0]["seconds"] for frame in message["frames"].values()) for message in messages]
    assert list(messages[0]["frames"]) == ["0"]
    assert "59" in messages[-1]["frames"]
    assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise(times[:-1]))
    assert len(messages) < 20
    for earlier, dropped, later in zip(messages, messages[1:], messages[2:], strict=False):
        assert set(dropped["frames"]) <= set(earlier["frames"]) | set(later["frames"])
    assert len(set().union(*(message["frames"] for message in messages))) == 60


def test_a_long_run_is_thinned_but_keeps_its_first_and_last_frame(zoo):
    frames = whole(stream([lane(zoo, steps=252, seeds=[1])]))["frames"]
    assert [int(index) for index in frames] == [*range(0, 252, 3), 251]


def test_lanes_of_different_lengths_end_each_at_its_own_step(zoo):
    frames = whole(stream([lane(zoo, steps=3), lane(zoo, steps=5, model="attention_unet")]))["frames"]
    assert [frame[0] and frame[0]["step"] for frame in frames.values()] == [1, 2, 3, None, None]
    assert [frame[1]["step"] for frame in frames.values()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("guidance", "class_name", "factor"), [(1, "cat", 1), (3, "cat", 2), (3, "any", 1)])
def test_guidance_counts_as_two_evaluations(zoo, guidance, class_name, factor):
    running = lane(zoo, steps=4, sampler="heun", guidance=guidance, class_name=class_name)
    frames = whole(stream([running]))["frames"]
    assert frames["3"][0]["nfe"] == 7 * factor == running.report()["network_evaluations"]


def test_a_run_that_is_halted_takes_no_further_step(zoo):
    running = lane(zoo, steps=50)
    halted = iter([False, False, True, True])
    *_, last = stream([running], lambda: next(halted))
    assert last["state"] == "stopped"
    assert running.last.index == 2
    assert "2" in last["frames"]


def test_closing_a_stream_closes_the_run(zoo):
    running = lane(zoo, steps=50)
    messages = stream([running])
    next(messages)
    messages.close()
    assert next(running.steps, None) is None
    assert running.last.index == 0


def test_a_run_ends_at_its_deadline(zoo):
    *_, last = stream([lane(zoo, steps=50)], seconds=0)
    assert last["state"] == "late"
    assert list(last["frames"]) == ["0"]


def test_only_a_space_has_a_deadline(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert wiring.time_limit() is None
    monkeypatch.setenv("SPACE_ID", "someone/diffdemo")
    assert wiring.time_limit() == wiring.SECONDS_ON_A_SPACE


def test_stop_ends_the_visitors_own_run_only():
    stops = Stops()
    with stops.listening("a", 1) as a, stops.listening("b", 1) as b:
        stops.stop("a", 1)
        assert a() and not b()
    with stops.listening("a", 2) as a:
        assert not a()


def test_stop_ends_what_an_earlier_click_has_not_begun_yet():
    stops = Stops()
    stops.stop("a", 3)
    for click, ended in ((2, True), (3, True), (4, False), (4, False)):
        with stops.listening("a", click) as halted:
            assert halted() == ended


def test_a_toast_shows_what_was_typed_as_text():
    with pytest.raises(gr.Error) as error, wiring.toasts():
        raise RequestError("seed must be a number, not '<b>'.")
    assert error.value.message == "seed must be a number, not '&lt;b&gt;'."


def test_text_from_a_checkpoint_is_no_markdown():
    assert plain("[a](b) <i>_x_") == r"\[a\]\(b\) \<i\>\_x\_"


def unconditional(model: Generator) -> Generator:
    """The same network as a model without classes."""
    info = replace(model.info, classes=(), model={**model.info.model, "num_classes": 0})
    return Generator(info.build_network(), info, "cpu")


def test_an_unconditional_model_offers_no_class_and_refuses_one(zoo):
    mixed = ModelZoo({"simple_unet": unconditional(zoo["simple_unet"]), "attention_unet": zoo["attention_unet"]}, {})
    assert mixed.classes("simple_unet", "attention_unet") == ["any"]
    assert len(mixed.classes("attention_unet")) == 11
    with pytest.raises(RequestError, match="simple_unet is unconditional and takes no class"):
        generate.start(mixed, Settings("simple_unet", "cat", 3, "ddim", 1, "0", 1))
    with pytest.raises(RequestError, match="takes no guidance but 1"):
        generate.start(mixed, Settings("simple_unet", "any", 3, "ddim", 2, "0", 1))
    assert Settings.of(mixed, "simple_unet").class_name == "any"
    assert Settings.of(mixed, "simple_unet").guidance == 1
    build(mixed)
    first = whole(stream([generate.start(mixed, Settings("simple_unet", "any", 3, "ddim", 1, "0", 1))]))
    assert first["state"] == "done"


def test_the_first_run_is_the_same_on_every_start(zoo):
    first, second = (generate.first_run(zoo, Recordings())[0]["frames"] for _ in range(2))
    assert [frame[0]["x0"] for frame in first.values()] == [frame[0]["x0"] for frame in second.values()]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "is truncated or was changed"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda folder: (folder / "config.json").write_text('{"format": 1}'), "was edited or is damaged"),
        (shutil.rmtree, "There is no checkpoint of simple_unet"),
    ],
    ids=["weights", "json", "edited", "missing"],
)
def test_the_page_opens_without_a_damaged_checkpoint_and_says_why(tiny_checkpoints, tmp_path, damage, sentence):
    shutil.copytree(tiny_checkpoints, tmp_path / "checkpoints")
    damage(tmp_path / "checkpoints" / "simple_unet")
    zoo = open_shelf(tmp_path / "checkpoints")
    assert zoo.keys == ["attention_unet"]
    assert sentence in zoo.problems["simple_unet"]
    shown = json.dumps(build(zoo).get_config_file(), default=str)
    assert sentence.replace("_", r"\\_") in shown


def test_what_a_checkpoint_is(zoo):
    assert about(zoo["simple_unet"]) == (
        "Simple UNet: 71,228 parameters, trained on 1,234 images in 1.5 minutes on a test; "
        "predicts a mix of picture and noise (EDM)."
    )
    info = replace(zoo["simple_unet"].info, training={"minutes": "ages", "images_seen": 4_500_000})
    edited = Generator(zoo["simple_unet"].network, info, "cpu")
    assert "trained on 4,500,000 images;" in about(edited)
    before = {"images_seen": 1000, "hardware": "one machine", "minutes": 2}
    training = {"images_seen": 500, "hardware": "another", "minutes": 3, "started_from": before}
    resumed = Generator(zoo["simple_unet"].network, replace(info, training=training), "cpu")
    assert "trained on 1,500 images in 5 minutes on one machine, then another;" in about(resumed)


def test_a_shelf_without_models_does_not_open(tiny_checkpoints, tmp_path):
    shutil.copytree(tiny_checkpoints, tmp_path / "checkpoints")
    for weights in (tmp_path / "checkpoints").glob("*/model.safetensors"):
        weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        open_shelf(tmp_path / "checkpoints")


def test_a_first_view_is_computed_once_and_not_before_it_is_wanted():
    made, views = [], wiring.FirstViews()
    hidden, inner = (views.add(lambda name=name: made.append(name) or name) for name in ("hidden", "inner"))
    outer = views.add(lambda: f"outer of {inner()}")
    assert made == []
    assert outer() == "outer of inner"
    views.finish_all()
    assert made == ["inner", "hidden"]
    assert (hidden(), inner(), outer()) == ("hidden", "inner", "outer of inner")
    assert made == ["inner", "hidden"]


def test_a_page_that_begins_its_first_views_begins_no_other_pages():
    made, one, other = [], wiring.FirstViews(), wiring.FirstViews()
    one.add(lambda: made.append("one"))
    other.add(lambda: made.append("other"))
    one.finish_all()
    assert made == ["one"]


def test_a_first_view_that_fails_says_why_to_everyone_who_asks():
    views = wiring.FirstViews()
    failing = views.add(lambda: sources.read(None), at_once=True)
    views.finish_all()
    for _ in range(2):
        with pytest.raises(gr.Error, match="picture"):
            failing()


def test_what_the_browser_gets_of_a_component_is_data_alone(zoo):
    """A word in quotes in a component's script that Gradio knows as a setting would be taken for an event of that name,
    which holds on to the whole page: each visit then copies that, for seconds.
    """
    components = build(zoo).get_config_file()["components"]
    sent = [c for c in components if c["type"] != "state"]  # whose delete_callback stays with the server
    assert not [(c["type"], name) for c in sent for name, value in c["props"].items() if callable(value)]
