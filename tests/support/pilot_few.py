"""A bench on the pilot that passes but compares one beat: less than a run must."""

from __future__ import annotations

from tb.bench.harness import Bench, bench_test
from tests.support import pilot

PARAMETER_SETS = pilot.PARAMETER_SETS
build = pilot.build


@bench_test
async def one_beat(bench: Bench) -> None:
    """One beat of all lanes."""
    await pilot.job(bench, 1)


@bench_test
async def no_beat(_bench: Bench) -> None:
    """What a test does whose trace is not there."""
