"""Rescale: accumulators to output coefficients with `z_frac` fractional bits (docs/contract.md §3.6).

    T  = span·(acc + mid·wsum) + qmax·lo·wsum                        exact, 48 bits
    T' = 17·T for a 4-bit token in min-max mode (255 = 17·15), else T;  a sink's T' is shifted left by its e
    z  = sat24((T'·mant + 2^(shift−1)) >> shift)                     mant·2^−shift ≈ 2^z_frac·s_x·s_w / (qmax·s_y)

In symmetric mode, and where blocks have an integer zero, T collapses to span·acc; T of several blocks is the sum of
theirs. In symmetric mode each precision has its own table of factors.
"""

from __future__ import annotations

import numpy as np

from stamp_hw.combine import combine
from stamp_hw.config import NpuConfig
from stamp_hw.errors import LayerError
from stamp_hw.params import OUT_WIDTH, Z_WIDTH
from stamp_hw.scale import Quantized

MANT_WIDTH = 16
MAX_SHIFT = 63
SYMMETRIC_QMAX = (254, 14)  # row of the symmetric factor tables: 8-bit tokens, 4-bit tokens


def saturate(values: np.ndarray, width: int) -> np.ndarray:
    """Clip to `width` signed bits."""
    found: np.ndarray = np.clip(values, -(1 << (width - 1)), (1 << (width - 1)) - 1)
    return found


def factors(s_x: float, s_w: np.ndarray, s_y: float, config: NpuConfig) -> tuple[np.ndarray, np.ndarray]:
    """The multiplier of each output channel.

    Parameters
    ----------
    s_x, s_y : real value of one input, one output step
    s_w : float64[N], real value of one weight step

    Returns
    -------
    mant int64[tables, N] in [2^15, 2^16), shift int64[tables, N] in 1…63; one table in min-max mode (qmax = 255), two
    in symmetric mode (8-bit tokens first)

    Raises
    ------
    LayerError : a channel whose factor is out of reach of mant and shift
    """
    qmaxes = SYMMETRIC_QMAX if config.job.symmetric else (255,)
    with np.errstate(over="ignore"):
        factor = 2.0**config.hw.z_frac * s_x * np.asarray(s_w, np.float64) / (np.array(qmaxes)[:, None] * s_y)
    # A factor that no float holds becomes 0, whose mantissa is 0 and refused below.
    fraction, exponent = np.frexp(np.where(np.isfinite(factor), factor, 0.0))
    mant = np.floor(np.ldexp(fraction, MANT_WIDTH) + 0.5).astype(np.int64)
    shift = MANT_WIDTH - exponent.astype(np.int64)
    carried = mant == 1 << MANT_WIDTH
    mant[carried] >>= 1
    shift[carried] -= 1
    bad = (mant == 0) | (shift < 1) | (shift > MAX_SHIFT)
    if bad.any():
        channel = int(np.argwhere(bad)[0, 1])
        raise LayerError("rescale factor out of reach", where=f"output channel {channel}",
                         got=f"{factor[np.nonzero(bad)][0]:.3g} (s_x {s_x:.3g}, s_w {s_w[channel]:.3g}, s_y {s_y:.3g})",
                         expected=f"2^{-MAX_SHIFT + MANT_WIDTH - 1}…2^{MANT_WIDTH - 1}")
    return mant, shift


def rescale(acc: np.ndarray, quantized: Quantized, wsum: np.ndarray, mant: np.ndarray, shift: np.ndarray,
            config: NpuConfig) -> np.ndarray:
    """Accumulators to output coefficients.

    Parameters
    ----------
    acc : int32[S, N], or int32[S, groups, N] with several groups
    quantized : what the accumulators were made from
    wsum : integers [N], or [groups, N]: sum of the weight codes
    mant, shift : integers [N] or [tables, N], see `factors`

    Returns
    -------
    int32[S, N], 24 bits, saturated
    """
    if acc.ndim == 2:
        acc = acc[:, None, :]
    tokens, groups, channels = acc.shape
    wsum = np.asarray(wsum, np.int64).reshape(groups, channels)
    mant, shift = (np.asarray(table, np.int64).reshape(-1, channels) for table in (mant, shift))
    table = np.where(quantized.bits == 8, 0, len(mant) - 1)
    total = np.empty((tokens, channels), np.int64)
    for start in range(0, tokens, _STEP):
        rows = slice(start, start + _STEP)
        total[rows] = _sums(acc[rows], rows, quantized, wsum)
    if not config.job.symmetric:
        total[quantized.bits == 4] *= 17
    z = np.empty((tokens, channels), np.int32)
    for value in np.unique(quantized.sink_shift):
        for row in range(len(mant)):
            pick = np.flatnonzero((quantized.sink_shift == value) & (table == row))
            for start in range(0, len(pick), _STEP):
                some = pick[start : start + _STEP]
                z[some] = _round(total[some], mant[row], shift[row], int(value))
    return z


_STEP = 64  # tokens that are worked on at a time


def _sums(acc: np.ndarray, rows: slice, quantized: Quantized, wsum: np.ndarray) -> np.ndarray:
    """T, int64[rows, N]."""
    total = combine(acc, quantized.span[rows])
    if quantized.zero is None:
        qmax, mid = quantized.qmax[rows, None], quantized.mid[rows, None]
        lo, span = quantized.lo[rows].astype(np.int64), quantized.span[rows].astype(np.int64)
        for group in range(acc.shape[1]):
            total += (span[:, group, None] * mid + qmax * lo[:, group, None]) * wsum[group]
    return total


def _round(total: np.ndarray, mant: np.ndarray, shift: np.ndarray, sink_shift: int) -> np.ndarray:
    """sat24((T'·2^e·mant + 2^(shift−1)) >> shift) in 64 bits: for shift > e that is a shift by shift − e."""
    less = shift - sink_shift
    product = total * mant
    if sink_shift:
        # Saturates before a left shift, so that 64 bits hold it; a value beyond 2^40 saturates in the end anyway.
        left = np.maximum(-less, 0)
        product = np.where(left > 0, saturate(product, 41) << left, product)
    down = np.maximum(less, 0)
    product += np.where(down > 0, np.int64(1) << np.maximum(down - 1, 0), 0)
    return saturate(product >> down, Z_WIDTH)


def finish(v: np.ndarray, bias: np.ndarray, config: NpuConfig) -> tuple[np.ndarray, np.ndarray]:
    """Bias and rounding behind the inverse lifting (docs/contract.md §3.7).

    `v` int32[S, N]; `bias` integers [N] in steps of s_y. Returns (y int16[S, N], int64[S] values that saturated):
    y = sat16((v + (bias << z_frac) + 2^(z_frac−1)) >> z_frac).
    """
    frac = config.hw.z_frac
    exact = (v + ((bias.astype(np.int64) << frac) + (1 << frac >> 1))) >> frac
    y = saturate(exact, OUT_WIDTH)
    return y.astype(np.int16), np.count_nonzero(y != exact, axis=1)


def integer_bias(bias: np.ndarray | None, s_y: float, channels: int) -> np.ndarray:
    """Bias in steps of s_y, INT32: int64[N]. Raises LayerError beyond 32 bits."""
    if bias is None:
        return np.zeros(channels, np.int64)
    steps = np.rint(bias.astype(np.float64) / s_y)
    if not (steps.max() < 2.0**31 and steps.min() >= -(2.0**31)):  # NaN is neither
        raise LayerError("bias does not fit INT32", where="rescale", got=f"{np.abs(steps).max():.3g}",
                         expected="−2^31…2^31 − 1")
    return steps.astype(np.int64)
