"""The list of on-chip memories (`sim.banks`) is that of the generated Verilog."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from rtl_gen.engine.top import Engine
from rtl_gen.verilog.emit import verilog
from sim.banks import banks, total_bytes
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.rooms import HOME
from tests.support import memories

TOP = "stamp_engine"
SHIPPED = ("default", "fpga", "image", "language")
LONG = ("default", "image")  # whose Verilog takes long; two of the four are looked at in every run
ALWAYS_READ = ("factor_buffer", "bias_buffer")  # whose words change with every beat


def of_the_list(hw: HwConfig) -> Counter[tuple[str, int, int]]:
    """(Name, words, bits) → banks."""
    return Counter({(one.name, one.words, one.bits): one.count for one in banks(hw)})


def of_the_verilog(hw: HwConfig) -> Counter[tuple[str, int, int]]:
    """The same of what is generated; each memory has one read and one write port."""
    files = verilog(Engine(EngineParams.of(hw)), TOP)
    found: Counter[tuple[str, int, int]] = Counter()
    for module, count in memories.instances(files, TOP).items():
        for one in memories.declared(module, files[f"{module}.v"]):
            assert len(one.reads) == len(one.writes) == 1, (module, one)
            assert one.reads != ("1",) or one.name in ALWAYS_READ, (module, one)
            found[one.name, one.words, one.bits] += count
    assert sum(text.count(" [0:") for text in files.values()) == sum(
        len(list(memories.declared(file.removesuffix(".v"), text))) for file, text in files.items())
    return found


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else [])
                                  for name in SHIPPED])
def test_the_list_of_a_shipped_configuration_is_that_of_its_verilog(name: str) -> None:
    hw = NpuConfig.load(HOME / f"configs/{name}.yaml").hw
    assert of_the_list(hw) == of_the_verilog(hw)


@pytest.mark.parametrize("number", range(8))
def test_the_list_of_any_hardware_is_that_of_its_verilog(number: int, rng: np.random.Generator) -> None:
    """Axes, packed weights and blocks by the bits of the number, a Hadamard unit for half of them; the rest drawn."""
    rotated = number in (1, 2, 4, 7)
    lanes, cols = int(rng.choice([1, 2, 4] if rotated else [1, 3, 5, 8])), int(rng.integers(1, 5))
    hw = HwConfig(
        rows=int(rng.integers(1, 5)), cols=cols, lanes=lanes, axes=1 + (number & 1), packed_weights=bool(number & 2),
        block=lanes * int(rng.integers(1, 9)) if number & 4 else None,
        hadamard=int(rng.choice([16, 64])) if rotated else None,
        max_levels=int(rng.integers(9)), max_k=int(rng.integers(64, 400)), max_tokens=int(rng.integers(1, 600)),
        act_slots=int(rng.integers(1, 90)), in_width=int(rng.integers(8, 17)),
        rescale_lanes=int(rng.choice([own for own in range(1, cols + 1) if cols % own == 0])))
    assert of_the_list(hw) == of_the_verilog(hw), hw
    assert any(one.name.startswith("hadamard") for one in banks(hw)) == rotated


def test_the_bytes_of_all_memories_are_those_of_the_verilog() -> None:
    hw = replace(HwConfig(), rows=2, cols=3, lanes=4, max_k=48, act_slots=9, max_tokens=64, block=8, hadamard=16)
    assert total_bytes(hw) == -(-sum(count * words * bits for (_, words, bits), count in of_the_verilog(hw).items())
                                // 8)
