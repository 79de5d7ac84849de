"""What the gates of an engine hang on (`HwConfig.gates`): every key of it changes the Verilog of a unit, no other does."""

from __future__ import annotations

from typing import Any

import pytest

from rtl_gen.delivery.generate import unit_files
from rtl_gen.tops import BLOCKS, ENGINE_TOP
from stamp_hw.config import NpuConfig
from stamp_hw.hw_config import AROUND

pytestmark = pytest.mark.rtl
#: Small, with everything that an engine may have.
CONFIG = NpuConfig().with_hw(rows=2, cols=2, lanes=2, max_k=64, max_tokens=64, act_slots=8, rescale_lanes=1,
                             hadamard=16, block=4, acc_width=28)
OTHER = {"rows": 4, "cols": 4, "lanes": 4, "axes": 1, "max_levels": 4, "max_k": 128, "max_tokens": 128, "act_slots": 16,
         "rescale_lanes": 2, "in_width": 12, "acc_width": 32, "recip_frac": 4, "z_frac": 2, "mul_stages": 3, "block": 8,
         "packed_weights": True, "hadamard": 64, "dsp": "ecp5", "multiplier": "split"}
FREE = {"pad_beats": True, "bus_width": 64, "freq_hz": 1e9, "dram_bytes_per_s": 1e9, "memory": "LPDDR5",
        "technology": "another"}


def engine(config: NpuConfig) -> dict[str, str]:
    unit = next(unit for units in BLOCKS.values() for unit in units if unit.module == ENGINE_TOP)
    return dict(unit_files(unit, config))


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return engine(CONFIG)


@pytest.mark.parametrize("key", OTHER)
def test_a_key_that_must_agree_changes_a_unit(key: str, before: dict[str, str]) -> None:
    assert engine(CONFIG.with_hw(**{key: OTHER[key]})) != before


@pytest.mark.parametrize("key", FREE)
def test_a_key_that_may_differ_changes_none(key: str, before: dict[str, str]) -> None:
    assert engine(CONFIG.with_hw(**{key: FREE[key]})) == before


def test_every_key_is_one_or_the_other() -> None:
    known: dict[str, Any] = CONFIG.hw.gates
    assert set(OTHER) == set(known) and set(FREE) == set(AROUND)
