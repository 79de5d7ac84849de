"""Integer Haar lifting along the token axis on tensors; `stamp_hw.haar` is the reference and says the order."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stamp_hw.haar import Grid, band_shapes


def forward(x: Tensor, levels: int, grid: Grid | None = None) -> Tensor:
    """int32[S, K] values to int32[S, K] coefficients, low frequency first; `levels` and `grid` as the reference."""
    height, width = grid or (1, len(x))
    low = x.reshape(height, width, x.shape[1])
    bands: list[Tensor] = []
    for _ in range(levels):
        s, d = _split(low, 1)
        low, lh = _split(s, 0)
        hl, hh = _split(d, 0)
        bands[:0] = [hl, lh, hh]
    return torch.cat([band.reshape(-1, x.shape[1]) for band in (low, *bands)])


def inverse(c: Tensor, levels: int, grid: Grid | None = None) -> Tensor:
    """int32[S, K] coefficients to int32[S, K] values; undoes `forward`."""
    return _inverse(c, levels, grid, lambda d: d >> 1)


def inverse_real(c: Tensor, levels: int, grid: Grid | None = None) -> Tensor:
    """The same inverse without floors, on float[S, K]."""
    return _inverse(c, levels, grid, lambda d: d * 0.5)


def _inverse(c: Tensor, levels: int, grid: Grid | None, half: Callable[[Tensor], Tensor]) -> Tensor:
    shapes = band_shapes(levels, grid or (1, len(c)))
    parts = c.split([rows * columns for rows, columns in shapes])
    low, *bands = (part.reshape(rows, columns, c.shape[1]) for part, (rows, columns) in zip(parts, shapes, strict=True))
    for level in range(levels):
        hl, lh, hh = bands[3 * level : 3 * level + 3]
        low = _merge(_merge(low, lh, 0, half), _merge(hl, hh, 0, half), 1, half)
    found: Tensor = low.reshape(-1, c.shape[1])
    return found


def _split(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """One level along one axis: (s, d); the unpaired last element joins s."""
    length = x.shape[axis]
    pairs = length // 2
    if not pairs:
        return x, x.narrow(axis, 0, 0)
    both = x.narrow(axis, 0, 2 * pairs).unflatten(axis, (pairs, 2))
    a, b = both.select(axis + 1, 0), both.select(axis + 1, 1)
    d = b - a
    s = a + (d >> 1)
    return (torch.cat([s, x.narrow(axis, 2 * pairs, 1)], axis) if length % 2 else s), d


def _merge(s: Tensor, d: Tensor, axis: int, half: Callable[[Tensor], Tensor]) -> Tensor:
    """Undo `_split`; `half` is how d is halved."""
    pairs = d.shape[axis]
    if not pairs:
        return s
    x = s.new_empty((*s.shape[:axis], s.shape[axis] + pairs, *s.shape[axis + 1 :]))
    both = x.narrow(axis, 0, 2 * pairs).unflatten(axis, (pairs, 2))
    a, b = both.select(axis + 1, 0), both.select(axis + 1, 1)
    torch.sub(s.narrow(axis, 0, pairs), half(d), out=a)
    torch.add(a, d, out=b)
    if s.shape[axis] > pairs:
        x.narrow(axis, 2 * pairs, 1).copy_(s.narrow(axis, pairs, 1))
    return x
