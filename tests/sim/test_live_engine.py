"""The engine a cycle at a time (sim/engine/live.py) against the oracle that follows its stages one by one."""

from __future__ import annotations

import numpy as np

from sim.engine.live import LiveEngine
from sim.engine.timing import timing
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from tests.sim.test_engine_timing import Pattern, beats_of, draw_job, draw_params, pattern

LIMIT = 1_000_000  # cycles, by far more than any job here takes


def lived(params: EngineParams, job: EngineJob, valid: dict[str, Pattern], ready: Pattern) -> dict[str, list[int]]:
    """Cycles of all beats of a job whose registers are taken in cycle 0, each offered as `Source` does."""
    engine = LiveEngine(params, job, 0)
    counts = beats_of(params, [job])
    found: dict[str, list[int]] = {name: [] for name in ("i", "w", "p", "o")}
    offered = dict.fromkeys(valid, False)
    for cycle in range(LIMIT):
        taken = []
        wants = engine.wants(cycle) if cycle else (False, False, False)
        for name, wanted in zip(valid, wants, strict=True):
            offered[name] |= len(found[name]) < counts[name] and valid[name](cycle)
            taken.append(offered[name] and wanted)
            if taken[-1]:
                found[name].append(cycle)
                offered[name] = False
        if engine.offers and ready(cycle):
            found["o"].append(cycle)
        engine.step(cycle, *taken, ready(cycle))
        if engine.idle:
            return found
    raise AssertionError(f"no end in {LIMIT} cycles")


def test_a_cycle_at_a_time_every_beat_comes_when_the_oracle_says(rng: np.random.Generator) -> None:
    for number in range(60):
        params = draw_params(rng)
        job = draw_job(rng, params)
        valid = {name: pattern(rng) if number % 3 else (lambda _cycle: True) for name in ("i", "w", "p")}
        ready = pattern(rng) if number % 3 > 1 else (lambda _cycle: True)
        wanted = timing(params, [job], valid, ready).streams
        for name, cycles in lived(params, job, valid, ready).items():
            assert cycles == wanted[name].tolist(), (number, name)
