"""What makes an array tile take longer than its steps, the way of its sums out of the array, and which `rescale_lanes`
would let them out in time (docs/contract.md §4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """Of array tiles of `steps` steps: `cycles` from a tile's last step to the next one's when nothing else waits;
    the least number of rescale `lanes` with which that is as short as it can be, and how many cycles it `then` is: the
    steps alone, or more where the way through the array is longer than they are."""

    steps: int
    cycles: int
    lanes: int
    then: int


def relief(steps: int, hw: HwConfig) -> Relief:
    """Tiles of so many steps on this hardware. More lanes never make a tile longer."""
    def cycles(lanes: int) -> int:
        return EngineParams.of(replace(hw, rescale_lanes=lanes)).tile_cycles(steps)[1]

    then = cycles(hw.cols)
    divisors = (count for count in range(hw.drain_lanes, hw.cols + 1) if hw.cols % count == 0)
    lanes = next(count for count in divisors if cycles(count) == then)
    return Relief(steps=steps, cycles=cycles(hw.drain_lanes), lanes=lanes, then=then)
