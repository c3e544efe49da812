"""Which device to compute on, and in which precision."""

import functools
import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from diffdemo.errors import RequestError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
# bf16 rounds more, so it must take clearly less time. And equal commands are to end in equal bits, so this lies where
# no CPU does: AVX-512 has bf16 at twice the rate of fp32, and converting comes on top (0.39 to 0.62 of fp32's time were
# measured on one machine, 1.7 to 2.1 on another); AMX has it at eight times the rate (0.20 to 0.31). Without either it
# is 10.
WORTH_IT = 0.35
SLOW = 1.6  # times as long as the best precision, which is worth a sentence
CALLS_BEFORE_RECORDING = 3
MOST_VERSIONS = 256  # that one function is compiled in


def choose_device(name: str = "auto") -> torch.device:
    """The torch device of that name; "auto" is CUDA where there is one, else Apple's MPS, else the CPU.

    Raises:
        RequestError: the device is unknown or not on this machine.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    kind = name.split(":")[0]
    if kind not in available:
        raise RequestError(f"There is no device {name!r}; choose one of: {', '.join(DEVICES)}.")
    if not available[kind]:
        raise RequestError(f"This machine has no {kind} device that PyTorch can use; choose auto or cpu.")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(f"There is no device {name!r}; choose one of: {', '.join(DEVICES)}.") from error
    if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RequestError(f"There is no device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices.")
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """ "auto" is bf16 where the hardware is fast at it, on a CPU by `relative_time`, fp16 on older GPUs, else fp32."""
    if name not in PRECISIONS:
        raise RequestError(f"There is no precision {name!r}; choose one of: {', '.join(PRECISIONS)}.")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    fast = device.type == "cpu" and relative_time("bf16") < WORTH_IT
    return "bf16" if fast else "fp32"


@functools.cache
def relative_time(precision: str) -> float:
    """How long a core of this CPU takes for layers of these networks in a precision, if fp32 takes 1.

    It is measured, in half a second, because the name of an instruction set does not say it: there are CPUs with bf16
    that are faster in fp32. One thread's own time is what others on a busy machine do not add to. The layers are as
    large as many pictures at once make them, for which precision matters most; calls of smaller ones are overhead.
    """
    x, weight = torch.ones(8, 96, 32, 32), torch.ones(96, 96, 3, 3)
    x, weight = (tensor.to(memory_format=torch.channels_last) for tensor in (x, weight))
    best = {"fp32": float("inf"), precision: float("inf")}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(4):
            for name in best:
                began = time.thread_time()
                with autocast(x.device, name), torch.inference_mode():
                    h = x
                    for _ in range(4):
                        h = F.conv2d(F.silu(F.group_norm(h, 32)), weight, padding=1)
                best[name] = min(best[name], time.thread_time() - began)
    finally:
        torch.set_num_threads(threads)
    return best[precision] / max(best["fp32"], 1e-6)


def warn_if_slow(precision: str, device: torch.device) -> None:
    """One sentence on stderr if a precision that somebody named is the slow one on this CPU; "auto" never is."""
    if device.type != "cpu" or precision not in PRECISIONS[1:]:
        return
    best = choose_precision("auto", device)
    factor = relative_time(precision) / relative_time(best)
    if factor > SLOW:
        slow = f"{precision} takes {factor:.2g} times as long as {best} on this machine"
        print(f"Note: {slow}; --precision auto is {best} here.", file=sys.stderr)


def use_own_cores() -> None:
    """On a hosted Space, compute on as many threads as it has cores; PyTorch counts those of the whole machine."""
    cores = os.environ.get("CPU_CORES", "")
    if os.environ.get("SPACE_ID") and cores.isdigit() and int(cores):
        torch.set_num_threads(int(cores))


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Evaluate networks in bf16 or fp16 where that is safe; with fp32 nothing changes."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


def compile_network(network: nn.Module, device: torch.device, recorded: bool = False, **options: object) -> nn.Module:
    """`torch.compile` of a network, whose launches a GPU replays if they are to be `recorded`.

    Raises:
        RequestError: a CPU is to run it and there is no compiler for C++.
    """
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    compiler = os.environ.get("CXX", usual)
    if device.type == "cpu" and not shutil.which(compiler):
        raise RequestError(f"--compile needs a C++ compiler, and there is no {compiler}; install it, or leave it out.")
    # One code serves all networks of an architecture, each size of a batch is a version of it, and whatever comes after
    # the limit, eight versions by itself, would be computed as it is, slowly and after a lot of complaints.
    torch._dynamo.config.recompile_limit = MOST_VERSIONS
    if device.type == "cpu":  # of a machine that has CUDA's files and no GPU, the compiler says so, whoever compiles
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    if device.type == "cuda":  # or a sixth of the time goes into copies between NCHW and NHWC in backward passes
        options["options"] = {"force_layout_optimization": True} | ({"triton.cudagraphs": True} if recorded else {})
    return torch.compile(network, **options)


class Recorded:
    """A computation on a GPU that is recorded once, as a CUDA graph, and replayed from then on.

    Replaying is one launch, where the computation may be thousands, each of which costs a CPU more than some cost the
    GPU. The first calls compute as if there were no graph: they compile, choose kernels and allocate.

    Args:
        compute: takes and returns nothing, works on tensors that stay where they are, and looks at no number.
        randoms: what it draws from besides PyTorch's default generator; whoever calls may seed all before each call.
    """

    def __init__(self, compute: Callable[[], None], randoms: Sequence[torch.Generator]):
        self._compute, self._randoms, self._calls, self._graph = compute, randoms, 0, None
        self._stream = torch.cuda.Stream(randoms[0].device)

    def __call__(self) -> None:
        """Compute once."""
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        with torch.cuda.stream(self._stream):
            if self._calls < CALLS_BEFORE_RECORDING:
                self._compute()
            else:
                self._graph = self._graph or self._record()
                self._graph.replay()
        outside.wait_stream(self._stream)
        self._calls += 1

    def _record(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        for random in self._randoms:
            graph.register_generator_state(random)
        with torch.cuda.graph(graph, stream=self._stream):
            self._compute()
        return graph


def hardware_name(device: torch.device) -> str:
    """The device in words, such as "NVIDIA H200" or "AMD EPYC (1 CPU thread)"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    name = next(
        (value for key, value in _cpu_info() if key == "model name"), platform.processor() or platform.machine()
    )
    return (
        f"{name}, {threads} CPU thread{'s' if threads > 1 else ''}"
        if device.type == "cpu"
        else f"{name}, {device.type}"
    )


def peak_memory(device: torch.device) -> int:
    """Most memory in use at any moment so far, in MiB: of the GPU on CUDA, else of this whole process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / (2**20 if sys.platform == "darwin" else 2**10))  # macOS counts bytes


def _cpu_info() -> list[tuple[str, str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
