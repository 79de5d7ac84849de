"""Every division of a layer into super-tiles that the engine takes, as counts: what bytes, events and bounds need of
it, without the super-tiles themselves.

A super-tile is a run of whole tile rows or a part of one (`stamp_hw.engine.super_tile`), so that its size is a number
of Haar tiles along one axis: in 1-D and for parts of a row along the width, for whole tile rows along the height.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from sim.division import Division
from stamp_hw.config import HwConfig, ResolvedJob
from stamp_hw.engine import super_tile
from stamp_hw.engine.super_tile import Size
from stamp_hw.haar_slots import chain_levels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """int64[candidates] each: `width`, `height` in tokens of a full super-tile; `super_tiles`, `array_tiles`,
    `row_slots`, `row_slots4` as in `Division`; `first_tiles`, `last_tiles` array tiles of the first and the last
    super-tile; `first_haar` Haar tiles of the first, `last_tokens` tokens of the last without sinks.

    In the order of their tokens, smallest first; no two have as many.
    """

    width: np.ndarray
    height: np.ndarray
    super_tiles: np.ndarray
    array_tiles: np.ndarray
    row_slots: np.ndarray
    row_slots4: np.ndarray
    first_tiles: np.ndarray
    last_tiles: np.ndarray
    first_haar: np.ndarray
    last_tokens: np.ndarray

    def __len__(self) -> int:
        return len(self.width)

    def only(self, index: int) -> Candidates:
        """One of them, alone."""
        return Candidates(**{item.name: getattr(self, item.name)[index : index + 1] for item in fields(Candidates)})

    def size(self, index: int) -> Size:
        """(width, height) of one."""
        return int(self.width[index]), int(self.height[index])

    def division(self, index: int) -> Division:
        """The counts of one."""
        return Division(**{item.name: int(getattr(self, item.name)[index]) for item in fields(Division)})


def candidates(job: ResolvedJob, hw: HwConfig) -> Candidates:
    """All sizes that fit the buffers, by the rule of `super_tile.tile_size`.

    Raises
    ------
    ConfigError : there is none, a single Haar tile does not fit
    """
    height, width = job.grid or (1, job.tokens)
    side, halves = 1 << job.levels, super_tile.half_rows(job)
    high = 1 if job.grid is None else side
    fours = _low_tokens(job, halves)
    down, across = halves.shape
    # Parts of a tile row first: each has fewer tokens than a whole one.
    last_row = height - (down - 1) * high
    parts = _along(job, hw, halves, fours, 1, across - 1, tokens=(width, side, last_row))
    rows = _along(job, hw, halves.sum(axis=1)[None], fours.sum(axis=1)[None], across, down,
                  tokens=(height, high, width))
    found = {name: np.concatenate([parts[name], rows[name]]) for name in parts if name != "count"}
    if not len(found["super_tiles"]):
        super_tile.tile_size(job, hw, 1)  # says why
    return Candidates(
        width=np.append(parts["count"] * side, np.full_like(rows["count"], across * side)),
        height=np.append(np.full_like(parts["count"], high), rows["count"] * high), **found)


def _low_tokens(job: ResolvedJob, halves: np.ndarray) -> np.ndarray:
    """4-bit tokens of each Haar tile: int64 of the shape of `halves`. A tile's half rows are its tokens and, once more,
    those of 8 bits."""
    all_low = super_tile.half_rows(ResolvedJob(tokens=job.tokens, grid=job.grid, levels=job.levels, n_hi=0, n_sink=0))
    fours: np.ndarray = 2 * all_low - halves
    fours[0, 0] += 2 * job.n_sink
    return fours


def _along(job: ResolvedJob, hw: HwConfig, halves: np.ndarray, fours: np.ndarray, haar_tiles: int, most: int,
           tokens: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """The candidates of 1 to `most` elements along the last axis that fit: their numbers (`count`) and counts.

    Parameters
    ----------
    halves, fours : int64[lanes, elements], half rows and 4-bit tokens of each element
    haar_tiles : of an element
    tokens : along the axis, of an element along it, and across the axis in the last lane
    """
    lanes, length = halves.shape
    room = 2 * hw.act_slots
    most = min(most, max(0, (room - job.n_sink) // (haar_tiles << chain_levels(job.levels, job.grid))))
    counts = np.arange(1, most + 1)
    parts = -(-length // counts)
    offsets = np.cumsum(parts) - parts
    number = np.arange(int(parts.sum())) - np.repeat(offsets, parts)  # of a part in its candidate
    starts = number * np.repeat(counts, parts)
    ends = np.minimum(starts + np.repeat(counts, parts), length)
    sums, lows = (_between(values, starts, ends) for values in (halves, fours))
    slots = -(-sums // 2)
    tiles = -(-slots // hw.rows)

    def total(values: np.ndarray) -> np.ndarray:
        """Over the parts of each candidate."""
        return np.add.reduceat(values.sum(axis=0), offsets)

    size, step, beside = tokens
    found = {
        "count": counts, "super_tiles": lanes * parts, "array_tiles": total(tiles), "row_slots": total(slots),
        "row_slots4": total(-(-lows // 2)), "first_tiles": tiles[0, offsets],
        "last_tiles": tiles[-1, offsets + parts - 1], "first_haar": haar_tiles * counts,
        "last_tokens": (size - (parts - 1) * counts * step) * beside,
    }
    fits = np.maximum.reduceat(sums.max(axis=0), offsets) <= room
    return {name: values[fits] for name, values in found.items()}


def _between(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of runs of each lane: int64[lanes, runs]."""
    before = np.concatenate([np.zeros((len(values), 1), np.int64), np.cumsum(values, axis=1)], axis=1)
    found: np.ndarray = before[:, ends] - before[:, starts]
    return found
