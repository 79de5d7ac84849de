"""Jobs behind each other whose tokens wait for results: the closed form is the engine followed beat by beat, at the
memory's rate and behind its port."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from sim.dram import Memory
from sim.engine import closed_form
from sim.engine.early import Early
from sim.engine.handover import READY, REGISTERS, Handover
from sim.engine.port_streams import PortMemory
from sim.engine.restarted import RestartedMemory
from sim.engine.supply import simplest
from sim.engine.timing import EngineTiming, timing
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from tests.sim.test_dram import draw_hw, draw_task
from tests.sim.test_port import draw_memory
from tests.support.rotated_cases import registers_of

CHAINS = 1000


def draw_chain(rng: np.random.Generator, hw: HwConfig) -> list[tuple[Task, int, EngineJob]]:
    """One to five layers, each with the tokens of its super-tiles and its registers; some of one column tile."""
    found: list[tuple[Task, int, EngineJob]] = []
    while len(found) < rng.integers(1, 6):
        task = draw_task(rng, hw)
        if rng.integers(4) == 0:
            task = replace(task, n=int(rng.integers(1, 2 * hw.cols + 1)))
        limit = int(rng.choice([4, 8, 16, 50, super_tile.token_limit(task.job, hw)]))
        try:
            found.append((task, limit, registers_of(rng, hw, task, limit)))
        except ConfigError:  # a Haar tile beyond the buffer
            continue
        if rng.integers(3) == 0:
            found.append(found[-1])
    return found


def followed(hw: HwConfig, chain: list[tuple[Task, int, EngineJob]], early: list[Early]
             ) -> tuple[EngineTiming, list[int]]:
    """Beat by beat, and the cycle in which each job's results are there."""
    memory = RestartedMemory(Memory.of(hw).patterns) if hw.memory is None else PortMemory(hw)
    beats = timing(EngineParams.of(hw), [job for *_, job in chain], memory=memory, early=early)
    counts = accumulate((task.job.tokens + task.job.n_sink) * task.out_beats(hw) for task, *_ in chain)
    return beats, [int(beats.outputs[count - 1]) + 1 for count in counts]


@pytest.mark.parametrize("port", [False, True])
@pytest.mark.parametrize("cases", [CHAINS // 4, pytest.param(CHAINS, marks=pytest.mark.long)])
def test_the_closed_form_of_jobs_in_a_row_is_the_engine_followed_beat_by_beat(cases: int, port: bool,
                                                                            rng: np.random.Generator,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()

    def told(*asked: Any) -> Handover:
        found = simplest(*asked)
        seen[{READY: "ready", REGISTERS: "registers"}.get(found, "neither")] += 1
        return found

    monkeypatch.setattr(closed_form, "simplest", told)
    for _ in range(cases):
        hw = draw_hw(rng)
        hw = draw_memory(rng, hw) if port else hw
        chain = draw_chain(rng, hw)
        wanted = [Early(rng.choice(["weights", "weights", "registers"])) for _ in chain]
        closed = closed_form.in_a_row([(task, limit) for task, limit, _ in chain], hw, wanted)
        found, early = [cycles for cycles, _ in closed], [ahead for _, ahead in closed]
        _, ends = followed(hw, chain, early)
        own = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        assert [cycles.total - cycles.wait_dram_bytes for cycles in found] == own, (hw, chain, early)
        for cycles in found:
            parts = {part: getattr(cycles, part) for part in closed_form.PARTS}
            assert sum(parts.values()) == cycles.total and min(parts.values()) >= 0, (hw, chain, early)
            assert sum(count for _, count in cycles.critical_path) == cycles.total - cycles.wait_dram_bytes
        seen.update({f"{ahead.value}, {wish.value}": 1 for ahead, wish in zip(early, wanted, strict=True)})
    # Every kind of begin many times: nothing was equal for want of something to differ.
    assert min(seen[name] for name in ("ready", "registers", "neither", "weights, weights")) > cases // 20, seen
    assert port or seen["registers, weights"] > cases // 50, seen
