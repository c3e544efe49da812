"""Training killed again and again: python -m benchmarks.kills -n 200

One small run is made at a stretch. Then the same run is made over and over, in processes that are killed (SIGKILL) at a
moment drawn evenly from the length of the whole: while Python starts, while a checkpoint is written, while samples are
drawn. Each killed run is resumed, and killed again, until it ends before its moment comes; its weights, moving averages
and optimizer must then equal those of the run made at a stretch, to the last bit.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from safetensors.numpy import load_file

from diffdemo.data import make_toy_dataset
from diffdemo.records.files import STATE
from train.flags import run_app

TRAINING = [
    *("--model", "attention_unet", "--size", "small", "--channels", "8,8,8", "--time-embedding-dim", "16"),
    *("--num-heads", "2", "--batch-size", "8", "--warmup-images", "80", "--dropout", "0.1"),
    *("--images", "160", "--device", "cpu", "--precision", "fp32"),  # each new run would measure what "auto" is
]


class Killer:
    """Makes runs of one training in `folder`, killing each at random moments.

    Attributes:
        kills: by what the killed run had: nothing saved yet, or something to resume from.
        same, wrong: the runs that ended in the bits of the run made at a stretch, and what was wrong with others.
    """

    def __init__(self, folder: Path, count: int, seed: int):
        self.folder, self.count = folder, count
        self.data = make_toy_dataset(folder / "toy", per_class=16)
        self.kills: Counter[str] = Counter()
        self.same, self.wrong = 0, []
        self._chance, self._lock, self._begun = random.Random(seed), threading.Lock(), 0
        began = time.monotonic()
        self._finish(self._start(folder / "whole"), folder / "whole")
        self.seconds = time.monotonic() - began
        self.whole = load_file(folder / "whole" / STATE)

    def work(self) -> None:
        """Make and kill runs until there have been `count` kills in all, and end the run then begun in peace."""
        while (out := self._next_run()) is not None:
            try:
                self._make(out)
            except RuntimeError as problem:
                with self._lock:
                    self.wrong.append(str(problem))

    def _next_run(self) -> Path | None:
        with self._lock:
            self._begun += 1
            return self.folder / f"run-{self._begun}" if self.kills.total() < self.count else None

    def _make(self, out: Path) -> None:
        while True:
            process = self._start(out)
            with self._lock:
                moment = self._chance.uniform(0, self.seconds) if self.kills.total() < self.count else None
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                with self._lock:
                    self.kills["to be resumed" if (out / STATE).exists() else "nothing saved yet"] += 1
                continue
            self._finish(process, out)
            break
        state = load_file(out / STATE)
        names = sorted(self.whole.keys() | state.keys())
        other = [name for name in names if not np.array_equal(self.whole.get(name), state.get(name))]
        with self._lock:
            self.same += not other
            self.wrong += [f"{out.name} differs in {len(other)} of {len(names)}: {', '.join(other[:9])}"] * bool(other)

    def _start(self, out: Path) -> subprocess.Popen:
        """The run's first process, or one that resumes it; it saves its state after every few steps."""
        how = ["--resume"] if (out / STATE).exists() else [*TRAINING, "--save-minutes", "0.01"]
        command = [sys.executable, "-m", "train.unet", "--data", str(self.data), *how, "--out", str(out)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}  # several runs go side by side
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    def _finish(self, process: subprocess.Popen, out: Path) -> None:
        said = process.communicate()[1]
        if process.returncode:
            raise RuntimeError(f"{out.name} ended with {process.returncode}: {said[-500:]}")


def main(
    count: Annotated[int, typer.Option("-n", min=1, help="Kills.")] = 200,
    at_once: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
) -> None:
    """Print how many runs were killed and what they ended in; exits with 1 if one did not end in the same bits."""
    with tempfile.TemporaryDirectory() as folder:
        killer = Killer(Path(folder), count, seed)
        with ThreadPoolExecutor(at_once) as pool:
            for worker in [pool.submit(killer.work) for _ in range(at_once)]:
                worker.result()
    told = ", ".join(f"{number} with {what}" for what, number in sorted(killer.kills.items()))
    print(f"{killer.kills.total()} kills, each within {killer.seconds:.1f} s of a start: {told}")
    print(f"runs that ended in the same bits: {killer.same}; that did not: {len(killer.wrong)}")
    print("\n".join(killer.wrong), end="\n" if killer.wrong else "")
    if killer.wrong:
        sys.exit(1)


if __name__ == "__main__":
    run_app(main)
