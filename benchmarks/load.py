"""The page under load: python -m benchmarks.load --visitors 30 --minutes 10

Starts the page in a process of its own and lets visitors come at once: each generates, compares, uploads a picture and
has it classified, looks at levels of noise, and saves its runs, one thing after another; one request in ten is left
while it runs, by somebody who then comes back as another. Everything else has to work, and whoever waits has to be told
the place in the queue. Memory is compared with that after a minute of the same, on a page that keeps fewer runs and
sessions than usual and so has all it keeps by then; and after the end no file may be left.
"""

import io
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import httpx
import numpy as np
import typer
from PIL import Image

from benchmarks.support.visitor import Visitor
from diffdemo import CHECKPOINTS
from diffdemo.records.tables import markdown
from train.flags import run_app

VANISHING = 0.1
RUNS_KEPT = 8 * 2**20  # bytes of runs that the page keeps for saving; 192 MiB would be filled only after hours
WARM_UP = 60.0  # seconds
ACTIONS = {"generate": 4, "compare": 2, "classify": 2, "forward": 2}  # and how often, in proportion


def serve_page(checkpoints: str, sessions: int) -> None:
    """The page as app.py serves it, but with few runs and sessions kept, so that they are soon as many as they get."""
    from diffdemo.ui import options, page

    page.Recordings = partial(page.Recordings, RUNS_KEPT)
    page.SERVING["state_session_capacity"] = sessions
    page.serve(options.read(["--checkpoints", checkpoints, "--device", "cpu", "--host", "127.0.0.1"]))


class Crowd:
    """Visitors, and what became of each of their requests.

    Attributes:
        times: by action, the seconds of each request that worked, and how many of them it waited for its turn.
        failures: by what went wrong.
        left: how many requests were left while they ran.
        untold: how many waited more than a second without being told a place.
    """

    def __init__(self, address: str, steps: int):
        self.address, self.steps = address, steps
        self.config = httpx.get(f"{address}config").json()
        self.times: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.failures: Counter[str] = Counter()
        self.left = self.untold = 0
        self._lock = threading.Lock()

    def come(self, visitors: int, seconds: float, seed: int) -> None:
        """Let so many visitors come at once and stay so long."""
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=self._visit, args=(until, f"{seed}-{one}")) for one in range(visitors)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _visit(self, until: float, name: str) -> None:
        chance = random.Random(name)
        visitor = Visitor(self.address, name, self.config)
        while time.monotonic() < until:
            action = chance.choices(list(ACTIONS), list(ACTIONS.values()))[0]
            leaves = chance.random() < VANISHING
            if not self._ask(visitor, action, leaves, **self._settings(visitor, action, chance)):
                visitor.session = f"{name}-{chance.random()}"
            elif action == "generate" and chance.random() < 0.3:
                self._ask(visitor, "save", False, format=chance.choice(("png", "gif", "mp4")))

    def _settings(self, visitor: Visitor, action: str, chance: random.Random) -> dict:
        seed, few = f"{chance.randrange(10**6)}", chance.randrange(1, self.steps + 1)
        if action == "generate":
            return {"steps": few, "n": chance.randrange(1, 5), "seed": seed}
        if action == "compare":
            return {"steps_a": few, "steps_b": few, "seed": seed}
        side = chance.randrange(40, 1200)
        file = io.BytesIO()
        pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(file, "JPEG")
        picture = visitor.upload(f"{side}.jpg", file.getvalue())
        return {"picture": picture, **({"t": chance.randrange(1000)} if action == "forward" else {"draws": 2})}

    def _ask(self, visitor: Visitor, action: str, leaves: bool, **settings) -> bool:
        """Whether the visitor stayed to the end of it."""
        began, started = time.monotonic(), None
        try:
            visitor.join(action, **settings).raise_for_status()
            with visitor.listening() as told:
                for message in told:
                    if message["msg"] == "process_starts":
                        started = time.monotonic()
                        break
                if leaves:
                    time.sleep(random.random() / 2)
                    with self._lock:
                        self.left += 1
                    return False
                error = visitor.outcome(told).error
        except httpx.HTTPError as problem:
            error = repr(problem)
        with self._lock:
            waited = (started or time.monotonic()) - began
            self.untold += waited > 1 and not visitor.places
            if error:
                self.failures[f"{action}: {error}"] += 1
            else:
                self.times[action].append((time.monotonic() - began, waited))
        return True


def memory(process: int) -> float:
    """MiB of a process's own memory."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 2**10


def files(folder: Path) -> list[Path]:
    """All that lie in it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def main(
    visitors: Annotated[int, typer.Option(help="At once.")] = 30,
    minutes: Annotated[float, typer.Option(help="How long.")] = 10,
    steps: Annotated[int, typer.Option(help="Of the longest runs.")] = 20,
    checkpoints: Annotated[Path, typer.Option(help="Folder with a checkpoint folder for each model.")] = CHECKPOINTS,
) -> None:
    """Print a table of what the visitors met; exits with 1 if anything failed that should have worked."""
    with tempfile.TemporaryDirectory() as folder:
        serve = f"from benchmarks.load import serve_page; serve_page({str(checkpoints)!r}, {2 * visitors})"
        command = [sys.executable, "-c", serve]
        page = subprocess.Popen(command, env=os.environ | {"TMPDIR": folder}, stdout=subprocess.PIPE, text=True)
        try:
            address = re.search(r"http://[\w.:]+/", page.stdout.readline())[0]
            for number in range(2):  # who come, and as many others in their place
                Crowd(address, steps).come(visitors, WARM_UP / 2, number)
            before = memory(page.pid)
            crowd = Crowd(address, steps)
            crowd.come(visitors, 60 * minutes, seed=2)
            time.sleep(2)
            after, lying = memory(page.pid), sum(path.stat().st_size for path in files(Path(folder)))
        finally:
            page.terminate()
            page.wait(timeout=60)
        forgotten = files(Path(folder))
    rows = []
    for action, times in sorted(crowd.times.items()):
        total, waited = (sorted(part) for part in zip(*times, strict=True))
        late = round(0.95 * (len(total) - 1))
        seconds = [f"{value:.1f}" for value in (median(waited), waited[late], median(total), total[late])]
        rows.append([action, f"{len(times)}", *seconds])
    heads = ["request", "number", "s in the queue, median", "95 %", "s in all, median", "95 %"]
    print(f"{visitors} visitors, {minutes:g} minutes\n\n{markdown(heads, rows, numbers=range(1, 6))}\n")
    print(f"left while they ran: {crowd.left}; waited without being told their place: {crowd.untold}")
    print(f"memory of the page: {before:.0f} MiB before, {after:.0f} MiB after ({after / before - 1:+.1%})")
    print(f"files: {lying / 2**20:.1f} MiB at the end; left when the page had ended: {len(forgotten)}")
    failures = [f"failed {number} times: {said}" for said, number in crowd.failures.most_common()]
    print("\n".join(failures or ["failed: none"]))
    if failures or crowd.untold or forgotten or after > 1.05 * before:
        sys.exit(1)


if __name__ == "__main__":
    run_app(main)
