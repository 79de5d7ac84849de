"""What the gates of an engine hang on (`HwConfig.gates`): a unit's Verilog is a function of its parameters, which every
key of it changes and no other."""

from __future__ import annotations

from typing import Any

import pytest

from rtl_gen.delivery.generate import unit_files
from rtl_gen.tops import BLOCKS, ENGINE_TOP, Unit
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


def engine() -> Unit:
    return next(unit for units in BLOCKS.values() for unit in units if unit.module == ENGINE_TOP)


def made_of(config: NpuConfig) -> Any:
    """What the engine's component is made of."""
    return engine().params(config.hw)


@pytest.mark.parametrize("key", OTHER)
def test_a_key_that_must_agree_changes_the_engine(key: str) -> None:
    assert made_of(CONFIG.with_hw(**{key: OTHER[key]})) != made_of(CONFIG)


@pytest.mark.parametrize("key", FREE)
def test_a_key_that_may_differ_does_not(key: str) -> None:
    assert made_of(CONFIG.with_hw(**{key: FREE[key]})) == made_of(CONFIG)


def test_no_text_of_it_says_what_is_around() -> None:
    """The two that are nearest: a DMA and the beats of the AXI tops, of the smallest engine."""
    small = CONFIG.with_hw(hadamard=None, block=None)
    assert unit_files(engine(), small.with_hw(pad_beats=True, bus_width=64)) == unit_files(engine(), small)


def test_every_key_is_one_or_the_other() -> None:
    assert set(OTHER) == set(CONFIG.hw.gates) and set(FREE) == set(AROUND)
