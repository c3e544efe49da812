"""Networks that are compiled while the page is served, and used by later runs where they were measured faster."""

import atexit
import os
import statistics
import sys
import threading
import time
from weakref import WeakKeyDictionary

from diffdemo.errors import reason
from diffdemo.generator import Generator
from diffdemo.loading import generator_for
from diffdemo.process.guidance import EVERYWHERE, NO_CLASS, WEAK_MODEL
from diffdemo.ui.runs.settings import FIRST_COUNT
from diffdemo.ui.runs.zoo import ModelZoo, title

COUNTS = (FIRST_COUNT, 1)  # of images in a run; what is asked for most, each size compiled by itself
ROUNDS, STEPS = 5, 2
LEAST_GAIN = 1.1  # less is no reason to change how pictures are rounded

_faster: WeakKeyDictionary[Generator, dict[int, Generator]] = WeakKeyDictionary()


def faster(model: Generator, count: int) -> Generator | None:
    """The same model, compiled, if it is known to be faster for so many images at once."""
    return _faster.get(model, {}).get(count)


def compile_beside(zoo: ModelZoo) -> threading.Thread:
    """Begin to compile every model of the page, one after the other; the thread ends with the process at the latest.

    On a CPU alone: what a GPU replays is the thread's that recorded it, and runs have threads of their own.
    """
    thread = threading.Thread(target=_compile_all, args=(zoo,), name="compiling", daemon=True)
    thread.start()
    return thread


def _compile_all(zoo: ModelZoo) -> None:
    models = [zoo[key] for key in zoo.keys]
    if models[0].device.type != "cpu":
        print("The page compiles networks for a CPU alone; it goes on without.", file=sys.stderr)
        return
    for model in (each for each in models if each.info.has_denoiser):
        try:
            said = ", ".join(
                f"{gain:.2f} times as fast with {count} at once" for count, gain in consider(model).items()
            )
        except Exception as error:  # whatever a compiler may raise, the page goes on as it was
            print(f"{title(model)} is not compiled ({reason(error)}); the page goes on without.", file=sys.stderr)
            return
        print(f"{title(model)}, compiled: {said}; from {LEAST_GAIN} on it is used.", file=sys.stderr, flush=True)


def leave(compiling: threading.Thread | None) -> None:
    """At the end of the program: go at once if the thread is still at work, under which Python cannot end in peace."""
    if compiling and compiling.is_alive():
        atexit._run_exitfuncs()  # which remove what was written
        sys.stdout.flush()
        os._exit(0)


def consider(model: Generator) -> dict[int, float]:
    """Compile a model, and let it be used with each of `COUNTS` for which it is clearly faster.

    Returns how many times as fast it is, by the number of images.
    """
    compiled = compiled_twin(model)
    gains = {}
    for count in COUNTS:
        for each in (model, compiled):
            _seconds(each, count)  # compiles, and chooses kernels
        rounds = [[_seconds(each, count) for each in (model, compiled)] for _ in range(ROUNDS)]
        gains[count] = statistics.median(usual / own for usual, own in rounds)
        if gains[count] >= LEAST_GAIN:
            _faster[model] = _faster.get(model, {}) | {count: compiled}
    return gains


def compiled_twin(model: Generator) -> Generator:
    """The same model on the same weights, compiled as `diffdemo.load` would, so that it draws the same pictures."""
    twin = generator_for(model.network, model.info, model.device, model.precision, compile=True)
    twin.guide = model.guide and compiled_twin(model.guide)
    return twin


def _seconds(model: Generator, count: int) -> float:
    """What short runs of so many images take that evaluate each network in each way that a visitor may ask for."""
    ways = [{"guidance_scale": 1}]
    guides = [NO_CLASS] * bool(model.classes) + [WEAK_MODEL] * (model.guide is not None)
    ways += [{"guidance_scale": 2, "guidance_interval": EVERYWHERE, "guide": guide} for guide in guides]
    began = time.perf_counter()
    for way in ways:
        model.sample(next(iter(model.classes), None), seeds=range(count), steps=STEPS, **way)
    return time.perf_counter() - began
