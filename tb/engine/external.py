"""External memories in front of the engine's bench: at a rate each stream has for itself, and behind one port.

The memory behind a port answers to the cycles in which beats are taken; the bench has patterns of bits. Its bits are
those of the cycles in which `sim.engine.port_streams` offers each beat. As long as the RTL takes every beat in the
cycle that is predicted, that memory would have offered just these; the first beat that it takes in another one is a
difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sim.dram import Memory
from sim.engine import closed_form
from sim.engine.early import Early
from sim.engine.port_streams import PortMemory
from sim.engine.restarted import RestartedMemory
from sim.engine.timing import EngineTiming, timing
from sim.port import STREAMS
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import beat_bytes
from stamp_hw.memory_config import CUSTOM, MemoryConfig
from tb.bench import patterns
from tb.bench.patterns import ALWAYS, Pattern, listed
from tb.engine.cases import Case

LATENCIES_NS = (0.0, 10.0, 120.0, 400.0)
BURSTS = (4, 24, 32, 64)  # one that is no power of two


def rated(rng: np.random.Generator, hw: HwConfig) -> tuple[int, HwConfig]:
    """(bytes a cycle, the hardware with a memory of that rate): from an eighth of a token's beat a cycle to more than
    one."""
    beat = beat_bytes(hw)["i"]
    moved = int(rng.integers(max(1, beat // 8), beat + beat // 2 + 1))
    return moved, replace(hw, dram_bytes_per_s=hw.freq_hz * moved)


def behind_a_port(rng: np.random.Generator, hw: HwConfig) -> HwConfig:
    """The hardware with a memory of any latency and burst that moves from a quarter of a token's beat a cycle to
    three."""
    moved = beat_bytes(hw)["i"] * float(rng.uniform(0.25, 3))
    return replace(hw, memory=MemoryConfig(
        kind=CUSTOM, bytes_per_s=round(hw.freq_hz * moved), latency_ns=float(rng.choice(LATENCIES_NS)),
        burst=int(rng.choice(BURSTS)), efficiency=float(rng.choice([0.6, 0.8, 1]))))


def offers(memory: PortMemory | RestartedMemory) -> dict[str, Pattern]:
    """Of each stream of a memory, whose jobs were followed: 1 in the cycles from which a beat is offered."""
    found = {}
    for name, stream in memory.streams.items():
        bits = np.zeros(stream.offered[-1] + 1, np.int8)
        bits[stream.offered] = 1
        found[name] = listed(bits, f"memory{len(bits)}")
    return found


def at_the_rate(params: EngineParams, case: Case, hw: HwConfig) -> dict[str, Pattern]:
    """The memory's rate for a job's inputs; raises AssertionError where the total of a report is not every beat's."""
    rates = Memory.of(hw).patterns
    _check_total(params, case, hw, timing(params, [case.job], rates))
    return {name: patterns.rated(rate) for name, rate in rates.items()}


def from_the_port(params: EngineParams, cases: Sequence[Case], hw: HwConfig, stalls: Mapping[str, Pattern]
                  ) -> dict[str, Pattern]:
    """What the port offers jobs in a row, the streams `job` and `o` under `stalls`. Raises AssertionError where the
    total of a report is not every beat's (one job, no stalls), and where bits do not do what the memory does."""
    jobs, memory = [case.job for case in cases], PortMemory(hw)
    beats = timing(params, jobs, {"job": stalls.get("job", ALWAYS)}, stalls.get("o", ALWAYS), memory)
    if len(cases) == 1 and not stalls:
        _check_total(params, cases[0], hw, beats)
    return _as_bits(params, jobs, memory, beats, stalls)


def in_a_row(params: EngineParams, cases: Sequence[Case], hw: HwConfig, wanted: Sequence[Early]) -> dict[str, Pattern]:
    """What the memory offers jobs that wait for each other's results, each written as soon as the engine takes it.
    Raises AssertionError where the total of a job in a report is not every beat's."""
    closed = closed_form.in_a_row([(Task.of_job(case.job, params), case.limit) for case in cases], hw, wanted)
    memory = RestartedMemory(Memory.of(hw).patterns) if hw.memory is None else PortMemory(hw)
    jobs = [case.job for case in cases]
    beats = timing(params, jobs, memory=memory, early=[early for _, early in closed])
    ends = np.cumsum([len(case.beats["o"]["end"]) for case in cases]) - 1
    found = [cycles.total - cycles.wait_dram_bytes for cycles, _ in closed]
    own = np.diff(beats.outputs[ends], prepend=-1)
    assert np.array_equal(found, own), f"{hw}: {[case.name for case in cases]}: {found}, {own.tolist()}"
    return _as_bits(params, jobs, memory, beats, {})


def in_a_row_under(params: EngineParams, cases: Sequence[Case], stalls: Mapping[str, Pattern], wanted: Sequence[Early]
                   ) -> dict[str, Pattern]:
    """The same under stalls of every stream, which count anew with every job's results."""
    memory, jobs = RestartedMemory({name: stalls[name] for name in STREAMS}), [case.job for case in cases]
    rest = {name: stalls[name] for name in ("job", "o")}
    beats = timing(params, jobs, {"job": rest["job"]}, rest["o"], memory, early=wanted)
    return _as_bits(params, jobs, memory, beats, rest)


def _as_bits(params: EngineParams, jobs: Sequence[EngineJob], memory: PortMemory | RestartedMemory, beats: EngineTiming,
             stalls: Mapping[str, Pattern]) -> dict[str, Pattern]:
    """Patterns of all streams. Raises AssertionError where bits do not do what the memory does."""
    job, ready = (stalls.get(name, ALWAYS) for name in ("job", "o"))
    found = {"job": job, **offers(memory)}
    for name, taken in timing(params, jobs, found, ready).streams.items():
        assert np.array_equal(taken, beats.streams[name]), f"{name}: the bits are not those of the memory"
    return {**found, "o": ready}


def _check_total(params: EngineParams, case: Case, hw: HwConfig, beats: EngineTiming) -> None:
    """The closed form's total is that of every beat."""
    closed = closed_form.simulate(Task.of_job(case.job, params), hw, case.limit)
    assert closed.total - closed.wait_dram_bytes == beats.cycles, f"{hw}: {case.name}: {closed}, {beats.cycles}"
