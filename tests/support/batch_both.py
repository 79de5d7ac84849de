"""The MAC array's jobs on both benches in one process: what the fast one records must equal what the slow one does."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from cocotb.utils import get_sim_time

from tb import tb_mac
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import Bench, Run, bench_test
from tb.bench.patterns import throttles

PARAMETER_SETS = {name: tb_mac.PARAMETER_SETS[name] for name in ("odd", "small")}
build = tb_mac.build
JOBS, BEATS = 20, 500  # at least; of output
_runs: dict[str, list[Any]] = {}


async def _record(bench: Any, name: str) -> None:
    """Jobs under stalls, one in five cut short and followed by a reset, until BEATS came: all that the runs return."""
    rng = np.random.default_rng(bench.context["seed"])
    _runs[name] = []
    for job in itertools.count():
        if job >= JOBS and _beats(name) > BEATS:
            return
        valid, ready = throttles(rng)
        abort_at = int(rng.integers(1, 60)) if job % 5 == 4 else None
        run = await tb_mac.check(bench, tb_mac.random_tiles(bench.params, rng), valid, ready, job=job,
                                 abort_at=abort_at)
        _runs[name].append(run)
        if abort_at is not None:
            await bench.reset()


def _beats(name: str) -> int:
    return sum(len(run.timing["o"]) for run in _runs[name])


@bench_test
async def on_the_slow_bench(bench: Bench) -> None:
    await _record(bench, "slow")


@batch_test
async def on_the_fast_bench(bench: BatchBench) -> None:
    """Simulated time passes while Python sleeps, and at no other time."""
    before = get_sim_time("ns")
    await bench.reset(1000)
    assert 10_000 <= get_sim_time("ns") - before < 10_001, "1000 cycles of 10 ns"
    await _record(bench, "fast")


@batch_test
async def both_say_the_same(_bench: BatchBench) -> None:
    slow, fast = _runs["slow"], _runs["fast"]
    assert len(slow) == len(fast) >= JOBS
    for left, right in zip(slow, fast, strict=True):
        assert _same(left, right), f"{left} {right}"
    assert _beats("fast") > BEATS


def _same(left: Run, right: Run) -> bool:
    """Values, cycles and events are equal and of equal types."""
    fields = {name: right.fields[name] for name in left.fields}
    return (left.events == right.events and set(left.timing) == set(right.timing)
            and all(_equal(left.timing[name], right.timing[name]) for name in left.timing)
            and all(set(left.fields[port]) == set(fields[port]) for port in left.fields)
            and all(_equal(left.fields[port][name], fields[port][name]) for port in fields for name in fields[port]))


def _equal(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and np.array_equal(left, right)
