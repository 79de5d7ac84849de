"""The timetable of the lifting units: which token, butterfly and coefficient belongs to which token slot.

Both units work in *token slots* (one token of one beat train in, at most one out). With T = 2^levels tokens a Haar tile
(2-D: a level counts twice, tokens stand in Morton order inside a tile, tiles in raster order) every token has a
*position*, and the whole schedule is a ruler function of the slot number; no table is stored anywhere.

Forward, slot t:  token at position t comes in. Odd t: the level-1 butterfly of the pair (t − 1, t). Even t: the
butterfly of level l = 2 + ctz(t/2 + 1) whose first token is at position t − c_l, c_l = 3·2^(l−1) − 2; where l would be
levels + 1 the slot emits the low-pass token of the tile at position t − (2T − 2). Every butterfly emits its d in its
own slot.

Inverse, slot t (the forward unit run backwards and mirrored):  the token at position t − (T − 1) goes out. The
butterfly of level l = 1 + ctz(t) takes its d; its first token is at position t − T + 2^(l−1). Where t is a multiple of
T the low-pass token of the tile at position t comes in instead.

2-D: chain levels 2i − 1 and 2i are the width and the height of 2-D level i, so the s-chain is the 1-D unit over Morton
order; the d of the two width butterflies of a quad meet in a second butterfly (along the height): HL and HH. Forward:
the second width slot emits HL and keeps HH in the line that held the first d; the next first width slot of that level
emits it. Inverse: the second width slot takes in the HH of the next quad, the first width slot takes in HL.

A token beyond S (or H × W) does not exist; a butterfly without its b passes a; a slot in which nothing exists is *idle*
and takes one cycle instead of a beat train.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stamp_hw.haar import Grid, band_shapes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timetable:
    """One row a token slot, int32 arrays of equal length; −1 where there is none.

    `token` raster index that enters (forward) or leaves (inverse); `coef` coefficient index that leaves (forward) or
    enters (inverse); `level` chain level of the slot's butterfly if its a exists, else 0; `paired` that butterfly has
    its b; `cross` the second butterfly has both operands; `busy` the slot takes a beat train.
    """

    token: np.ndarray
    coef: np.ndarray
    level: np.ndarray
    paired: np.ndarray
    cross: np.ndarray
    busy: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class HaarJob:
    """Registers of one job of a lifting unit: `beats` a token; `levels` and `grid` as in `stamp_hw.haar.forward`."""

    tokens: int
    levels: int
    beats: int
    grid: Grid | None = None

    def __str__(self) -> str:
        shape = str(self.tokens) if self.grid is None else "x".join(map(str, self.grid))
        return f"{shape}/{self.levels}*{self.beats}"

    @property
    def chain(self) -> int:
        """Chain levels, see `chain_levels`."""
        return chain_levels(self.levels, self.grid)


def chain_levels(levels: int, grid: Grid | None) -> int:
    """Levels of the butterfly chain: 2-D levels count twice. Tokens a Haar tile: 2 to this power."""
    return levels if grid is None else 2 * levels


def fire_offset(level: int) -> int:
    """c_l: slots between the first token of a forward butterfly and the butterfly itself."""
    return int(3 * 2 ** (level - 1) - 2)


def positions(tokens: int, levels: int, grid: Grid | None = None) -> np.ndarray:
    """Raster index of the token at each position, −1 where none exists: int32[tiles · T]."""
    chain = chain_levels(levels, grid)
    size = 1 << chain
    if grid is None:
        index = np.arange(-(-tokens // size) * size, dtype=np.int32)
        return np.where(index < tokens, index, -1).astype(np.int32)
    height, width = grid
    side = 1 << levels
    morton = np.arange(size)
    row, column = np.zeros_like(morton), np.zeros_like(morton)
    for bit in range(levels):
        column |= (morton >> (2 * bit) & 1) << bit
        row |= (morton >> (2 * bit + 1) & 1) << bit
    tiles = [(r, c) for r in range(0, height, side) for c in range(0, width, side)]
    rows = np.concatenate([r + row for r, _ in tiles])
    columns = np.concatenate([c + column for _, c in tiles])
    return np.where((rows < height) & (columns < width), rows * width + columns, -1).astype(np.int32)


def coefficient_index(tokens: int, levels: int, grid: Grid | None, band: str, level: int,
                      raster: np.ndarray) -> np.ndarray:
    """Global index of a coefficient from the raster index of its node's first token.

    `band` is "LL", "HL", "LH" or "HH"; in 1-D the d of a level is its HL. `level` counts from 1 (finest).
    """
    height, width = (1, tokens) if grid is None else grid
    shapes = band_shapes(levels, (height, width))
    sizes = np.cumsum([0] + [rows * columns for rows, columns in shapes])
    place = 0 if band == "LL" else 1 + 3 * (levels - level) + ("HL", "LH", "HH").index(band)
    row, column = raster // width >> level, raster % width >> level
    if height == 1:
        row = np.zeros_like(column)
    found: np.ndarray = (sizes[place] + row * shapes[place][1] + column).astype(np.int32)
    return found


def forward(tokens: int, levels: int, grid: Grid | None = None) -> Timetable:
    """Timetable of the forward unit; 2^chain · (tiles + 1) − 1 slots."""
    return _build(tokens, levels, grid, inverse=False)


def inverse(tokens: int, levels: int, grid: Grid | None = None) -> Timetable:
    """Timetable of the inverse unit, of the same length."""
    return _build(tokens, levels, grid, inverse=True)


def _build(tokens: int, levels: int, grid: Grid | None, *, inverse: bool) -> Timetable:
    chain = chain_levels(levels, grid)
    size = 1 << chain
    order = positions(tokens, levels, grid)
    count = len(order) + size - 1
    token, coef, level = np.full(count, -1, np.int32), np.full(count, -1, np.int32), np.zeros(count, np.int32)
    paired, cross = np.zeros(count, bool), np.zeros(count, bool)

    def emit(slots: np.ndarray, exists: np.ndarray, band: str, at: int, first: np.ndarray) -> None:
        coef[slots[exists]] = coefficient_index(tokens, levels, grid, band, at, order[first[exists]])

    first = np.arange(0, len(order))
    token[first + (size - 1 if inverse else 0)] = order
    first = np.arange(0, len(order), size)
    emit(first if inverse else first + 2 * size - 2, order[first] >= 0, "LL", levels, first)
    for this in range(1, chain + 1):
        half = 1 << (this - 1)
        first = np.arange(0, len(order), 2 * half)
        slots = first + (size - half if inverse else fire_offset(this))
        has_a, has_b = order[first] >= 0, order[first + half] >= 0
        level[slots[has_a]] = this
        paired[slots] = has_b
        if grid is None:
            emit(slots, has_b, "HL", this, first)
        elif this % 2 == 0:
            emit(slots, has_b, "LH", this // 2, first)
        else:
            quad, has_hl, has_hh = first[::2], has_b[::2], has_b[1::2]
            one, two = slots[::2], slots[1::2]
            cross[one if inverse else two] = has_hh
            emit(one if inverse else two, has_hl, "HL", (this + 1) // 2, quad)
            emit(two - 4 * half if inverse else two + 2 * half, has_hh, "HH", (this + 1) // 2, quad)
    busy = (token >= 0) | (coef >= 0) | (level > 0)
    return Timetable(token=token, coef=coef, level=level, paired=paired, cross=cross, busy=busy)
