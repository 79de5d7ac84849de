"""A bench of an engine that runs layers and tells how often the model says that its memories are read and written.

It tells so by failing, since a run that passes leaves no log, in which the counters of the RTL are.
"""

from __future__ import annotations

from collections import Counter

from rtl_gen.engine.top import Engine
from sim import on_chip
from sim.banks import banks
from sim.division import Division
from sim.task import Task
from stamp_hw.engine import super_tile
from tb import tb_engine
from tb.batch.bench import BatchBench, batch_test

PARAMETER_SETS = tb_engine.PARAMETER_SETS
build = Engine
RUNS = 6


@batch_test
async def memories_are_read_and_written_as_the_model_says(bench: BatchBench) -> None:
    """Jobs in a row, every second time under stalls, of which no access may depend."""
    params, hw = bench.params, bench.params.hw
    expected: Counter[tuple[str, str]] = Counter()
    for number in range(RUNS):
        cases = tb_engine.several(bench)
        await tb_engine.play(bench, cases, number, tb_engine.stalls_of(bench) if number % 2 else {})
        for job in (case.job for case in cases):
            parts = super_tile.divide(job.resolved, job.tile_width, job.tile_height, params.rows)
            moved = on_chip.beats(Task.of_job(job, params), hw, Division.of(parts))
            for one in banks(hw):
                expected[one.name, "read"] += one.read * moved[one.name].read
                expected[one.name, "written"] += one.written * moved[one.name].written
    raise AssertionError("; ".join(f"{name} {kind} {count}" for (name, kind), count in expected.items()))
