"""Hardware with a DMA, drawn, for the bench of cycles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stamp_hw.config import HwConfig
from stamp_hw.dma.params import MAX_BURST, PAGE_BYTES, DmaParams
from stamp_hw.engine.params import EngineParams
from stamp_hw.hw_config import BUS_WIDTHS


def draw_params(rng: np.random.Generator) -> DmaParams:
    """Small hardware of any kind: axes, Hadamard unit, blocks, packed weights, beats that do not divide the bus's word;
    queues from one burst on, so that streams run dry and full."""
    cols, lanes = int(rng.choice([1, 2, 3, 6, 8])), int(rng.choice([1, 2, 3, 4, 8]))
    hw = HwConfig(
        rows=int(rng.integers(1, 4)), cols=cols, lanes=lanes, axes=int(rng.integers(1, 3)), max_levels=4, max_k=48,
        max_tokens=64, act_slots=int(rng.integers(8, 41)), in_width=int(rng.choice([8, 12, 16])), acc_width=32,
        rescale_lanes=int(rng.choice([count for count in range(1, cols + 1) if cols % count == 0])),
        mul_stages=int(rng.integers(1, 4)), packed_weights=bool(rng.integers(2)))
    if lanes & (lanes - 1) == 0 and rng.integers(2):
        hw = replace(hw, hadamard=16)
    if rng.integers(2):
        hw = replace(hw, block=lanes * int(rng.integers(1, 1 + 32 // lanes)))
    bus_width = int(rng.choice(BUS_WIDTHS))
    longest = min(MAX_BURST, 8 * PAGE_BYTES // bus_width).bit_length() - 1
    burst = 1 << int(rng.integers(1, min(longest, 5) + 1))
    return DmaParams(engine=EngineParams.of(hw), bus_width=bus_width, address_width=int(rng.integers(32, 57)),
                     burst_words=burst, fifo_words=burst << int(rng.integers(4)))
