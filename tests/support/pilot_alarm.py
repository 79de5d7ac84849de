"""A bench of an engine in which something is broken: its alarm, the error `internal`, must rise."""

from __future__ import annotations

import numpy as np

from rtl_gen.engine.layouts import ERRORS
from rtl_gen.engine.top import Engine
from tb import tb_engine
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import TOTALS, Expect, Feed
from tb.engine.cases import draw
from tb.engine.play import INPUTS

PARAMETER_SETS = tb_engine.PARAMETER_SETS
build = Engine
JOBS = 40


@batch_test
async def the_alarm_rises(bench: BatchBench) -> None:
    """Whatever the results are; a job that hangs is cut off."""
    alarm = 1 << 1 + ERRORS.index("internal")
    for _ in range(JOBS):
        case = draw(bench.rng, bench.params)
        anything = {name: np.zeros((), bool) for name in case.beats["o"]}
        await bench.run({name: Feed(case.beats[name]) for name in INPUTS},
                        {"o": Expect(case.beats["o"], care=anything)}, abort_at=3_000)
        bench.words += 1
        TOTALS.words += 1
        if int(bench.dut.status.value) & alarm:
            return
        await bench.reset()
    raise AssertionError(f"no alarm in {JOBS} jobs")
