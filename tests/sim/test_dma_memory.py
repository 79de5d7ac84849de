"""The memory behind the AXI bus (sim/dma/memory.py) against one that keeps lists of words and looks at each in every
cycle."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from sim.dma.memory import Memory, MemoryLaw
from sim.port import TICKS
from stamp_hw.config import HwConfig
from stamp_hw.errors import ConfigError


def law(rng: np.random.Generator) -> MemoryLaw:
    return MemoryLaw(read_ticks=int(rng.integers(TICKS, 4 * TICKS)), write_ticks=int(rng.integers(TICKS, 4 * TICKS)),
                     latency=int(rng.integers(20 * TICKS)), response=int(rng.integers(20 * TICKS)),
                     read_bursts=int(rng.integers(1, 5)), write_bursts=int(rng.integers(1, 5)),
                     write_words=int(rng.integers(1, 5)), one_port=bool(rng.integers(2)))


class Plain:
    """Every word with the tick of its end, as the contract says it."""

    def __init__(self, law: MemoryLaw) -> None:
        self.law = law
        self.words: list[tuple[str, int, int]] = []  # (way, end, burst)
        self.bursts = {"read": 0, "write": 0}
        self.sizes: dict[tuple[str, int], int] = {}

    def move(self, way: str, cycle: int, burst: int) -> int:
        ends = [end for other, end, _ in self.words if self.law.one_port or other == way]
        ticks = self.law.read_ticks if way == "read" else self.law.write_ticks
        self.words.append((way, max([*ends, TICKS * (cycle + 1)]) + ticks, burst))
        return self.words[-1][1]

    def lacking(self, way: str, cycle: int) -> int:
        """Bursts whose last word, or whose response, comes in this cycle or later, or that are not whole."""
        late = self.law.latency if way == "read" else self.law.response
        found = 0
        for burst in range(self.bursts[way]):
            ends = [end for other, end, number in self.words if (other, number) == (way, burst)]
            whole = len(ends) == self.sizes[way, burst]
            found += not whole or math.ceil((max(ends) + late) / TICKS) >= cycle
        return found

    def waiting(self, cycle: int) -> int:
        return sum(way == "write" and end > TICKS * cycle for way, end, _ in self.words)


def test_bursts_and_words_come_as_the_contract_says(rng: np.random.Generator) -> None:
    for _ in range(40):
        one = law(rng)
        memory, plain = Memory(one), Plain(one)
        left: list[int] = []  # words of the bursts to be written that have not come
        number = 0  # of the first of them
        for cycle in range(150):
            assert memory.ar_ready(cycle) == (plain.lacking("read", cycle) < one.read_bursts)
            assert memory.aw_ready(cycle) == (plain.lacking("write", cycle) < one.write_bursts)
            assert memory.w_ready(cycle) == (bool(left) and plain.waiting(cycle) < one.write_words)
            takes = rng.random(3) < 0.5, memory.ar_ready(cycle), memory.aw_ready(cycle), memory.w_ready(cycle)
            if takes[0][0] and takes[1]:
                words, burst = int(rng.integers(1, 6)), plain.bursts["read"]
                plain.bursts["read"] += 1
                plain.sizes["read", burst] = words
                wanted = [math.ceil((plain.move("read", cycle, burst) + one.latency) / TICKS) for _ in range(words)]
                assert memory.ar(cycle, words) == wanted
            if takes[0][1] and takes[2]:
                left.append(int(rng.integers(1, 6)))
                plain.sizes["write", plain.bursts["write"]] = left[-1]
                plain.bursts["write"] += 1
                memory.aw()
            if takes[0][2] and takes[3]:
                end, last = plain.move("write", cycle, number), left[0] == 1
                assert memory.w(cycle, last) == (math.ceil((end + one.response) / TICKS) if last else None)
                left[0] -= 1
                if last:
                    left.pop(0)
                    number += 1


def test_of_a_port_both_ways_have_its_rate_and_latency() -> None:
    assert MemoryLaw.of(HwConfig(), 16) == MemoryLaw()
    hw = HwConfig(memory="LPDDR4", freq_hz=1e9)
    assert hw.memory is not None
    found = MemoryLaw.of(hw, 64)
    cycles = 64 / (hw.memory.bytes_per_s * hw.memory.efficiency / 1e9)
    assert found.one_port and found.read_ticks == found.write_ticks == math.ceil(TICKS * cycles) > TICKS
    assert found.latency == found.response == math.ceil(TICKS * hw.memory.latency_ns)


@pytest.mark.parametrize("name", [item.name for item in fields(MemoryLaw) if item.name != "one_port"])
def test_a_law_that_no_memory_keeps_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"MemoryLaw.{name}"):
        replace(MemoryLaw(), **{name: -1})
