"""Which token goes into which super-tile, row slot and array tile (docs/contract.md §4, "Super-tile").

A super-tile is a rectangle of whole Haar tiles: a run of them in 1-D; in 2-D whole tile rows, or a part of one tile
row. So it is a run of Haar tiles in raster order, and its inverse lifting is an ordinary job on a rectangle.

A row slot holds one 8-bit token or two 4-bit ones. Rows are handed out in order of arrival (sinks, then the order in
which coefficients leave the lifting unit): an 8-bit token takes the next row; a 4-bit token takes the open half row if
there is one, else the next row, whose other half it leaves open. So n8 and n4 tokens take n8 + ceil(n4 / 2) rows and
ceil(rows / R) array tiles.

A scheme without transform has Haar tiles of one token. To compare schemes on equal terms the size limit is an
argument in *tokens*: every scheme gets the one that the transform's tiles call for (`token_limit`), and takes less
only where its rows do not fit the buffer. A size that was searched for (`sim.mapping`) takes the limit's place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from stamp_hw.config import ResolvedJob
from stamp_hw.errors import ConfigError
from stamp_hw.haar import Grid, band_shapes
from stamp_hw.haar_slots import chain_levels, forward

#: (width, height) in tokens of a full super-tile: the job registers `tile_width` and `tile_height`.
Size = tuple[int, int]

MIN_ARRAY_TILES = 16  # array tiles of a full super-tile at least: fill and weight loads hide under so much compute


class Array(Protocol):
    """What of the hardware decides the division: `HwConfig` and `EngineParams` have both."""

    @property
    def rows(self) -> int: ...

    @property
    def act_slots(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SuperTile:
    """One super-tile.

    `column`, `row`, `width`, `height` its rectangle in tokens (in 1-D one row); `first_tile`, `haar_tiles` number of
    its first Haar tile in raster order and how many; `tokens` = width · height (sinks excluded); `n8`, `n4` tokens of
    each class, sinks included; `order` int64[n8 + n4] its tokens in order of arrival (sinks 0…n_sink − 1, then
    coefficient index + n_sink); `rows` int64[rows, 2] the tokens of each row slot, −1 where there is none; `ready`
    int64[array tiles] index into `order` of the token that completes each array tile.
    """

    column: int
    row: int
    width: int
    height: int
    first_tile: int
    haar_tiles: int
    n8: int
    n4: int
    order: np.ndarray
    rows: np.ndarray
    ready: np.ndarray

    @property
    def tokens(self) -> int:
        return self.width * self.height

    @property
    def array_tiles(self) -> int:
        """ceil(rows / R): times that the array runs for one column tile."""
        return len(self.ready)


def token_limit(job: ResolvedJob, hw: Array) -> int:
    """Tokens of a full super-tile of this job: 2R · max(T, 16), T tokens a Haar tile (2^levels, 4^levels in 2-D)."""
    return 2 * hw.rows * max(1 << chain_levels(job.levels, job.grid), MIN_ARRAY_TILES)


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


def half_rows(job: ResolvedJob) -> np.ndarray:
    """Half row slots that each Haar tile takes, the sinks in the first: int64[tile rows, tiles of a row]. An 8-bit
    token fills two, a 4-bit token one, so that a super-tile of them takes ceil(half rows / 2) row slots."""
    return _half_rows(job.tokens, job.grid, job.levels, job.n_hi, job.n_sink)


@lru_cache(maxsize=256)
def _half_rows(tokens: int, grid: Grid | None, levels: int, n_hi: int, n_sink: int) -> np.ndarray:
    down, across = _tiles(tokens, grid, levels)
    bits = np.where(np.arange(tokens) < n_hi, 2, 1)
    halves = np.bincount(haar_tile_of(tokens, levels, grid), bits, down * across).astype(np.int64)
    halves[0] += 2 * n_sink
    halves.flags.writeable = False  # remembered, so nobody may write to it
    return halves.reshape(down, across)


def _tiles(tokens: int, grid: Grid | None, levels: int) -> tuple[int, int]:
    """(tile rows, tiles of a row)."""
    height, width = (1, tokens) if grid is None else grid
    return 1 if grid is None else -(-height >> levels), -(-width >> levels)


def tile_size(job: ResolvedJob, hw: Array, limit: int | Size) -> Size:
    """(width, height) in tokens of a full super-tile, multiples of the Haar tile's side (height 1 in 1-D).

    Whole tile rows where one fits, as many as fit; else the largest part of a tile row; evenly divided. It fits if for
    every super-tile n8 + ceil(n4 / 2) ≤ `act_slots` rows, positions (Haar tiles times T, and the sinks in the first)
    are at most 2 · `act_slots`, and tokens (sinks excluded) at most `limit`, which a single Haar tile may exceed.

    A size in place of the limit is taken as it is, if it fits and is of whole tile rows or a part of one.

    Raises
    ------
    ConfigError : a single Haar tile (with the sinks, in the first) does not fit the buffer; a size that the engine
        would refuse or that does not fit
    """
    if isinstance(limit, int):
        return _tile_size(job.tokens, job.grid, job.levels, job.n_hi, job.n_sink, hw.act_slots, limit)
    _check_size(job, hw, limit)
    return limit


def _check_size(job: ResolvedJob, hw: Array, size: Size) -> None:
    """Raise ConfigError for a size that is no rectangle of whole Haar tiles of this job, or that does not fit."""
    wide, high = size
    side, (down, across) = 1 << job.levels, _tiles(job.tokens, job.grid, job.levels)
    side_y = 1 if job.grid is None else side
    if not (0 < wide <= across * side and wide % side == 0 and 0 < high <= down * side_y and high % side_y == 0
            and (wide == across * side or high == side_y)):
        raise ConfigError("no super-tile of this job", where="super-tile", got=f"{wide}x{high}",
                          expected=f"a multiple of {side}, up to {across * side}, by {side_y}" + (
                              "" if job.grid is None else f", or {across * side} by a multiple of {side_y}"))
    # Sums over whole tile rows or over parts of each; the other axis is not divided.
    count, halves = (high // side_y, half_rows(job).sum(axis=1)) if wide == across * side else (
        wide // side, half_rows(job))
    most = int(np.add.reduceat(halves, np.arange(0, halves.shape[-1], count), axis=-1).max())
    held = wide // side * high // side_y
    need = max(-(-most // 2), -(-((held << chain_levels(job.levels, job.grid)) + job.n_sink) // 2))
    if need > hw.act_slots:
        raise ConfigError("a super-tile does not fit the activation buffer", where="super-tile", got=f"{wide}x{high}",
                          expected=f"at most hw.act_slots = {hw.act_slots} row slots, not {need}")


@lru_cache(maxsize=256)
def _tile_size(tokens: int, grid: Grid | None, levels: int, n_hi: int, n_sink: int, act_slots: int,
               limit: int) -> Size:
    height, width = (1, tokens) if grid is None else grid
    size, side = 1 << chain_levels(levels, grid), 1 << levels
    high = 1 if grid is None else side
    halves = _half_rows(tokens, grid, levels, n_hi, n_sink)
    down, across = halves.shape
    room = 2 * act_slots
    tiles = (room - n_sink) // size
    most = min(down, tiles // across, limit // (high * width) if limit < height * width else down)
    count = _largest(halves.sum(axis=1), most, room)
    if count:
        return across * side, count * high
    most = min(across - 1, tiles, max(1, limit // (side * min(high, height))))
    count = _largest(halves, most, room)
    if not count and across == 1:  # limit < one Haar tile, which is a whole tile row
        count = _largest(halves, min(1, tiles), room)
    if not count:
        rows = -(-int(halves.max()) // 2)
        raise ConfigError("a Haar tile does not fit the activation buffer", where="hw.act_slots", got=act_slots,
                          expected=f"at least {max(rows, -(-(size + n_sink) // 2))} row slots, or fewer levels")
    return count * side, high


def _largest(halves: np.ndarray, most: int, room: int) -> int:
    """The largest number, at most `most`, of elements along the last axis such that every run of so many sums to at
    most `room`, made smaller where that leaves no short last run and no more runs; 0 if there is none."""
    length = halves.shape[-1]

    def fits(count: int) -> bool:
        return int(np.add.reduceat(halves, np.arange(0, length, count), axis=-1).max()) <= room

    # What fits from the first element on bounds the answer, so that the search starts close to it.
    bound = int(np.searchsorted(np.cumsum(halves.reshape(-1, length)[0]), room, side="right"))
    for count in range(min(most, bound), 0, -1):
        if fits(count):
            # A short last super-tile would wait for the inverse lifting of the long ones before it.
            even = -(-length // -(-length // count))
            return even if fits(even) else count
    return 0


def split(job: ResolvedJob, hw: Array, limit: int | Size) -> tuple[SuperTile, ...]:
    """The super-tiles of a job in raster order; sinks ride in the first.

    Parameters
    ----------
    job : resolved numbers of the job
    hw : gives R and the row slots of half the activation buffer
    limit : tokens of a super-tile, or its size, see `tile_size`

    Raises
    ------
    ConfigError : see `tile_size`
    """
    return divide(job, *tile_size(job, hw, limit), hw.rows)


def divide(job: ResolvedJob, wide: int, high: int, array_rows: int) -> tuple[SuperTile, ...]:
    """The super-tiles of `wide` x `high` tokens of a job (multiples of the Haar tile's side; the last ones of a row or
    column hold what is left) for an array of `array_rows` rows. Repeated jobs are remembered.
    """
    return _divide(job.tokens, job.grid, job.levels, job.n_hi, job.n_sink, wide, high, array_rows)


@lru_cache(maxsize=64)
def _divide(tokens: int, grid: Grid | None, levels: int, n_hi: int, n_sink: int, wide: int, high: int,
            array_rows: int) -> tuple[SuperTile, ...]:
    height, width = (1, tokens) if grid is None else grid
    side = 1 << levels
    across = -(-width // side)
    side_y = 1 if grid is None else side
    coefs = forward(tokens, levels, grid).coef
    coefs = coefs[coefs >= 0].astype(np.int64)
    tile = haar_tile_of(tokens, levels, grid)
    number = tile // across * side_y // high * -(-width // wide) + tile % across * side // wide
    # Stable: tokens of a super-tile stay in order of arrival.
    by_part = coefs[np.argsort(number[coefs], kind="stable")]
    corners = [(x, y) for y in range(0, height, high) for x in range(0, width, wide)]
    bounds = np.searchsorted(number[by_part], np.arange(len(corners) + 1))
    parts = []
    for index, (x, y) in enumerate(corners):
        inside = by_part[bounds[index] : bounds[index + 1]]
        order = np.concatenate([np.arange(n_sink if index == 0 else 0), inside + n_sink])
        eight = order < n_hi + n_sink
        rows, ready = _rows(order, eight, array_rows)
        for shared in (order, rows, ready):  # remembered, so nobody may write to them
            shared.flags.writeable = False
        n8 = int(np.count_nonzero(eight))
        w, h = min(wide, width - x), min(high, height - y)
        parts.append(SuperTile(
            column=x, row=y, width=w, height=h, first_tile=y // side_y * across + x // side,
            haar_tiles=-(-w // side) * -(-h // side_y), n8=n8, n4=len(order) - n8, order=order, rows=rows, ready=ready))
    return tuple(parts)


def _rows(order: np.ndarray, eight: np.ndarray, array_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(`rows`, `ready`) of tokens in order of arrival; `eight` tells which take 8 bits."""
    second = ~eight & (np.cumsum(~eight) % 2 == 0)  # the 4-bit tokens that find an open half row
    row = np.cumsum(~second) - 1
    fours = np.flatnonzero(~eight)
    row[fours[1::2]] = row[fours[: len(fours) // 2 * 2 : 2]]
    count = int(np.count_nonzero(~second))
    rows = np.full((count, 2), -1, np.int64)
    rows[row, second.astype(np.int64)] = order
    # Rows that do not exist, and a half row that stays open, wait for the super-tile's last token.
    full = np.full(-(-count // array_rows) * array_rows, len(order) - 1)
    full[row[eight]] = np.flatnonzero(eight)
    full[row[fours[1::2]]] = fours[1::2]
    return rows, full.reshape(-1, array_rows).max(axis=1)
