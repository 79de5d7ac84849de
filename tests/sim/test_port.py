"""The one port of the external memory (sim/port.py): what it promises a stream is what one port can keep, streams
follow it burst by burst, and the closed form of a layer is the engine followed beat by beat behind it."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.engine import closed_form
from sim.engine.passes import Behind, Rates, State, one_pass
from sim.engine.port_flow import Flow, Kind, Line
from sim.engine.port_streams import PortMemory, PortStream, Timeline
from sim.engine.timing import EngineTiming, timing
from sim.engine.weight_loads import take_packed
from sim.port import MAX_DEPTH, OTHERS, STREAMS, TICKS, Plan, Port, Unit
from sim.task import Task
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from stamp_hw.memory_config import CUSTOM, KINDS, MemoryConfig
from tests.sim.test_dram import draw_hw, draw_task
from tests.support.rotated_cases import registers_of
from tests.support.weight_formats import draw_format

CASES = 1000
NPU32 = Path(__file__).parents[2] / "configs" / "npu32.yaml"
#: Tokens, inputs and outputs of layers of Llama-3-8B, one token and 2048, and smaller ones.
LAYERS = ((2048, 4096, 4096), (2048, 4096, 14336), (2048, 14336, 4096), (1, 4096, 4096), (1, 14336, 4096),
          (4, 4096, 1024), (300, 576, 1536), (8192, 4096, 1024))


def draw_memory(rng: np.random.Generator, hw: HwConfig) -> HwConfig:
    """The same hardware behind a port of any rate, latency and burst."""
    rate = 10 ** rng.uniform(-0.3, 2) * hw.freq_hz
    return replace(hw, dram_bytes_per_s=HwConfig().dram_bytes_per_s, memory=MemoryConfig(
        kind=CUSTOM, bytes_per_s=round(rate), latency_ns=float(rng.choice([0, 5, 50, 120, 400])),
        burst=int(rng.choice([1, 8, 16, 24, 32, 64])), efficiency=float(rng.choice([1, 0.8, 0.7, 0.5]))))


def draw(rng: np.random.Generator) -> tuple[HwConfig, Task, int, EngineJob]:
    """Small hardware behind a port, a layer, tokens of a super-tile, and the registers."""
    while True:
        hw = draw_memory(rng, draw_hw(rng))
        task = draw_task(rng, hw)
        limit = int(rng.choice([4, 8, 16, 50, super_tile.token_limit(task.job, hw)]))
        try:
            return hw, task, limit, registers_of(rng, hw, task, limit)
        except ConfigError:  # a Haar tile beyond the buffer
            continue


@pytest.mark.parametrize("cases", [CASES // 5, pytest.param(CASES, marks=pytest.mark.long)])
def test_the_closed_form_is_the_engine_followed_beat_by_beat_behind_its_port(cases: int, rng: np.random.Generator
                                                                             ) -> None:
    """One per cent is what it may be off; it is not."""
    seen: Counter[str] = Counter()
    for _ in range(cases):
        hw, drawn, limit, registers = draw(rng)
        found = closed_form.simulate(drawn, hw, limit)
        beats = timing(EngineParams.of(hw), [registers], memory=PortMemory(hw))
        parts = {part: getattr(found, part) for part in closed_form.PARTS}
        plan = Plan.of(drawn, hw, super_tile.split(drawn.job, hw, limit))
        assert found.total == max(beats.cycles, plan.cycles), (drawn, hw, limit)
        assert found.total - found.wait_dram_bytes == beats.cycles, (drawn, hw, limit)
        assert sum(parts.values()) == found.total and min(parts.values()) >= 0, (drawn, hw, limit)
        assert sum(cycles for _, cycles in found.critical_path) == beats.cycles, (drawn, hw, limit)
        deep = any(plan.units[name].bursts > plan.depth[name] for name in ("w", "p"))
        seen.update({found.bottleneck: 1, **{part: 1 for part, cycles in parts.items() if cycles},
                     "rotated": int(registers.hadamard), "2-D": int(drawn.job.grid is not None),
                     "sinks": int(drawn.job.n_sink > 0), "packed": int(drawn.weights.packed),
                     "many super-tiles": int(found.super_tiles > 2), "more bursts than places": int(deep)})
    wanted = (*closed_form.PARTS, "rotated", "2-D", "sinks", "packed", "many super-tiles", "more bursts than places")
    assert min(seen[name] for name in wanted) >= max(1, cases // 200), seen
    assert {"array", "activations", "dram_activations", "dram_weights", "back"} <= seen.keys()


def test_passes_that_repeat_behind_a_port_are_those_that_are_followed_one_by_one(
        rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, jumps = [], []
    for _ in range(30):
        hw, task, limit, _ = draw(rng)
        drawn.append((replace(task, n=hw.cols * int(rng.integers(20, 120))), hw, limit))
    repeat = State.repeat
    monkeypatch.setattr(State, "repeat", lambda self, *args: (jumps.append(args), repeat(self, *args)))
    quick = [closed_form.simulate(*each) for each in drawn]

    def every_pass(state: State, rates: Rates, tiles: int, behind: Behind, count: int) -> None:
        for _ in range(count):
            one_pass(state, rates, tiles, behind)

    monkeypatch.setattr(closed_form, "more_passes", every_pass)
    closed_form._simulate.cache_clear()
    slow = [closed_form.simulate(*each) for each in drawn]
    closed_form._simulate.cache_clear()
    assert quick == slow and len(jumps) > 20


def test_streams_at_one_port_are_taken_a_unit_at_a_time_as_they_are_beat_by_beat(rng: np.random.Generator) -> None:
    for _ in range(60):
        hw, task, limit, _ = draw(rng)
        plan, timeline = Plan.of(task, hw, super_tile.split(task.job, hw, limit)), Timeline()
        timeline.begin(1, plan)
        for cycle, bound in zip(np.sort(rng.integers(1, 2000, 3)).tolist(), plan.bounds, strict=True):
            timeline.taken(cycle, bound)
        name = str(rng.choice(STREAMS[1:]))  # the phases follow the other one
        unit = plan.units[name]
        weights = draw_format(rng, hw)
        k = unit.beats if not weights.packed or name == "p" else next(
            (k for k in range(1, 4 * unit.beats) if weights.beats(k) == unit.beats), 0)
        packed = name == "w" and weights.packed and k > 0
        depth = plan.depth[name]
        line = Line(name, Kind.of(unit, depth, plan.latency, *((weights, k) if packed else ())), timeline)
        flow, stream, begin = Flow.of(line, 1), PortStream(name, timeline), 0
        stream.job(1, plan)
        for _ in range(plan.counts[name]):
            begin += int(rng.choice([0, 3, 100, 1000]))
            found = [flow.take(begin, beat) for beat in range(unit.beats)]
            flow, last, _ = found[-1]
            if packed:
                take_packed(lambda cycle, stream=stream: stream.take(cycle, 1), begin, k, weights.group)
            else:
                stream.take(begin, unit.beats)
            assert [at for _, _, at in found] == stream.latest(unit.beats), (plan, packed)
            assert {each for _, each, _ in found} == {last} == {stream.last}
            begin = stream.last + 1


def asked(stream: PortStream, plan: Plan, spacing: Any) -> list[tuple[int, int]]:
    """(start, end) in ticks of every burst, a tick at a time: of the streams' rules nothing but the rules."""
    unit, found, done = plan.units[stream.name], [], 0
    frees: list[int] = []  # tick in which each burst's place is free again
    for _ in range(plan.counts[stream.name]):
        taken = stream.taken[done : done + unit.beats]
        done += unit.beats
        for burst in range(unit.bursts):
            tick = max(TICKS, found[-1][1] if found else 0)
            while len(found) >= plan.depth[stream.name] and frees[len(found) - plan.depth[stream.name]] > tick:
                tick += 1
            found.append((tick, tick + spacing(stream.name, tick)))
            beats = [beat for beat in range(unit.beats) if beat * unit.beat_bytes < (burst + 1) * unit.burst]
            frees.append((taken[beats[-1]] + 1) * TICKS)
        for beat, cycle in enumerate(taken):
            needed = -(-((beat + 1) * unit.beat_bytes) // unit.burst) - 1
            there = -(-(found[len(found) - unit.bursts + needed][1] + plan.latency) // TICKS)
            before = stream.taken[done - unit.beats + beat - 1] + 1 if done - unit.beats + beat else 0
            assert stream.offered[done - unit.beats + beat] == max(there, before) <= cycle
    return found


def followed(hw: HwConfig, task: Task, limit: int, registers: EngineJob) -> tuple[Plan, PortMemory, EngineTiming]:
    memory = PortMemory(hw)
    beats = timing(EngineParams.of(hw), [registers], memory=memory)
    return Plan.of(task, hw, super_tile.split(task.job, hw, limit)), memory, beats


def phases(plan: Plan, beats: EngineTiming) -> Any:
    """Stream and tick → the ticks that a burst takes which starts then, from the cycles of the tokens' last beats."""
    last = beats.tokens[plan.units["i"].beats - 1 :: plan.units["i"].beats]
    begins = [(int(last[bound - 1]) + 1) * TICKS for bound in plan.bounds]
    return lambda name, tick: plan.spacing[bisect_right(begins, tick)][name]


def test_every_beat_is_offered_when_its_burst_is_there_and_a_burst_is_asked_for_when_the_rules_allow_it(
        rng: np.random.Generator) -> None:
    for _ in range(25):
        hw, task, limit, registers = draw(rng)
        if sum((task.tokens, task.n)) > 60:
            continue
        plan, memory, beats = followed(hw, task, limit, registers)
        for stream in memory.streams.values():
            asked(stream, plan, phases(plan, beats))


def lateness(bursts: Sequence[tuple[int, int]], port: Port) -> Iterator[Fraction]:
    """Of bursts (asked for, promised for) through one port, the earliest promise first: by how many bursts' time each
    is late."""
    one, now, waiting = port.burst / port.rate * TICKS, Fraction(0), sorted(bursts)
    queue: list[tuple[int, int]] = []
    while waiting or queue:
        if not queue:
            now = max(now, Fraction(waiting[0][0]))
        while waiting and waiting[0][0] <= now:
            start, end = waiting.pop(0)
            queue.append((end, start))
        queue.sort()
        end, _ = queue.pop(0)
        now += one
        yield (now - end) / one


def test_one_port_that_moves_a_burst_at_a_time_keeps_what_every_stream_is_promised(rng: np.random.Generator) -> None:
    """Earliest promise first, never idle while something waits, results asking as often as they may: no burst is later
    than its transfer time, the latency of one burst of each other stream, and at a change of phase one more of each."""
    late: list[Fraction] = []
    for _ in range(40):
        hw, task, limit, registers = draw(rng)
        if sum((task.tokens, task.n)) > 60:
            continue
        plan, memory, beats = followed(hw, task, limit, registers)
        spacing = phases(plan, beats)
        bursts = [burst for stream in memory.streams.values() for burst in asked(stream, plan, spacing)]
        tick, until = TICKS, max(end for _, end in bursts)
        while tick < until:
            try:
                bursts.append((tick, tick + spacing("o", tick)))
                tick = bursts[-1][1]
            except KeyError:  # a phase without results
                tick += TICKS
        port = Port.of(hw)
        assert all(sum(port.burst * Fraction(TICKS, each) for each in phase.values()) <= port.rate
                   for phase in plan.spacing)
        late += lateness(bursts, port)
    assert len(late) > 1000 and max(late) <= OTHERS, float(max(late))


def shape(tokens: int, k: int, n: int, hw: HwConfig) -> Task:
    return Task(job=NpuConfig(hw=hw).resolve(tokens, k=k), k=k, n=n)


def behind(memory: object, **changes: Any) -> HwConfig:
    """The 32 × 32 array behind a memory."""
    return replace(NpuConfig.load(NPU32, {"memory": memory}).hw, **changes)


def test_a_token_alone_comes_with_the_first_passs_weights_and_not_with_the_whole_layers() -> None:
    hw = HwConfig(rows=4, cols=4, lanes=4, max_k=256, memory=MemoryConfig(
        kind=CUSTOM, bytes_per_s=1e9, latency_ns=100, burst=16, efficiency=1))
    task = shape(1, 256, 256, hw)
    job = EngineJob.of(task.job, k=256, n=256, params=EngineParams.of(hw))
    plan, _, beats = followed(hw, task, super_tile.token_limit(task.job, hw), job)
    token, first = int(beats.tokens[-1]), int(beats.weights[255])
    alone = (plan.units["i"].moved + plan.units["w"].moved + plan.units["p"].moved) / Port.of(hw).rate
    assert abs(token - first) < 40 and token < alone + plan.latency / TICKS + 40
    assert beats.cycles > 30 * token


def test_a_latency_shows_once_where_nothing_else_waits_for_the_memory() -> None:
    for tokens, k, n in LAYERS:
        none, long = (behind({"kind": "HBM2", "latency_ns": latency}) for latency in (0, 400))
        quick, slow = (closed_form.simulate(shape(tokens, k, n, hw), hw).total for hw in (none, long))
        assert 0 < slow - quick <= 400e-9 * 800e6 + 64, (tokens, k, n)


@pytest.mark.parametrize(("memory", "over"), [
    *((kind, 0.03) for kind in KINDS),
    *(({"kind": "LPDDR5", "bytes_per_s": rate}, 0.1) for rate in (8e9, 4e9, 2e9, 1e9))])
def test_fixed_shares_cost_little_over_a_memory_for_each_stream_or_the_time_of_all_bytes(memory: Any, over: float
                                                                                         ) -> None:
    """No arbiter is quicker than either of the two: what is above both is all that another one could gain."""
    hw = behind(memory)
    assert hw.memory is not None
    own = NpuConfig.load(NPU32, {"dram_bytes_per_s": hw.memory.effective_bytes_per_s}).hw
    for tokens, k, n in LAYERS:
        task = shape(tokens, k, n, hw)
        parts = super_tile.split(task.job, hw, super_tile.token_limit(task.job, hw))
        least = max(closed_form.simulate(task, own).total, Plan.of(task, hw, parts).cycles)
        assert 0.97 * least < closed_form.simulate(task, hw).total < (1 + over) * least, (memory, tokens, k, n)


def test_a_port_is_slower_where_its_memory_is() -> None:
    layer, base = (300, 576, 1536), {"kind": "LPDDR5"}
    totals = [closed_form.simulate(shape(*layer, hw), hw).total for hw in (
        behind({**base, **worse}) for worse in ({}, {"efficiency": 0.5}, {"bytes_per_s": 5e9}, {"latency_ns": 5e3}))]
    assert min(totals[1:]) > totals[0]


def test_what_lies_in_a_burst_is_whole_beats_and_a_unit_takes_whole_bursts() -> None:
    unit = Unit(5, 6, 16)  # 30 bytes
    assert (unit.bursts, unit.moved) == (2, 32)
    assert [unit.needs(beat) for beat in range(5)] == [0, 0, 1, 1, 1]
    assert [unit.done(beats) for beats in range(6)] == [0, 0, 0, 1, 1, 2]
    wide = Unit(2, 128, 32)
    assert [wide.needs(beat) for beat in range(2)] == [3, 7] and [wide.done(beats) for beats in range(3)] == [0, 4, 8]


def test_a_port_is_the_memorys_constants_in_cycles() -> None:
    port = Port.of(behind({"kind": "DDR4", "efficiency": 0.5}))  # 16 bytes a cycle, a burst of 64 in four
    assert port.rate == 16 and port.latency == (72 + OTHERS * 4) * TICKS and port.cycles(160) == 84 + 10
    assert port.spacing({"w": 3, "o": 1, "i": 0}) == {"w": -(-TICKS * 16 // 3), "o": TICKS * 16}
    assert Port(burst=1, rate=Fraction(512), latency=10**9).depth(512) == MAX_DEPTH
    assert port.depth(8) == -(-8 * 84 // 64) + 1 + 2 and port.depth(128) == 16 * 84 // 64 + 2 + 2


def test_a_full_size_layer_behind_a_port_takes_little_time() -> None:
    for memory in ("LPDDR5", {"kind": "LPDDR4", "bytes_per_s": 1.234567891e9}):
        hw = behind(memory)
        closed_form._simulate.cache_clear()
        start = time.process_time()
        for tokens, k, n in ((2048, 4096, 14336), (2048, 14336, 4096), (1, 4096, 128256)):
            closed_form.simulate(shape(tokens, k, n, hw), hw)
        assert time.process_time() - start < 4  # 0.8 s on an idle core
