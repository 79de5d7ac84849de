"""Jobs behind each other whose tokens wait for results: the closed form is the engine followed beat by beat, at the
memory's rate and behind its port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from sim.dram import Memory
from sim.engine import closed_form
from sim.engine.early import Early
from sim.engine.handover import READY, REGISTERS, Handover
from sim.engine.port_streams import PortMemory, Timeline
from sim.engine.restarted import RestartedMemory
from sim.engine.supply import Supply, simplest
from sim.engine.timing import EngineTiming, timing
from sim.port import OTHERS, TICKS, Plan, Port
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.errors import ConfigError
from stamp_hw.memory_config import CUSTOM, MemoryConfig
from tests.sim.test_dram import draw_hw, draw_task
from tests.sim.test_port import draw_memory, lateness, shape
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


def test_a_memory_that_never_waits_is_not_what_a_job_in_a_row_waits_for(rng: np.random.Generator) -> None:
    for _ in range(100):
        hw = replace(draw_hw(rng), dram_bytes_per_s=1e15)
        chain = draw_chain(rng, hw)
        wanted = [Early(rng.choice(["weights", "registers"])) for _ in chain]
        for cycles, _ in closed_form.in_a_row([(task, limit) for task, limit, _ in chain], hw, wanted):
            assert cycles.wait_dram_activations == cycles.wait_dram_weights == cycles.wait_dram_bytes == 0, (hw, chain)


def later(before: Handover, cycles: int) -> Handover:
    """What a job leaves to another one, if all of it had happened so much later."""
    left = before.left
    assert left is not None
    if left.free[0]:
        free_w, free_p = ((np.frombuffer(free, np.int64) + cycles).tobytes() for free in left.free)
        left = replace(left, ends=(left.ends[0] + cycles * TICKS, left.ends[1] + cycles * TICKS), free=(free_w, free_p))
    else:
        left = replace(left, ends=(left.ends[0] + cycles, left.ends[1] + cycles))
    a, b = before.releases
    return replace(before, accept=before.accept + cycles, loader=before.loader + cycles,
                   releases=(a + cycles, b + cycles), lifting=min(0, before.lifting + cycles), left=left)


def latest_that_settles(settled: Callable[[int], bool]) -> int | None:
    """The last of some cycles before 0 at which that is so, None where it is at all or at none."""
    low, high = -200_000, 0
    if settled(high) or not settled(low):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if settled(middle) else (low, middle)
    return low


@pytest.mark.parametrize("port", [False, True])
def test_what_counts_as_settled_makes_no_cycle_differ_however_late_it_was(port: bool, rng: np.random.Generator) -> None:
    """At the latest that counts a layer takes as long as with all of it long ago, and so does the layer behind it."""
    tried = 0
    while tried < 200:
        hw = draw_hw(rng)
        hw = draw_memory(rng, hw) if port else replace(hw, dram_bytes_per_s=hw.freq_hz * 10 ** rng.uniform(-2, 1))
        (first, limit, _), (task, size, _), (third, third_limit, _) = (draw_chain(rng, hw)[0] for _ in range(3))
        _, before = closed_form.follow(first, hw, limit, None)
        size, third_size = (super_tile.tile_size(one.job, hw, most)
                            for one, most in ((task, size), (third, third_limit)))
        parts = super_tile.divide(task.job, *size, hw.rows)
        cycles = latest_that_settles(partial(is_settled, task, hw, parts, before))
        if cycles is None:
            continue
        found, left = closed_form._behind(task, task, hw, size, later(before, cycles))
        wanted, expected = closed_form._behind(task, task, hw, size, READY)
        assert found == wanted, (hw, task, size, cycles)
        assert (left.accept, left.loader, left.lifting) == (expected.accept, expected.loader, expected.lifting)
        behind = [closed_form._behind(third, third, hw, third_size, found)[0] for found in (left, expected)]
        assert behind[0] == behind[1], (hw, task, size, third, cycles)
        tried += 1


def at_the_edge(rng: np.random.Generator, before: Handover, task: Task, params: EngineParams) -> Handover:
    """The same, some of it where it just does or does not matter any more."""
    def near(cycle: int) -> int:
        return cycle + int(rng.integers(-4, 5))

    if rng.integers(2):
        before = replace(before, accept=near(before.accept - before.tokens(task, params)))
    load = before.begin(task, params)
    if rng.integers(2):
        second = min(before.releases[1], near(load))  # no pass ends later, since results come behind it
        before = replace(before, releases=(min(second, near(load)), second))
    if rng.integers(2):
        before = replace(before, lifting=int(rng.integers(-4, 60)))
    if rng.integers(2) and before.left is not None:
        ticks = TICKS if before.left.free[0] else 1
        w, p = (min(end, near(load) * ticks) for end in before.left.ends)  # nor is anything taken later
        before = replace(before, left=replace(before.left, ends=(w, p)))
    return before


@pytest.mark.parametrize("port", [False, True])
def test_what_is_left_out_of_the_past_makes_no_cycle_differ(port: bool, rng: np.random.Generator) -> None:
    """A layer behind another one, and one behind that: with all that was left, and without what should not matter.
    The same of layers that are alike, with another number of outputs or one token of other bits."""
    shorter = longer = other = 0
    for _ in range(400):
        hw = draw_hw(rng)
        hw = draw_memory(rng, hw) if port else replace(hw, dram_bytes_per_s=hw.freq_hz * 10 ** rng.uniform(-2, 1))
        (first, limit, _), (task, own_limit, _), (third, third_limit, _) = (draw_chain(rng, hw)[0] for _ in range(3))
        if rng.integers(3) == 0:
            task = replace(task, job=replace(task.job, tokens=1, grid=None, levels=0, n_hi=int(rng.integers(2))))
        size, third_size = (super_tile.tile_size(one.job, hw, most)
                            for one, most in ((task, own_limit), (third, third_limit)))
        _, before = closed_form.follow(first, hw, limit, None)
        before = replace(later(before, int(-10 ** rng.uniform(0, 4)) if rng.integers(2) else 0),
                         early=Early(rng.choice(["weights", "weights", "registers"])))
        twin = closed_form.alike(task, hw)
        before = at_the_edge(rng, before, twin, EngineParams.of(hw))
        now = simplest(twin, hw, size, before)
        assert simplest(twin, hw, size, now) == now
        plain, left = closed_form._behind(task, task, hw, size, replace(before, early=now.early))
        found, trimmed = closed_form.follow(task, hw, size, before)
        assert found == plain, (hw, first, task, size, before)
        a, b = (closed_form._behind(third, third, hw, third_size, end) for end in (left, trimmed))
        assert a[0] == b[0] and left.slack == trimmed.slack, (hw, first, task, third, before)
        assert (left.accept, left.loader, left.releases[1]) == (trimmed.accept, trimmed.loader, trimmed.releases[1])
        shorter += now not in (READY, REGISTERS) and now != replace(before, early=now.early, slack=now.slack)
        longer += now not in (READY, REGISTERS)
        other += twin != task
    assert min(shorter, longer, other) > 40, (shorter, longer, other)


def is_settled(task: Task, hw: HwConfig, parts: Sequence[SuperTile], before: Handover, cycles: int) -> bool:
    return Supply.of(task, hw, parts, later(before, cycles)).settled


def test_one_port_keeps_what_every_stream_of_jobs_in_a_row_is_promised(rng: np.random.Generator,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """As `tests.sim.test_port` for a job alone: every burst of every stream, results as often as they may."""
    asked: list[tuple[Timeline, int, int]] = []
    late: list[Fraction] = []
    at = Timeline.at

    def seen(self: Timeline, name: str, start: int) -> tuple[int, int | None]:
        found = at(self, name, start)
        asked.append((self, start, start + found[0]))
        return found

    for _ in range(40):
        hw = draw_memory(rng, draw_hw(rng))
        chain = [link for link in draw_chain(rng, hw) if link[0].tokens + link[0].n < 60]
        if len(chain) < 2:
            continue
        memory = PortMemory(hw)
        asked.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Timeline, "at", seen)
            timing(EngineParams.of(hw), [job for *_, job in chain], memory=memory, early=[Early.WEIGHTS] * len(chain))
        timeline = memory._timeline
        bursts = [(start, end) for whose, start, end in asked if whose is timeline]  # not those of what only looked
        starts = [*timeline.starts, max(end for _, end in bursts) // TICKS]
        for spacing, begin, until in zip(timeline.spacings, starts, starts[1:], strict=False):
            if own := spacing.get("o"):
                bursts += [(tick, tick + own) for tick in range(begin * TICKS, until * TICKS, own)]
        late += lateness(bursts, Port.of(hw))
    assert len(late) > 1000 and max(late) <= OTHERS, float(max(late))


def test_a_token_of_a_job_whose_first_pass_is_loaded_has_the_port_for_itself() -> None:
    hw = HwConfig(rows=4, cols=4, lanes=4, max_k=256, memory=MemoryConfig(
        kind=CUSTOM, bytes_per_s=1e9, latency_ns=100, burst=16, efficiency=1))
    long, task = (shape(tokens, 256, 256, hw) for tokens in (64, 1))
    jobs = [EngineJob.of(one.job, k=256, n=256, params=EngineParams.of(hw)) for one in (long, task)]
    beats, ends = followed(hw, [(long, 0, jobs[0]), (task, 0, jobs[1])], [Early.WEIGHTS] * 2)
    plan = Plan.of(task, hw, super_tile.split(task.job, hw, 1))
    alone = (plan.units["i"].moved + 2 * 16) / Port.of(hw).rate + plan.latency / TICKS
    assert alone - 2 < int(beats.tokens[-1]) - ends[0] < alone + 2
    own = plan.counts["w"] * plan.units["w"].beats
    assert int(beats.weights[-own + plan.units["w"].beats - 1]) < ends[0]  # its first pass
