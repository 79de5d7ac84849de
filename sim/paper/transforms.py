"""Orthonormal transforms along the token axis, in float: what the paper compares the Haar wavelet with.

Coefficients stand low frequency first (KLT: largest eigenvalue first), so that the first `n_hi` of them are those that
take 8 bits. `inverse(forward(x))` is x, and norms are kept: the noise of the coefficients is that of the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stamp_hw.errors import LayerError
from stamp_hw.haar import Grid

Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Transform:
    """`forward` takes float64[S, K] tokens to coefficients of that shape, `inverse` takes them back."""

    forward: Map
    inverse: Map


IDENTITY = Transform(lambda x: x, lambda c: c)


def haar(tokens: int, levels: int, grid: Grid | None = None) -> Transform:
    """The orthonormal Haar wavelet of `levels` levels, coefficients in the order of `stamp_hw.haar`.

    A pair (a, b) that stands for (m, n) tokens gives s = (√m·a + √n·b) / √(m + n) and d = (√m·b − √n·a) / √(m + n): the
    usual (a ± b) / √2 where m = n, and where there are unpaired tokens, which pass to the next level as they are, still
    orthonormal with a constant in the first coefficient alone (the unbalanced Haar wavelet, Girardi and Sweldens 1997).
    Where every pair has m = n, as in sides of a power of two, each coefficient is the lifting's up to a factor;
    elsewhere the lifting, which is not orthogonal there, takes the plain mean of two means instead of the weighted one.

    Parameters
    ----------
    tokens, grid : S, and (H, W) with H · W = S or None for a sequence
    levels : from 0 on; levels beyond log2 of the longest axis are the identity
    """
    shape = _shape(tokens, grid)
    plan: list[tuple[np.ndarray, np.ndarray]] = []  # numbers of tokens behind each row and column, by level
    counts = np.ones(shape[0]), np.ones(shape[1])
    for _ in range(levels):
        plan.append(counts)
        counts = _merged(counts[0]), _merged(counts[1])

    def forward(x: np.ndarray) -> np.ndarray:
        low = x.reshape(*shape, x.shape[1])
        bands: list[np.ndarray] = []
        for rows, columns in plan:
            s, d = _split(low, 1, columns)
            low, lh = _split(s, 0, rows)
            hl, hh = _split(d, 0, rows)
            bands[:0] = [hl, lh, hh]
        return np.concatenate([band.reshape(band.shape[0] * band.shape[1], x.shape[1]) for band in (low, *bands)])

    def inverse(c: np.ndarray) -> np.ndarray:
        height, width, channels = len(counts[0]), len(counts[1]), c.shape[1]
        low, start = c[: height * width].reshape(height, width, channels), height * width
        for rows, columns in reversed(plan):
            h, w = len(rows), len(columns)
            bands = []
            for size in ((h - h // 2, w // 2), (h // 2, w - w // 2), (h // 2, w // 2)):
                bands.append(c[start : start + size[0] * size[1]].reshape(*size, channels))
                start += size[0] * size[1]
            low = _merge(_merge(low, bands[1], 0, rows), _merge(bands[0], bands[2], 0, rows), 1, columns)
        return low.reshape(c.shape)

    return Transform(forward, inverse)


def dct(tokens: int, grid: Grid | None = None) -> Transform:
    """The orthonormal DCT-II; on a grid along both axes, coefficients by u / H + v / W (then by u)."""
    return _separable([_dct_matrix(size) for size in grid or (tokens,)])


def walsh(tokens: int, grid: Grid | None = None) -> Transform:
    """The Walsh–Hadamard transform in order of sequency (sign changes of a row); on a grid as `dct`.

    Raises LayerError where a side is no power of two: it has no such matrix, and padding with zeros would be a
    transform of more tokens.
    """
    for size in grid or (tokens,):
        if size & (size - 1):
            raise LayerError("no Walsh–Hadamard transform", where="walsh", got=size, expected="a power of two")
    return _separable([_walsh_matrix(size) for size in grid or (tokens,)])


def klt(sequences: Sequence[np.ndarray]) -> Transform:
    """Karhunen–Loève transform of the sequences it is fitted on, the optimum of theorem 1 for *their* mean energies.

    Its rows are the eigenvectors of Σ x·xᵀ over all sequences and channels (not centred: a mean that tokens share is
    energy to be coded like any other), largest eigenvalue first. With fewer columns than tokens the last ones are an
    arbitrary basis of the rest.

    Parameters
    ----------
    sequences : float[S, K] each, all of the same S. Raises LayerError for none, or where S differs
    """
    lengths = {len(x) for x in sequences}
    if len(lengths) != 1:
        raise LayerError("sequences do not fit each other", where="klt", got=sorted(lengths),
                         expected="one or more sequences of one length")
    covariance = np.zeros((lengths.pop(),) * 2)
    for x in sequences:
        wide = x.astype(np.float64)
        covariance += wide @ wide.T
    rows = np.linalg.eigh(covariance)[1].T[::-1]
    return Transform(lambda x: rows @ x, lambda c: rows.T @ c)


def matrix(transform: Transform, tokens: int) -> np.ndarray:
    """float64[S, S] of `forward`; its rows are the basis."""
    return transform.forward(np.eye(tokens))


def _shape(tokens: int, grid: Grid | None) -> Grid:
    shape = (1, tokens) if grid is None else grid
    if min(shape) < 1 or shape[0] * shape[1] != tokens:
        raise LayerError("grid does not hold the tokens", where="transform", got=grid, expected=f"H·W = {tokens}")
    return shape


def _merged(counts: np.ndarray) -> np.ndarray:
    """Tokens behind each element of the low-pass band."""
    pairs = len(counts) // 2
    return np.concatenate([counts[: 2 * pairs : 2] + counts[1::2], counts[2 * pairs :]])


def _weights(counts: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """(√(m / (m + n)), √(n / (m + n))) of each pair, shaped to stand along the first of `rank` axes."""
    pairs = len(counts) // 2
    m, n = counts[: 2 * pairs : 2], counts[1::2]
    shape = (pairs,) + (1,) * (rank - 1)
    return np.sqrt(m / (m + n)).reshape(shape), np.sqrt(n / (m + n)).reshape(shape)


def _split(x: np.ndarray, axis: int, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One level along one axis: (s, d); the unpaired last element joins s."""
    x = np.moveaxis(x, axis, 0)
    pairs = len(x) // 2
    a, b = x[: 2 * pairs : 2], x[1::2]
    m, n = _weights(counts, x.ndim)
    s = np.concatenate([m * a + n * b, x[2 * pairs :]])
    return np.moveaxis(s, 0, axis), np.moveaxis(m * b - n * a, 0, axis)


