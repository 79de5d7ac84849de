"""What the number of 8-bit tokens does to the rows of the array.

How many tokens take 8 bits is accuracy's business, and no mapping changes it. But an array tile holds R row slots, so
that one token more or fewer at 8 bits may cost a tile or none at all: 64 tokens with two of 8 bits are 33 rows, two
tiles of an array of 32 rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stamp_hw.config import HwConfig, ResolvedJob
from stamp_hw.engine import super_tile
from stamp_hw.engine.super_tile import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """A job's `n_hi` in super-tiles of one size: `array_tiles` of a column tile; `fewer` the most 8-bit tokens that
    take fewer of them, which are `fewer_tiles`, None where no number does; `as_many` the most that take no more and
    fit the buffer."""

    n_hi: int
    array_tiles: int
    fewer: int | None
    fewer_tiles: int | None
    as_many: int


def precision(job: ResolvedJob, hw: HwConfig, size: Size) -> Precision:
    """Of a job in super-tiles of a size that fits. Rows grow with the number of 8-bit tokens, so halving finds both."""
    now, _ = _rows(job, hw, size)

    def most(low: int, high: int, tiles: int) -> int:
        """The largest number in low…high that takes at most so many tiles and fits; low does."""
        while low < high:
            middle = (low + high + 1) // 2
            count, fits = _rows(replace(job, n_hi=middle), hw, size)
            low, high = (middle, high) if fits and count <= tiles else (low, middle - 1)
        return low

    least, _ = _rows(replace(job, n_hi=0), hw, size)
    fewer = most(0, job.n_hi, now - 1) if least < now else None
    return Precision(n_hi=job.n_hi, array_tiles=now, as_many=most(job.n_hi, job.tokens, now), fewer=fewer,
                     fewer_tiles=None if fewer is None else _rows(replace(job, n_hi=fewer), hw, size)[0])


def _rows(job: ResolvedJob, hw: HwConfig, size: Size) -> tuple[int, bool]:
    """(array tiles of a column tile, whether every super-tile's rows fit)."""
    halves = super_tile.half_rows(job)
    down, across = halves.shape
    wide, high = size[0] >> job.levels, size[1] if job.grid is None else size[1] >> job.levels
    lines = np.add.reduceat(halves, np.arange(0, down, high), axis=0)
    sums = np.add.reduceat(lines, np.arange(0, across, wide), axis=1)
    slots = -(-sums // 2)
    return int((-(-slots // hw.rows)).sum()), bool((slots <= hw.act_slots).all())
