"""External memories in front of the engine's bench: at a rate each stream has for itself, and behind one port.

The memory behind a port answers to the cycles in which beats are taken; the bench has patterns of bits. Its bits are
those of the cycles in which `sim.engine.port_streams` offers each beat. As long as the RTL takes every beat in the
cycle that is predicted, that memory would have offered just these; the first beat that it takes in another one is a
difference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.engine.port_streams import PortMemory
from stamp_hw.config import HwConfig
from stamp_hw.engine.wire import beat_bytes
from stamp_hw.memory_config import CUSTOM, MemoryConfig
from tb.bench.patterns import Pattern, listed

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
