"""What a visitor cannot do, whatever program it is that asks: requests are sent here as no page would send them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from benchmarks.support.browser import served
from benchmarks.support.visitor import Visitor
from diffdemo.measure import diffusion_classifier
from diffdemo.ui.options import Options
from diffdemo.ui.page import serve
from diffdemo.ui.parts import latent_views, limits
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.stream import MOST_REMEMBERED, Stops

STEP = 0.05  # seconds that a step takes where a test is about time
LONG = 100  # steps


@pytest.fixture(scope="module")
def client(address):
    return Client(address, verbose=False)


@pytest.fixture
def picture(tmp_path) -> str:
    Image.new("RGB", (32, 32), "red").save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


@pytest.fixture
def taken(monkeypatch) -> list[float]:
    """When steps of long runs, and draws, were taken, each of them slowly."""
    times = []

    def slowed(function):
        def slowly(of, *args):
            if getattr(of, "total", LONG) >= LONG:  # and not the page's first view
                times.append(time.perf_counter())
                time.sleep(STEP)
            return function(of, *args)

        return slowly

    monkeypatch.setattr(SamplingRun, "advance", slowed(SamplingRun.advance))
    monkeypatch.setattr(diffusion_classifier, "_errors", slowed(diffusion_classifier._errors))
    return times


def wait_for(told: Iterator[dict], *kinds: str) -> dict:
    return next(message for message in told if message["msg"] in kinds)


@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [
        ("generate", {"steps": 1001}),
        ("generate", {"n": 10**9}),
        ("compare", {"steps_c": 1001, "model_c": "simple_unet"}),
        ("compare", {"n": 9}),
        ("inside", {"steps": 1001}),
        ("inside", {"steps": 10, "step": 10}),
        ("classify", {"picture": True, "draws": 1001}),
        ("denoise_from", {"picture": True, "steps": 1001}),
        ("denoise_from", {"picture": True, "t": 1000}),
        ("forward", {"picture": True, "t": 1000}),
    ],
)
def test_no_endpoint_takes_more_than_the_page(client, picture, endpoint, asked):
    asked = {name: handle_file(picture) if name == "picture" else value for name, value in asked.items()}
    with pytest.raises(AppError, match="must be a whole number from"):
        client.predict(**asked, api_name=f"/{endpoint}")


def test_no_run_passes_the_queue_by(address):
    answer = httpx.post(f"{address}gradio_api/run/generate", json={"data": []})
    assert answer.status_code == 404 and "join the queue" in answer.text


def parts(count: int, size: int) -> Iterator[bytes]:
    """An upload of so many files, without its end, as a client sends it that announces no length."""
    for number in range(count):
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="%d.png"\r\n\r\n' % number
        yield from [bytes(2**20)] * (size // 2**20)
        yield b"\r\n"


def test_an_upload_is_30_MB_at_most_however_it_is_cut_and_leaves_nothing(address):
    def left() -> set[Path]:
        return {path for path in Path(get_upload_folder()).rglob("*") if path.is_file()}

    before, upload = left(), f"{address}gradio_api/upload"
    many = [("files", (f"{number}.png", bytes(2**20))) for number in range(40)]
    kind = {"content-type": "multipart/form-data; boundary=x"}
    for too_much in (
        {"files": {"files": ("a.png", bytes(limits.UPLOAD + 1))}},
        {"files": many},
        {"content": parts(1, 40 * 2**20), "headers": kind},
        {"content": parts(40, 2**20), "headers": kind},
    ):
        assert httpx.post(upload, **too_much, timeout=60).status_code == 413

    def broken_off() -> Iterator[bytes]:
        yield from parts(3, 2**20)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        httpx.post(upload, content=broken_off(), headers=kind)
    deadline = time.perf_counter() + 10
    while left() != before and time.perf_counter() < deadline:
        time.sleep(0.05)
    assert left() == before


def test_no_other_request_is_larger_than_a_megabyte(address):
    visitor = Visitor(address, "talks a lot")
    assert visitor.join("generate", class_name="x" * 2**20).status_code == 413
    assert visitor.join("generate", class_name="x" * 2**19).status_code == 200


def test_a_visitor_has_one_run_waiting_and_the_queue_has_an_end(zoo, taken):
    with served(zoo) as address:
        first, others = Visitor(address, "0"), [Visitor(address, f"{number}") for number in range(1, 3)]
        assert first.join("generate", steps=1000).status_code == 200
        with first.listening() as told:
            wait_for(told, "process_starts")
            for one in others:
                assert one.join("generate", steps=1).status_code == 200
                for again in ("generate", "compare", "generate-run"):
                    refused = one.join(again)
                    assert (refused.status_code, refused.json()["detail"]) == (400, limits.ALREADY_WAITING)
            assert first.join("generate", steps=1).status_code == 200  # one that goes on is no longer waiting
            call = f"{address}gradio_api/call/generate"
            nameless = [httpx.post(call, json={"data": ["simple_unet"] * 9}) for _ in "ab"]
            assert [answer.status_code for answer in nameless] == [200, 400]
            for number in range(4, limits.WAITING):
                others[0].session = f"one of a crowd, {number}"
                assert others[0].join("generate").status_code == 200
            others[0].session = "too late"
            assert others[0].join("generate").status_code == 503


@pytest.mark.parametrize("name", ["generate", "compare", "classify", "denoise_from", "generate-run", "compare-run"])
def test_whoever_leaves_frees_the_machine_within_a_step(zoo, taken, picture, name):
    with served(zoo) as address:
        visitor, next_one = Visitor(address, "leaves"), Client(address, verbose=False)
        asked = {"steps": 500, "steps_a": 500, "Steps": 500, "A: Steps": 500, "B: Steps": 500, "draws": 500}
        if name in ("classify", "denoise_from"):
            upload = httpx.post(f"{address}gradio_api/upload", files={"files": Path(picture).read_bytes()}).json()
            asked["picture"] = {"path": upload[0], "meta": {"_type": "gradio.FileData"}}
        assert visitor.join(name, **asked).status_code == 200
        with visitor.listening() as told:
            wait_for(told, "process_generating")
        left = time.perf_counter()
        while time.perf_counter() - taken[-1] < 1:
            time.sleep(0.1)
        # Those until the next report, with which Gradio ends it; a comparison takes two at a time.
        assert len([moment for moment in taken if moment > left]) <= 12
        next_one.predict("simple_unet", steps=1, api_name="/generate")


def test_seconds_are_limited_where_somebody_says_so(client, monkeypatch, picture, taken):
    monkeypatch.setenv("DIFFDEMO_MAX_SECONDS", "1")
    runs = {
        "generate": {"steps": 100},
        "inside": {"steps": 1000, "step": 999, "model": "ddpm_unet", "sampler": "heun"},
        "classify": {"draws": 100, "picture": handle_file(picture)},
    }
    for name, asked in runs.items():
        with pytest.raises(AppError, match=r"A run may take 1 seconds here; ask for (fewer|an earlier)"):
            client.predict(**asked, api_name=f"/{name}")
    monkeypatch.setenv("DIFFDEMO_MAX_SECONDS", "soon")
    with pytest.raises(SystemExit, match="DIFFDEMO_MAX_SECONDS must be a number from 1 to 86400, not 'soon'"):
        serve(Options())


def test_films_of_interpolations_are_not_piled_up(zoo, monkeypatch):
    monkeypatch.setattr(latent_views, "between", lambda *_: np.zeros((3, 8, 8, 3), np.uint8))
    films = latent_views.Films()
    written = [films.write(None, latent_views.MINE, latent_views.MINE) for _ in range(latent_views.KEPT + 2)]
    assert [path.exists() for path in written] == [False] * 2 + [True] * latent_views.KEPT


def test_old_files_and_empty_folders_are_removed(tmp_path):
    old, new, empty = tmp_path / "a" / "old.png", tmp_path / "b" / "new.png", tmp_path / "empty"
    for path in (old, new):
        path.parent.mkdir()
        path.write_bytes(b"")
    empty.mkdir()
    for path in (old, empty, new.parent):
        os.utime(path, (0, 0))
    limits.remove_older(tmp_path, 3600)
    assert {*tmp_path.rglob("*")} == {old.parent, new.parent, new}  # that it became empty is news


def test_clicks_of_visitors_who_have_left_are_forgotten():
    stops = Stops()
    for number in range(3 * MOST_REMEMBERED):
        stops.end_older(f"{number}/generate", 1)
    assert len(stops._newest) == MOST_REMEMBERED
    with stops.listening(f"{number}/generate", 0) as halted:
        assert halted()
