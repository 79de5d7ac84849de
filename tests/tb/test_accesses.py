"""Accesses of the on-chip memories (`sim.on_chip`) against counters at the ports of the memories in the RTL."""

from __future__ import annotations

import re
import shutil

import pytest

from tb.run.block import fresh_seed, run_block
from tb.run.fault import Fault
from tests.support import memories, pilot_accesses

#: Read with an enable of their own; the others' stays high while nobody asks.
ENABLED = ("activation_low", "activation_high", "weight_buffer", "ring_buffer", *(
    f"{unit}_{line}" for unit in ("lifting", "inverse") for line in ("wait", "even", "odd", "cross")))
COUNTERS = Fault(name="counters", block="engine", why="a counter at every port of a memory", edit=memories.counting)


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["2x2", "4x4 blocks", pytest.param("two_blocks", marks=pytest.mark.long),
                                  pytest.param("rotated", marks=pytest.mark.long)])
def test_memories_of_the_rtl_are_read_and_written_as_often_as_the_model_says(name: str) -> None:
    seed = fresh_seed()
    result = run_block("engine", name, seed, fault=COUNTERS, bench=pilot_accesses, words=1, check=False)
    (failure,) = result.failed
    expected = {(memory, kind): int(count)
                for memory, kind, count in re.findall(r"(\w+) (read|written) (\d+)", failure.message)}
    assert expected, f"{failure.message}; seed {seed}"
    found = memories.counted(result.log.read_text(encoding="utf-8", errors="replace"))
    shutil.rmtree(result.log.parent)
    assert expected.keys() == found.keys()
    for (memory, kind), count in expected.items():
        if kind == "written" or memory in ENABLED:
            assert count == found[memory, kind], (memory, kind, f"seed {seed}")
        else:
            assert count <= found[memory, kind], (memory, kind, f"seed {seed}")
    assert sum(count == 0 for count in expected.values()) < len(expected) // 4
