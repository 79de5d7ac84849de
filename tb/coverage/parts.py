"""Modules of a block that are another block, and are measured there.

The engine holds a Hadamard unit where it has one, a scale unit, an array, with blocks a combine unit, rescale units and
the unit that adds the bias exactly as they are on their own (`tests/tb/test_coverage.py` compares the Verilog). Their
own benches bring every stall and corner to them; the engine never stops the scale unit and those behind it, but the
last. The lifting units have logic that exists inside the engine alone, so there they are the engine's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PARTS: Mapping[str, Mapping[str, str]] = {  # block → module names, as a regular expression → the block that they are
    "engine": {
        r"stamp_engine_front_scale(_\w+)?": "scale",
        r"stamp_engine_front_hadamard(_\w+)?": "hadamard",
        r"stamp_engine_mac|stamp_mac_row|stamp_pe": "mac",
        r"stamp_engine_drain_combine|stamp_combine_column": "combine",
        r"stamp_engine_drain_rescale|stamp_rescale_lane": "rescale",
        r"stamp_engine_back_send_finish": "haar",
    },
    **dict.fromkeys(("axi", "dma"), {
        r"stamp_engine(_\w+)?|stamp_mac_row|stamp_pe|stamp_rescale_lane|stamp_combine_column|stamp_expand": "engine"}),
}


def part_of(block: str, module: str) -> str:
    """The block that measures this module of a build of `block`: itself, or the one whose part it is."""
    return next((part for names, part in PARTS.get(block, {}).items() if re.fullmatch(names, module)), block)
