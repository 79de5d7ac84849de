"""Benches on the pilot that must fail: a warning in the simulator process, and a testbench with a bug of its own."""

from __future__ import annotations

import warnings

from tb.bench.harness import Bench, bench_test
from tests.support import pilot

PARAMETER_SETS = pilot.PARAMETER_SETS
build = pilot.build


@bench_test
async def warns(_bench: Bench) -> None:
    """Harmless anywhere but in a process in which warnings are errors."""
    warnings.warn("old call", DeprecationWarning, stacklevel=1)


@bench_test
async def compares_nothing(bench: Bench) -> None:
    """A loop over jobs() whose rounds compare no word would never end."""
    bench._quota = 1.0
    for _ in bench.jobs():
        await bench.run({}, {})
