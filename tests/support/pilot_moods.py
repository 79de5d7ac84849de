"""A bench on the pilot in all moods that a regression has to report: choose some by `--test`."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tb.bench.harness import Bench, Expect, Feed, bench_test
from tests.support import pilot

PARAMETER_SETS = pilot.PARAMETER_SETS
build = pilot.build
MARKS = "PILOT_MARKS"  # environment variable: a folder, for what a simulator has to tell a test


def _mark(name: object) -> Path:
    return Path(os.environ[MARKS]) / str(name)


@bench_test(quota=1.0)
async def passes(bench: Bench) -> None:
    """Random beats."""
    for _ in bench.jobs():
        await pilot.job(bench, 40)


@bench_test
async def differs_late(bench: Bench) -> None:
    """After 500 cycles that are right, some that are not; runs without a name, which have numbers."""
    for fault, beats in ((pilot.NONE, 500), (pilot.WRONG, 9)):
        bench.set(fault=fault)
        given, wanted = pilot.beats(bench, beats)
        await bench.run({"i": Feed(given)}, {"o": Expect(wanted)})


@bench_test
async def differs_once(bench: Bench) -> None:
    """In the first process that runs it."""
    await pilot.job(bench, 3)
    if not _mark("once").exists():
        _mark("once").touch()
        raise AssertionError("beat 3: got\x1b 4, expected <5> & \"6\"\nand a second line")


@bench_test
async def has_nothing_to_do(bench: Bench) -> None:
    """And says why."""
    bench.nothing("no layer <fits>")


@bench_test
async def breaks(bench: Bench) -> None:
    """A mistake of the bench."""
    await pilot.job(bench, 3)
    raise KeyError("nobody")


@bench_test
async def dies(bench: Bench) -> None:
    """The whole simulator."""
    await pilot.job(bench, 3)
    os._exit(7)


@bench_test
async def sleeps(bench: Bench) -> None:
    """Until somebody ends the simulator."""
    _mark(os.getpid()).touch()
    time.sleep(300)
