"""Which device to compute on, and in which precision."""

import os
import platform
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import nn

from diffdemo.errors import RequestError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


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
    """ "auto" is bf16 where the hardware multiplies it natively, fp16 on older GPUs, else fp32."""
    if name not in PRECISIONS:
        raise RequestError(f"There is no precision {name!r}; choose one of: {', '.join(PRECISIONS)}.")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512" and _cpu_has("avx512_bf16"):
        return "bf16"
    return "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Evaluate networks in bf16 or fp16 where that is safe; with fp32 nothing changes."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


def compile_network(network: nn.Module, device: torch.device, **options: object) -> nn.Module:
    """`torch.compile` of a network; RequestError where a CPU is to run it and there is no compiler for C++."""
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    compiler = os.environ.get("CXX", usual)
    if device.type == "cpu" and not shutil.which(compiler):
        raise RequestError(f"--compile needs a C++ compiler, and there is no {compiler}; install it, or leave it out.")
    return torch.compile(network, **options)


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


def _cpu_has(flag: str) -> bool:
    return any(key == "flags" and flag in value.split() for key, value in _cpu_info())


def _cpu_info() -> list[tuple[str, str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
