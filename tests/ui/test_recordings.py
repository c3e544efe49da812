"""Runs that are kept: within a bound, and as files made of the frames that were shown."""

from collections.abc import Iterator
from itertools import islice

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from benchmarks.support.browser import open_shelf
from diffdemo import RequestError
from diffdemo.figures.film import Moment, film, save_film
from diffdemo.figures.raster import image_grid
from diffdemo.ui.runs import recordings as recordings_module
from diffdemo.ui.runs.recordings import KINDS, Recordings
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import Settings
from diffdemo.ui.runs.stream import stream
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs.generate import start


@pytest.fixture(scope="module")
def zoo(tiny_checkpoints) -> ModelZoo:
    return open_shelf(tiny_checkpoints)


def lane(zoo: ModelZoo, steps: int = 4, count: int = 2, class_name: str = "cat") -> SamplingRun:
    return start(zoo, Settings("simple_unet", class_name, steps, "ddim", 1, "5", count))


def finish(running: SamplingRun) -> SamplingRun:
    list(stream([running]))
    return running


def frames_of(path) -> Iterator[np.ndarray]:
    with Image.open(path) as film:
        for number in range(film.n_frames):
            film.seek(number)
            yield np.asarray(film.convert("RGB"))


def test_the_files_hold_the_frames_that_were_shown_and_no_new_run_is_made(zoo, monkeypatch, tmp_path):
    recordings, done = Recordings(), finish(lane(zoo))
    recordings.keep("1", [done])
    steps = list(zoo["simple_unet"].denoise("cat", steps=4, sampler="ddim", guidance_scale=1, seeds=[5, 6]))
    monkeypatch.setattr(zoo["simple_unet"].network, "forward", lambda *_: pytest.fail("a new run"))
    png, gif, mp4 = (recordings.file("1", kind) for kind in KINDS)
    assert [path.name for path in (png, gif, mp4)] == [f"simple_unet-cat-5-to-6.{kind}" for kind in KINDS]
    images = zoo["simple_unet"].images
    assert np.array_equal(np.asarray(Image.open(png)), image_grid(images(steps[-1].x_prev), scale=4))
    moments = [Moment(step.index + 1, images(step.x_t), images(step.x0)) for step in steps]
    moments.append(Moment(4, images(steps[-1].x_prev), images(steps[-1].x_prev)))
    expected = save_film(tmp_path / "expected.gif", moments, "Simple UNet, cat, seeds 5 to 6", 4)
    assert gif.read_bytes() == expected.read_bytes() and len(list(frames_of(gif))) == 5
    shown = imageio.mimread(mp4, memtest=False)
    frames = film(moments, "Simple UNet, cat, seeds 5 to 6", 4)
    assert len(shown) == 4 + 4  # a second of movement, and another of rest
    assert all(np.abs(a.astype(int) - b).mean() < 12 for a, b in zip(shown, frames[:4], strict=False))


def test_any_step_that_was_shown_can_be_saved_and_the_name_says_which(zoo):
    recordings, running = Recordings(), finish(lane(zoo, steps=12))
    recordings.keep("1", [running])
    steps = list(zoo["simple_unet"].denoise("cat", steps=12, sampler="ddim", guidance_scale=1, seeds=[5, 6]))
    files = [recordings.file("1", "png", step) for step in (1, 10, 12)]
    assert [path.stem for path in files] == [
        "simple_unet-cat-5-to-6-after-1-of-12-steps",
        "simple_unet-cat-5-to-6-after-10-of-12-steps",
        "simple_unet-cat-5-to-6",
    ]
    for path, state in zip(files, (steps[0].x0, steps[9].x0, steps[11].x_prev), strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), image_grid(zoo["simple_unet"].images(state), scale=4))
    assert recordings.file("1", "gif", 10).name == "simple_unet-cat-5-to-6.gif"  # the whole run
    with pytest.raises(RequestError, match="step must be a whole number from 1 to 12, not 13"):
        recordings.file("1", "png", 13)


def test_of_a_stopped_run_the_files_hold_what_was_shown(zoo):
    recordings, running = Recordings(), lane(zoo, steps=50, count=1)
    messages = stream([running])
    recordings.keep("1", [running])
    with pytest.raises(RequestError, match="This run has shown no picture yet; wait for its first step"):
        recordings.file("1", "png")
    list(islice(messages, 1))
    messages.close()
    png = recordings.file("1", "png")
    assert png.name == "simple_unet-cat-5-after-1-of-50-steps.png"
    assert np.array_equal(np.asarray(Image.open(png)), image_grid(running.film[0].x0, scale=4))
    assert len(list(frames_of(recordings.file("1", "gif")))) == 1


def test_a_file_of_a_stopped_run_is_named_after_the_last_step_that_was_shown(zoo):
    recordings, running = Recordings(), lane(zoo, steps=250, count=1)
    halted = iter([False] * 7 + [True] * 9)
    *_, last = stream([running], lambda: next(halted))
    recordings.keep("1", [running])
    assert (running.last.index, max(map(int, last["frames"]))) == (7, 6)  # every third step of so many is shown
    assert recordings.file("1", "png").name == "simple_unet-cat-5-after-7-of-250-steps.png"


def test_the_oldest_runs_are_forgotten_and_the_first_never_is(zoo):
    one = recordings_module._bytes([finish(lane(zoo))])
    assert one >= sum(frame.x_t.nbytes + frame.x0.nbytes for frame in finish(lane(zoo)).film) + 3 * 2 * 3 * 32**2 * 4
    recordings = Recordings(most_bytes=2 * one)
    recordings.keep("first", [finish(lane(zoo))], for_ever=True)
    recordings.keep("0", [finish(lane(zoo))])
    forgotten = recordings.file("0", "png")
    for number in range(1, 5):
        recordings.keep(str(number), [finish(lane(zoo))])
    assert not forgotten.exists()
    for name in ("first", "3", "4"):
        assert recordings.file(name, "png").exists()
    for name in ("0", "2", None):
        with pytest.raises(RequestError, match="The pictures of this run are no longer kept here; run it again"):
            recordings.file(name, "png")


def test_a_run_larger_than_the_bound_is_kept_while_it_is_the_newest(zoo):
    recordings = Recordings(most_bytes=1)
    for name in "12":
        recordings.keep(name, [finish(lane(zoo))])
    assert recordings.file("2", "png").exists()
    with pytest.raises(RequestError, match="no longer kept"):
        recordings.lanes("1")
