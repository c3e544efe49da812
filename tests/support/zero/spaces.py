"""A stand-in for the package `spaces` on ZeroGPU: decorated generators run in a forked child, and all is pickled.

As there, the child runs ahead of whoever takes what it yields, a task needs a visitor's request, and asks for seconds
that a quota may refuse. What was lent is noted as a line of JSON in the file ZERO_LOG. ZERO_PAUSE is how many seconds
the child rests after each result, without which tiny networks end before a busy browser shows that they began.
"""

import json
import multiprocessing
import os
import pickle
import time

import gradio as gr
from gradio.context import LocalContext

QUOTA = int(os.environ.get("ZERO_QUOTA", "60"))
PAUSE = float(os.environ.get("ZERO_PAUSE", "0"))
_fork = multiprocessing.get_context("fork")


def gradio_auto_wrap(function):
    """Gradio calls this of every event where there is a module of this name."""
    return function


def GPU(*, duration):
    """Decorate a generator function; `duration` estimates its seconds of the same arguments."""

    def decorate(task):
        def lent(*arguments):
            if LocalContext.request.get(None) is None:
                raise gr.Error("Space app has reached its GPU limit.", print_exception=False)
            seconds = duration(*arguments)
            if seconds > QUOTA:
                said = f"You have exceeded your <b>free</b> ZeroGPU quota ({seconds}s requested vs. {QUOTA}s left). "
                raise gr.Error(said, print_exception=False)
            results, stopped = _fork.SimpleQueue(), _fork.Event()
            child = _fork.Process(target=_work, args=(task, pickle.dumps(arguments), results, stopped), daemon=True)
            child.start()
            taken, ended = 0, False
            try:
                while (result := results.get()) is not None:
                    yield pickle.loads(result)
                    taken += 1
                ended = True
            finally:
                stopped.set()
                while not ended and results.get() is not None:
                    pass
                child.join()
                note = {"parent": os.getpid(), "child": child.pid, "seconds": seconds, "taken": taken, "ended": ended}
                with open(os.environ["ZERO_LOG"], "a") as log:
                    print(json.dumps(note), file=log)

        return lent

    return decorate


def _work(task, arguments, results, stopped) -> None:
    try:
        for result in task(*pickle.loads(arguments)):
            if stopped.is_set():
                break
            results.put(pickle.dumps(result))
            time.sleep(PAUSE)
    finally:
        results.put(None)
