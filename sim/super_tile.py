"""Which token goes into which super-tile, row slot and array tile (docs/contract.md §4, "Super-tile").

A super-tile is a run of Haar tiles whose rows fit one half of the activation buffer. A row slot holds one 8-bit token
or two 4-bit ones; inside a super-tile the 8-bit tokens stand in front (sinks first), both classes in coefficient
order, and an odd last 4-bit token has an empty partner. So n8 and n4 tokens take n8 + ceil(n4 / 2) rows and ceil(rows
/ R) array tiles.

A scheme without transform has Haar tiles of one token. To compare schemes on equal terms the size limit is an
argument in *tokens*: every scheme gets the one that the transform's tiles call for (`token_limit`), and takes less
only where its rows do not fit the buffer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stamp_hw.config import HwConfig, ResolvedJob
from stamp_hw.errors import ConfigError
from stamp_hw.haar import Grid, band_shapes
from stamp_hw.haar_slots import chain_levels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SuperTile:
    """One super-tile.

    `rows` int64[rows, 2]: the tokens of each row slot (sinks 0…n_sink − 1, then coefficient index + n_sink), −1 where
    there is none; `n8`, `n4` tokens of each class; `first_tile`, `haar_tiles` number of its first Haar tile and how
    many; `tokens` tokens of those (sinks excluded).
    """

    rows: np.ndarray
    n8: int
    n4: int
    first_tile: int
    haar_tiles: int
    tokens: int

    def array_tiles(self, array_rows: int) -> int:
        """ceil(rows / R): times that the array runs for one column tile."""
        return -(-len(self.rows) // array_rows)


def token_limit(job: ResolvedJob, hw: HwConfig) -> int:
    """Tokens of a full super-tile of this job: 2R Haar tiles of 2^levels tokens (4^levels in 2-D)."""
    return 2 * hw.rows << chain_levels(job.levels, job.grid)


def haar_tile_of(tokens: int, levels: int, grid: Grid | None) -> np.ndarray:
    """Number of the Haar tile, in raster order of tiles, of every coefficient: int64[tokens]."""
    height, width = (1, tokens) if grid is None else grid
    across = (width + (1 << levels) - 1) >> levels
    parts = []
    for band, (rows, columns) in enumerate(band_shapes(levels, (height, width))):
        # LL and the first three bands are of the coarsest level, where a tile is one coefficient.
        shift = max(0, (band - 1) // 3)
        row, column = np.arange(rows) >> shift, np.arange(columns) >> shift
        parts.append((row[:, None] * across + column[None, :]).ravel())
    return np.concatenate(parts)


def split(job: ResolvedJob, hw: HwConfig, limit: int) -> tuple[SuperTile, ...]:
    """The super-tiles of a job, in order.

    Parameters
    ----------
    job : resolved numbers of the job
    hw : gives R and the row slots of half the activation buffer
    limit : tokens of a super-tile, rounded down to whole Haar tiles, at least one

    All super-tiles but the last hold the same number of Haar tiles: the largest within `limit` for which the rows of
    each of them fit `act_slots`. Sinks ride in the first.

    Raises
    ------
    ConfigError : a single Haar tile (with the sinks, in the first) does not fit the buffer
    """
    tile = haar_tile_of(job.tokens, job.levels, job.grid)
    high = np.arange(job.tokens) < job.n_hi
    count = int(tile.max()) + 1
    # Half rows: an 8-bit token fills two, a 4-bit token one, so that rows = ceil(half rows / 2).
    halves = np.concatenate([[0], np.cumsum(np.bincount(tile, np.where(high, 2, 1), count).astype(np.int64))])
    halves[1:] += 2 * job.n_sink
    size = _tiles_each(halves, max(1, limit >> chain_levels(job.levels, job.grid)), hw.act_slots)
    # Stable: tokens of a super-tile stay in coefficient order.
    order = np.argsort(tile // size, kind="stable")
    bounds = np.searchsorted((tile // size)[order], np.arange(-(-count // size) + 1))
    parts = []
    for index in range(len(bounds) - 1):
        coefs = order[bounds[index] : bounds[index + 1]]
        sinks = np.arange(job.n_sink if index == 0 else 0)
        n_high = int(np.searchsorted(coefs, job.n_hi))
        eight = np.concatenate([sinks, coefs[:n_high] + job.n_sink])
        four = coefs[n_high:] + job.n_sink
        rows = np.full((len(eight) + -(-len(four) // 2), 2), -1, np.int64)
        rows[: len(eight), 0] = eight
        rows[len(eight) :].reshape(-1)[: len(four)] = four
        parts.append(SuperTile(rows=rows, n8=len(eight), n4=len(four), tokens=len(coefs),
                               first_tile=index * size, haar_tiles=min(size, count - index * size)))
    return tuple(parts)


def _tiles_each(halves: np.ndarray, limit: int, slots: int) -> int:
    """The largest number of Haar tiles, at most `limit`, such that every run of that many fits `slots` rows."""
    count = len(halves) - 1
    # What fits from the first tile on bounds the answer, so that the search below starts close to it.
    size = min(limit, count, int(np.searchsorted(halves, 2 * slots, side="right")) - 1)
    while size > 0:
        edges = halves[np.minimum(np.arange(0, count + size, size), count)]
        if int(np.diff(edges).max()) <= 2 * slots:
            return size
        size -= 1
    raise ConfigError("a Haar tile does not fit the activation buffer", where="hw.act_slots", got=slots,
                      expected=f"at least {-(-int(np.diff(halves).max()) // 2)} row slots, or fewer levels")
