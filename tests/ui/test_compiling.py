"""Networks that are compiled beside the page: used where they are faster, by runs that begin later, with their bits."""

import shlex
import time
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.support.browser import open_shelf
from diffdemo.__main__ import main
from diffdemo.device import compile_network
from diffdemo.errors import RequestError
from diffdemo.ui.runs import compiling, reproduce
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.settings import FIRST_COUNT, Settings
from diffdemo.ui.runs.stream import stream
from diffdemo.ui.tabs.generate import start

WAIT = 0.05  # seconds that make one of the two plainly the slower


class Compiled(nn.Module):
    """A stand-in whose numbers are its own, as those of a compiled network are, and that counts what it computes."""

    def __init__(self, network: nn.Module, wait: float):
        super().__init__()
        self.network, self.wait, self.sizes = network, wait, []

    def forward(self, x, *rest):
        self.sizes.append(len(x))
        time.sleep(self.wait)
        return self.network.forward(x, *rest) * 0.9  # not __call__, which a hook below makes slow


@pytest.fixture
def compiled(monkeypatch) -> Callable[[float], list[Compiled]]:
    """Put a stand-in for compiling in place, whose networks wait so long at each evaluation; gives them."""

    def install(wait: float) -> list[Compiled]:
        made: list[Compiled] = []

        def compile_network(network: nn.Module, *_, **__) -> Compiled:
            made.append(Compiled(network, wait))
            return made[-1]

        monkeypatch.setattr("diffdemo.generator.compile_network", compile_network)
        return made

    return install


@pytest.fixture
def shelf(tiny_checkpoints):
    """Models of this test's own, that are slow."""
    zoo = open_shelf(tiny_checkpoints)
    for key in zoo.keys:
        zoo[key].network.register_forward_pre_hook(lambda *_: time.sleep(WAIT))
    return zoo


def settings(count: int = FIRST_COUNT, steps: int = 2, guidance: float = 2) -> Settings:
    return Settings("attention_unet", "cat", steps, "ddim", guidance, "3", count)


def test_what_is_faster_is_used_by_runs_of_the_sizes_it_was_measured_with(shelf, compiled):
    made = compiled(0)
    gains = compiling.consider(shelf["attention_unet"])
    assert set(gains) == {FIRST_COUNT, 1}
    assert min(gains.values()) > compiling.LEAST_GAIN
    # Every size that a run may need is compiled by now, with guidance and without.
    assert set(made[0].sizes) == {1, 2, FIRST_COUNT, 2 * FIRST_COUNT}
    for count, used in ((FIRST_COUNT, True), (1, True), (2, False)):
        made[0].sizes.clear()
        lane = start(shelf, settings(count))
        list(stream([lane]))
        assert (bool(made[0].sizes), lane.compiled) == (used, used)
    assert not start(shelf, Settings("simple_unet", "cat", 2, "ddim", 2, "3", 1)).compiled


def test_what_is_slower_is_not_used(shelf, compiled):
    compiled(3 * WAIT)
    assert max(compiling.consider(shelf["attention_unet"]).values()) < compiling.LEAST_GAIN
    assert not start(shelf, settings()).compiled


def test_a_run_does_not_change_over_in_the_middle(shelf, compiled):
    compiled(0)
    usual = shelf["attention_unet"].sample("cat", steps=4, sampler="ddim", guidance_scale=2, seeds=range(3, 7))
    lane = start(shelf, settings(4, steps=4))
    moments = stream([lane])
    list(islice(moments, 2))
    compiling.consider(shelf["attention_unet"])
    list(moments)
    assert np.array_equal(lane.pictures, usual)


def test_command_and_python_give_the_pictures_of_a_compiled_run(shelf, compiled, tmp_path, monkeypatch):
    compiled(0)
    compiling.consider(shelf["attention_unet"])
    lane, recordings = start(shelf, settings()), Recordings()
    list(stream([lane]))
    usual = shelf["attention_unet"].sample("cat", steps=2, sampler="ddim", guidance_scale=2, seeds=lane.seeds)
    assert not np.array_equal(lane.pictures, usual)
    recordings.keep("1", [lane])
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(reproduce.command(lane, shelf.folder))[3:]) == 0
    saved = recordings.file("1", "png")
    assert (tmp_path / saved.name).read_bytes() == saved.read_bytes()
    names: dict = {}
    exec(reproduce.python(lane, shelf.folder), names)
    assert np.array_equal(names["images"], lane.pictures)


def test_a_weaker_guide_is_compiled_with_it(compiled, shelf):
    model, weak = shelf["attention_unet"], open_shelf(shelf.folder)["simple_unet"]
    made = compiled(0)
    model.guide = weak
    twin = compiling.compiled_twin(model)
    assert [each.network for each in made] == [model.network, weak.network]
    assert twin.guide.compiled and twin.guide is not weak


def test_all_networks_of_an_architecture_are_compiled_in_all_sizes(monkeypatch, all_checkpoints):
    monkeypatch.setenv("CXX", "python3")  # there is one; nothing here is compiled so far
    versions = []

    def note(graph, inputs):
        versions.append(len(inputs))
        return graph.forward

    zoo = open_shelf(all_checkpoints)
    networks = [zoo[key].network for key in ("simple_unet", "attention_unet", "ddpm_unet")]
    sizes = (1, 2, 4)
    with torch.inference_mode():
        for network in networks:
            compiled = compile_network(network, torch.device("cpu"), dynamic=False, backend=note)
            for size in sizes:
                steps = torch.zeros(size, dtype=torch.long)
                labels = [steps] if network.config.num_classes else []
                compiled(torch.zeros(size, 3, 32, 32), steps, *labels)
    assert len(versions) == len(networks) * len(sizes)


@pytest.mark.parametrize("problem", [RequestError("There is no g++."), RuntimeError("CppCompileError:\nno space left")])
def test_a_page_that_cannot_compile_goes_on_and_says_so_in_one_line_a_model(shelf, monkeypatch, capsys, problem):
    def refuse(*_, **__) -> None:
        raise problem

    monkeypatch.setattr("diffdemo.generator.compile_network", refuse)
    compiling.compile_beside(shelf).join(timeout=60)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert str(problem).split()[0] in said[0] and "the page goes on without" in said[0]
    lane = start(shelf, settings())
    list(stream([lane]))
    assert not lane.compiled and lane.finished


def test_what_was_measured_is_said(shelf, compiled, capsys):
    compiled(0)
    compiling.compile_beside(shelf).join(timeout=120)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(shelf.keys)
    assert all(f"times as fast with {FIRST_COUNT} at once" in line for line in said)
