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
from sim.engine.closed_form import simulate
from sim.engine.port_streams import PortMemory
from sim.engine.timing import EngineTiming, timing
from sim.task import Task
from stamp_hw.config import HwConfig
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


def offers(memory: PortMemory) -> dict[str, Pattern]:
    """Of each stream behind the port, whose jobs were followed: 1 in the cycles from which a beat is offered."""
    found = {}
    for name, stream in memory.streams.items():
        bits = np.zeros(stream.offered[-1] + 1, np.int8)
        bits[stream.offered] = 1
        found[name] = listed(bits, f"port{len(bits)}")
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
    job, ready = (stalls.get(name, ALWAYS) for name in ("job", "o"))
    beats = timing(params, jobs, {"job": job}, ready, memory)
    if len(cases) == 1 and not stalls:
        _check_total(params, cases[0], hw, beats)
    found = {"job": job, **offers(memory)}
    for name, taken in timing(params, jobs, found, ready).streams.items():
        assert np.array_equal(taken, beats.streams[name]), f"{name}: the bits are not the memory {hw.memory}"
    return {**found, "o": ready}


def _check_total(params: EngineParams, case: Case, hw: HwConfig, beats: EngineTiming) -> None:
    """The closed form's total is that of every beat."""
    closed = simulate(Task.of_job(case.job, params), hw, case.limit)
    assert closed.total - closed.wait_dram_bytes == beats.cycles, f"{hw}: {case.name}: {closed}, {beats.cycles}"
