"""Integer Haar lifting along the token axis, 1-D and 2-D (docs/contract.md §3.2).

For a pair (a, b) of neighbouring tokens: d = b − a, s = a + (d >> 1); inverse: a = s − (d >> 1), b = a + d, exact for
every integer. Levels repeat on s; an unpaired last token passes to the next level as it is. 2-D: each level lifts
along the width, then the height. Coefficients stand low frequency first: 1-D `[s_L | d_L | … | d_1]`; 2-D LL, then
for each level from coarse to fine HL (d along the width), LH, HH, each band row by row. The transform is the integer
form of the Haar wavelet (lifting: Sweldens 1996; integers: Calderbank, Daubechies, Sweldens, Yeo 1998).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stamp_hw.config import MAX_LEVELS
from stamp_hw.errors import LayerError

Grid = tuple[int, int]


def forward(x: np.ndarray, levels: int, grid: Grid | None = None) -> np.ndarray:
    """Lift `levels` times.

    Parameters
    ----------
    x : integers [S, K]; K is untouched, every channel is lifted alike
    levels : 0…8; levels beyond log2 of the longest axis are the identity
    grid : (H, W) with H · W = S, tokens in raster order, or None for a sequence

    Returns
    -------
    int32[S, K], coefficients, low frequency first. INT16 input needs 17 bits in 1-D and 18 in 2-D.
    """
    height, width = _shape(x, levels, grid, np.integer)
    low = np.asarray(x, dtype=np.int32).reshape(height, width, -1)
    bands: list[np.ndarray] = []
    for _ in range(levels):
        s, d = _split(low, axis=1)
        low, lh = _split(s, axis=0)
        hl, hh = _split(d, axis=0)
        bands[:0] = [hl, lh, hh]
    tokens = [band.reshape(-1, x.shape[1]) for band in (low, *bands)]
    return np.concatenate(tokens, axis=0)


def inverse(c: np.ndarray, levels: int, grid: Grid | None = None) -> np.ndarray:
    """Undo `forward` exactly: int32[S, K] coefficients to int32[S, K] values. Wraps at 32 bits."""
    shape = _shape(c, levels, grid, np.integer)
    return _inverse(np.asarray(c, dtype=np.int32), levels, shape, _merge)


def inverse_real(c: np.ndarray, levels: int, grid: Grid | None = None) -> np.ndarray:
    """The same inverse without floors, on float[S, K]: what a dequantized coefficient stands for."""
    return _inverse(c, levels, _shape(c, levels, grid, np.floating), _merge_real)


def band_shapes(levels: int, grid: Grid) -> list[tuple[int, int]]:
    """(rows, columns) of every band in coefficient order: LL, then HL, LH, HH of each level from coarse to fine."""
    height, width = grid
    shapes: list[tuple[int, int]] = []
    for _ in range(levels):
        low_h, low_w = (height + 1) // 2, (width + 1) // 2
        shapes[:0] = [(low_h, width // 2), (height // 2, low_w), (height // 2, width // 2)]
        height, width = low_h, low_w
    return [(height, width), *shapes]


def _shape(x: np.ndarray, levels: int, grid: Grid | None, kind: type) -> Grid:
    """(H, W) of the tokens; a sequence is a single row, whose height is exhausted from the start."""
    if not 0 <= levels <= MAX_LEVELS:
        raise LayerError("levels out of range", where="haar", got=levels, expected=f"0…{MAX_LEVELS}")
    if x.ndim != 2 or not np.issubdtype(x.dtype, kind) or x.shape[0] < 1:
        raise LayerError("not a matrix of tokens", where="haar", got=f"{x.dtype}{x.shape}",
                         expected=f"{kind.__name__} [S, K], S ≥ 1")
    height, width = (1, x.shape[0]) if grid is None else grid
    if height < 1 or width < 1 or height * width != x.shape[0]:
        raise LayerError("grid does not hold the tokens", where="haar", got=grid, expected=f"H·W = {x.shape[0]}")
    return height, width


def _split(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """One level along one axis: (s, d); the unpaired last element joins s. An exhausted axis is not copied."""
    x = np.moveaxis(x, axis, 0)
    pairs = x.shape[0] // 2
    if not pairs:
        return np.moveaxis(x, 0, axis), np.moveaxis(x[:0], 0, axis)
    a, b = x[: 2 * pairs : 2], x[1::2]
    s = np.empty((x.shape[0] - pairs, *x.shape[1:]), dtype=x.dtype)
    d = b - a
    np.right_shift(d, 1, out=s[:pairs])
    s[:pairs] += a
    s[pairs:] = x[2 * pairs :]
    return np.moveaxis(s, 0, axis), np.moveaxis(d, 0, axis)


def _merge(s: np.ndarray, d: np.ndarray, axis: int) -> np.ndarray:
    """Undo `_split`."""
    if not d.shape[axis]:
        return s
    s, d = np.moveaxis(s, axis, 0), np.moveaxis(d, axis, 0)
    pairs = d.shape[0]
    x = np.empty((s.shape[0] + pairs, *s.shape[1:]), dtype=s.dtype)
    a = x[: 2 * pairs : 2]
    np.subtract(s[:pairs], d >> 1, out=a)
    np.add(a, d, out=x[1::2])
    x[2 * pairs :] = s[pairs:]
    return np.moveaxis(x, 0, axis)


def _merge_real(s: np.ndarray, d: np.ndarray, axis: int) -> np.ndarray:
    if not d.shape[axis]:
        return s
    s, d = np.moveaxis(s, axis, 0), np.moveaxis(d, axis, 0)
    pairs = d.shape[0]
    x = np.empty((s.shape[0] + pairs, *s.shape[1:]), dtype=s.dtype)
    a = x[: 2 * pairs : 2]
    np.multiply(d, -0.5, out=a)
    a += s[:pairs]
    np.add(a, d, out=x[1::2])
    x[2 * pairs :] = s[pairs:]
    return np.moveaxis(x, 0, axis)


def _inverse(c: np.ndarray, levels: int, shape: Grid, merge: Callable[..., np.ndarray]) -> np.ndarray:
    channels = c.shape[1]
    bands, start = [], 0
    for rows, columns in band_shapes(levels, shape):
        bands.append(c[start : start + rows * columns].reshape(rows, columns, channels))
        start += rows * columns
    low = bands[0]
    for level in range(levels):
        hl, lh, hh = bands[3 * level + 1 : 3 * level + 4]
        low = merge(merge(low, lh, axis=0), merge(hl, hh, axis=0), axis=1)
    return np.ascontiguousarray(low.reshape(-1, channels))
