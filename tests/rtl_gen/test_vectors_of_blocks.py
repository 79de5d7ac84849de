"""Delivered vectors of units that are others with a scale a block: gates of the unit do what they say."""

from __future__ import annotations

import pytest

from rtl_gen.asic.characterize import characterize
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.parts import parts
from stamp_hw.config import NpuConfig
from tests.support.asic_cases import five

SMALL = NpuConfig.from_dict({"hw": {"rows": 2, "cols": 2, "lanes": 2, "acc_width": 24, "max_k": 64, "mul_stages": 1,
                                    "max_tokens": 64, "act_slots": 64, "axes": 1, "max_levels": 3, "in_width": 8,
                                    "block": 8}})


@pytest.mark.rtl
@pytest.mark.long
@pytest.mark.parametrize("block", ["combine", "rescale"])
def test_a_unit_behind_blocks_does_what_its_vectors_say(block: str) -> None:
    (part,) = parts(SMALL, block)
    assert characterize(part, five(), Wires(ff=1.0)).cycles > 32
