"""What super-tiles hold, counted a token at a time: which Haar tile a coefficient depends on is asked of the transform
itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stamp_hw import haar, haar_slots
from stamp_hw.config import HwConfig, ResolvedJob


@dataclass(frozen=True)
class Count:
    """What a rectangle of Haar tiles holds."""

    n8: int
    n4: int
    tokens: int
    positions: int


def tiles_of(numbers: ResolvedJob) -> tuple[int, int, list[tuple[int, int]]]:
    """(tile rows, tiles a row, (tile row, tile column) of every coefficient), the tile whose tokens it depends on."""
    height, width = numbers.grid or (1, numbers.tokens)
    side = 1 << numbers.levels
    high = side if numbers.grid else 1
    impulses = haar.forward(np.eye(numbers.tokens, dtype=np.int32) << 12, numbers.levels, numbers.grid)
    places = []
    for row in impulses:
        (place,) = {(int(token) // width // high, int(token) % width // side) for token in np.flatnonzero(row)}
        places.append(place)
    return math.ceil(height / high), math.ceil(width / side), places


def counts(numbers: ResolvedJob, down: int, across: int) -> list[Count]:
    """What every super-tile of `down` x `across` Haar tiles holds, in raster order, the sinks in the first."""
    rows, columns, places = tiles_of(numbers)
    size = 1 << haar_slots.chain_levels(numbers.levels, numbers.grid)
    found = []
    for top in range(0, rows, down):
        for left in range(0, columns, across):
            inside = [index for index, (r, c) in enumerate(places)
                      if top <= r < top + down and left <= c < left + across]
            high = sum(index < numbers.n_hi for index in inside)
            sinks = 0 if top or left else numbers.n_sink
            tiles = (min(top + down, rows) - top) * (min(left + across, columns) - left)
            found.append(Count(n8=high + sinks, n4=len(inside) - high, tokens=len(inside),
                               positions=tiles * size + sinks))
    return found


def fits(numbers: ResolvedJob, hw: HwConfig, limit: int, down: int, across: int) -> bool:
    return all(part.n8 + math.ceil(part.n4 / 2) <= hw.act_slots and part.positions <= 2 * hw.act_slots
               and (part.tokens <= limit or down * across == 1) for part in counts(numbers, down, across))
