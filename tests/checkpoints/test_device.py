"""Choosing a device, also on machines that have what this one does not."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from sentences import refused

from diffdemo.device import (
    Recorded,
    choose_device,
    choose_precision,
    compile_network,
    hardware_name,
    relative_time,
    warn_if_slow,
)
from diffdemo.errors import RequestError


@pytest.fixture
def machine(monkeypatch):
    def pretend(cuda: int = 0, mps: bool = False, bf16: bool = True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")])
def test_auto_takes_the_fastest_there_is(machine, cuda, mps, chosen):
    machine(cuda, mps)
    assert choose_device("auto").type == chosen


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cuda:7", "There is no device 'cuda:7': this machine has 2 CUDA devices"),
        ("mps", "This machine has no mps device"),
        ("tpu", "There is no device 'tpu'; choose one of: auto, cpu, cuda, mps"),
        ("cpu:x", "There is no device 'cpu:x'"),
        ("", "There is no device ''"),
    ],
)
def test_a_device_that_is_not_there_is_a_sentence(machine, name, sentence):
    machine(cuda=2)
    with pytest.raises(RequestError, match=sentence):
        choose_device(name)
    assert choose_device("cuda:1") == torch.device("cuda:1")


def test_precision_follows_the_hardware(machine):
    machine(cuda=1, bf16=True)
    assert choose_precision("auto", torch.device("cuda")) == "bf16"
    machine(cuda=1, bf16=False)
    assert choose_precision("auto", torch.device("cuda")) == "fp16"
    assert choose_precision("auto", torch.device("mps")) == "fp32"
    assert choose_precision("fp16", torch.device("cpu")) == "fp16"
    with pytest.raises(RequestError, match="There is no precision 'int8'"):
        choose_precision("int8", torch.device("cpu"))


@pytest.mark.parametrize(
    ("bf16", "chosen", "slow"),
    [
        (0.25, "bf16", {"fp32": "4 times as long as bf16", "fp16": "8 times as long as bf16"}),
        (0.9, "fp32", {"fp16": "2 times as long as fp32"}),
        (10, "fp32", {"bf16": "10 times as long as fp32", "fp16": "2 times as long as fp32"}),
    ],
)
def test_on_a_cpu_precision_follows_what_was_measured_and_the_slow_one_is_named(
    monkeypatch, capsys, bf16, chosen, slow
):
    cpu, times = torch.device("cpu"), {"fp32": 1.0, "bf16": bf16, "fp16": 2.0}
    monkeypatch.setattr("diffdemo.device.relative_time", times.__getitem__)
    assert choose_precision("auto", cpu) == chosen
    for precision in ("auto", "fp32", "bf16", "fp16"):
        warn_if_slow(precision, cpu)
        said = f"{precision} takes {slow[precision]} on this machine" if precision in slow else ""
        expected = f"Note: {said}; --precision auto is {chosen} here.\n" if said else ""
        assert capsys.readouterr().err == expected
    warn_if_slow("fp16", torch.device("cuda"))
    assert capsys.readouterr().err == ""


def test_measuring_leaves_threads_and_randomness_as_they_were():
    relative_time.cache_clear()
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    assert 0.01 < relative_time("bf16") < 1000
    assert relative_time("fp32") == 1
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


def test_hardware_name_says_how_many_threads():
    assert f"{torch.get_num_threads()} CPU thread" in hardware_name(torch.device("cpu"))


def test_a_computation_is_recorded_once_and_then_replayed(monkeypatch):
    """A stand-in for CUDA, whose graph computes when it is replayed and not while it is recorded."""
    happened, recording = [], []

    class Graph:
        def register_generator_state(self, random):
            happened.append(("generator", random))

        def replay(self):
            happened.append("replayed")

    @contextmanager
    def record(graph, stream):
        recording.append(graph)
        yield
        recording.clear()

    stream = SimpleNamespace(wait_stream=lambda other: None, device=None)
    for name, value in {"Stream": stream, "current_stream": stream}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    random = torch.Generator()
    compute = Recorded(lambda: happened.append("recorded" if recording else "computed"), [random])
    for _ in range(6):
        compute()
    assert happened == ["computed"] * 3 + [("generator", random), "recorded"] + ["replayed"] * 3


@pytest.mark.parametrize(("recorded", "graphs"), [(False, {}), (True, {"triton.cudagraphs": True})])
def test_on_a_gpu_inductor_keeps_the_layout_and_replays_what_is_to_be_recorded(monkeypatch, recorded, graphs):
    told, compile = [], torch.compile  # which is lazy, but refuses options that inductor does not have
    monkeypatch.setattr(torch, "compile", lambda network, **how: told.append(how) or compile(network, **how))
    compile_network(torch.nn.Linear(1, 1), torch.device("cuda"), recorded, dynamic=False)
    assert told == [{"dynamic": False, "options": {"force_layout_optimization": True} | graphs}]


def test_compiling_without_a_compiler_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with refused(RequestError, "--compile needs a C.. compiler"):
        compile_network(torch.nn.Linear(1, 1), torch.device("cpu"))