def _merge(s: np.ndarray, d: np.ndarray, axis: int, counts: np.ndarray) -> np.ndarray:
    """Undo `_split`."""
    s, d = np.moveaxis(s, axis, 0), np.moveaxis(d, axis, 0)
    pairs = len(d)
    m, n = _weights(counts, s.ndim)
    x = np.empty((len(s) + pairs, *s.shape[1:]))
    x[: 2 * pairs : 2] = m * s[:pairs] - n * d
    x[1::2] = n * s[:pairs] + m * d
    x[2 * pairs :] = s[pairs:]
    return np.moveaxis(x, 0, axis)


def _separable(sides: Sequence[np.ndarray]) -> Transform:
    """One matrix along each axis; on a grid, coefficients by the sum of both relative frequencies."""
    if len(sides) == 1:
        rows = sides[0]
        return Transform(lambda x: rows @ x, lambda c: rows.T @ c)
    down, across = sides
    height, width = len(down), len(across)
    u, v = np.divmod(np.arange(height * width), width)
    order = np.lexsort((u, u * width + v * height))

    def forward(x: np.ndarray) -> np.ndarray:
        c = np.einsum("uh,vw,hwk->uvk", down, across, x.reshape(height, width, -1), optimize=True)
        found: np.ndarray = c.reshape(x.shape)[order]
        return found

    def inverse(c: np.ndarray) -> np.ndarray:
        back = np.empty_like(c)
        back[order] = c
        x = np.einsum("uh,vw,uvk->hwk", down, across, back.reshape(height, width, -1), optimize=True)
        found: np.ndarray = x.reshape(c.shape)
        return found

    return Transform(forward, inverse)


def _dct_matrix(size: int) -> np.ndarray:
    frequency, place = np.arange(size)[:, None], np.arange(size)[None, :]
    rows: np.ndarray = np.cos(np.pi * (2 * place + 1) * frequency / (2 * size)) * np.sqrt(2 / size)
    rows[0] = np.sqrt(1 / size)
    return rows


def _walsh_matrix(size: int) -> np.ndarray:
    rows = np.ones((1, 1))
    while len(rows) < size:
        rows = np.kron(np.array([[1.0, 1.0], [1.0, -1.0]]), rows)
    changes = np.count_nonzero(np.diff(rows, axis=1), axis=1)
    found: np.ndarray = rows[np.argsort(changes)] / np.sqrt(size)
    return found
