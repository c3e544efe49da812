"""How many examples a fuzz test takes: a small dose, or as many as the variable FUZZ says, see `benchmarks.fuzz`."""

import os

from hypothesis import HealthCheck, settings

SMALL_DOSE = settings(
    max_examples=int(os.environ.get("FUZZ", 25)),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
