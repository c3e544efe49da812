"""The time that goes into a network, and the turns of what is compared."""

import time
from collections.abc import Callable

from diffdemo.generator import Generator


class Stopwatch:
    """Adds up the time a generator's network takes."""

    def __init__(self, model: Generator):
        self.seconds, self.calls, self.first, self.last = 0.0, 0, 0.0, 0.0
        forward = model.network.forward

        def timed(*args, **kwargs):
            began = time.time()
            result = forward(*args, **kwargs)
            self.last = time.time()
            self.first = self.first or began
            self.seconds += self.last - began
            self.calls += 1
            return result

        model.network.forward = timed

    def reset(self) -> None:
        self.seconds, self.calls, self.first, self.last = 0.0, 0, 0.0, 0.0


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds that each way took in each round, after a first time that does not count.

    They take turns, so that a machine whose speed drifts treats all alike; compare them round by round.
    """
    for way in ways.values():
        way()
    taken = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - began)
    return taken
