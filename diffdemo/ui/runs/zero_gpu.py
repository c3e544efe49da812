"""Denoising on ZeroGPU: a GPU that a Hugging Face Space is lent for the seconds of a run, in a process of its own.

There the page's models stay on the CPU, for everything that is quick, and copies of them lie on the GPU, which only the
function that the package `spaces` decorates can reach. It runs in a forked child; arguments and what it yields are
pickled. So it takes and yields plain values, and whatever keeps state stays here. Elsewhere nothing of this is in use.
"""

import copy
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from diffdemo.errors import RequestError
from diffdemo.generator import Generator
from diffdemo.loading import generator_for
from diffdemo.process.samplers import Step
from diffdemo.request import SamplingRequest

ON = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true") and find_spec("spaces") is not None
# A request's price, in seconds: a process that finds the GPU, and what an evaluation takes there, mostly waiting.
TO_BEGIN, EVALUATION, IMAGE = 5, 0.02, 0.002
LEAST, MOST = 6, 60

Run = tuple[str, SamplingRequest, tuple[np.ndarray, int] | None]  # a model's key, what it is to draw, where to start
_copies: dict[str, Generator] = {}
_here: ContextVar[bool] = ContextVar("here", default=False)
_loan: ContextVar["Loan | None"] = ContextVar("loan", default=None)


def _lent(**how) -> Callable[[Callable], Callable]:
    return import_module("spaces").GPU(**how) if ON else lambda function: function


def seconds(runs: Sequence[Run]) -> int:
    """How long a GPU is asked for: an estimate that errs on the long side, because a run is cut off after it."""
    evaluations = [
        (asked.steps * (1 + (asked.sampler == "heun")) * (1 + asked.guided), len(asked.seeds)) for _, asked, _ in runs
    ]
    estimate = TO_BEGIN + sum(count * (EVALUATION + IMAGE * images) for count, images in evaluations)
    return min(max(round(estimate), LEAST), MOST)


@_lent(duration=seconds)
def steps(runs: Sequence[Run]) -> Iterator[tuple[int, tuple]]:
    """Denoise in lockstep; yields (place of the run, the fields of its `Step` with NumPy arrays for tensors)."""
    going = {
        place: _copies[key].run(asked, start and (torch.from_numpy(start[0]), start[1]))
        for place, (key, asked, start) in enumerate(runs)
    }
    while going:
        for place, run in list(going.items()):
            step = next(run, None)
            if step is None:
                del going[place]
            else:
                states = (state.float().cpu().numpy() for state in (step.x_t, step.x0, step.x_prev))
                yield place, (step.index, step.t, *states, step.snr, step.nfe, step.guide_nfe)


def lend(models: Sequence[Generator]) -> None:
    """Put a copy of each model on the GPU, before the page is launched and on the main thread, if there is ZeroGPU."""
    for model in models if ON else ():
        _copies[model.key] = _copied(model)


def _copied(model: Generator) -> Generator:
    network = generator_for(copy.deepcopy(model.network), model.info, "auto", model.precision)
    network.guide = model.guide and _copied(model.guide)
    return network


def is_lent(model: Generator) -> bool:
    """Whether runs of this model that begin now are computed on a GPU that is lent."""
    return model.key in _copies and not _here.get()


@contextmanager
def here() -> Iterator[None]:
    """Runs that begin inside are nobody's, who would have to pay for a GPU, and are computed in this process."""
    before = _here.set(True)
    try:
        yield
    finally:
        _here.reset(before)


@contextmanager
def one_loan() -> Iterator[None]:
    """Runs that begin inside go on in lockstep, and share one GPU."""
    before = _loan.set(Loan())
    try:
        yield
    finally:
        _loan.reset(before)


def run(model: Generator, asked: SamplingRequest, start: tuple[Tensor, int] | None = None) -> Iterator[Step]:
    """`model.run(asked, start)`, on a GPU that is lent if one is.

    Raises:
        RequestError: with the first step, if none is lent, above all because a visitor's quota is used up.
    """
    if not is_lent(model):
        return model.run(asked, start)
    return (_loan.get() or Loan()).add((model.key, asked, start and (start[0].numpy(), start[1])))


class Loan:
    """One call of `steps`, which begins as the first step of any of its runs is asked for and ends with all of them."""

    def __init__(self):
        self._runs: list[Run] = []
        self._come: list[deque[Step]] = []  # steps of each run that nobody has taken yet
        self._missing = 0
        self._going: Iterator | None = None

    def add(self, run: Run) -> Iterator[Step]:
        """The steps of one more run; closing it before its last one ends all of them."""
        self._runs.append(run)
        self._come.append(deque())
        self._missing += run[1].steps
        return self._steps(len(self._runs) - 1, run[1].steps)

    def _steps(self, place: int, count: int) -> Iterator[Step]:
        for left in reversed(range(count)):
            while not self._come[place]:
                self._take()
            try:
                yield self._come[place].popleft()
            except GeneratorExit:
                if left and self._missing:
                    self._going.close()
                raise

    def _take(self) -> None:
        self._going = self._going or steps(self._runs)
        try:
            place, (index, t, *states, snr, nfe, guide_nfe) = next(self._going)
            self._missing -= 1
            if not self._missing:
                next(self._going, None)  # whoever ends by itself gives the GPU back
        except gr.Error as error:
            raise RequestError(_sentence(error)) from error
        self._come[place].append(Step(index, t, *map(torch.from_numpy, states), snr, nfe, guide_nfe))


def _sentence(error: gr.Error) -> str:
    said = " ".join(re.sub("<[^>]*>", "", str(error.message)).split()).rstrip(".")
    return f"Hugging Face lent no GPU for all of this run: {said}. Fewer steps or images need less of it."
