"""Rescale on tensors; `stamp_hw.rescale` is the reference and gives the equations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.torch_backend.scale import Quantized, rows_at_a_time
from stamp_hw.config import NpuConfig
from stamp_hw.params import OUT_WIDTH, Z_WIDTH
from stamp_hw.rescale import T_WIDTH

_LOW = 20  # bits of T that are multiplied apart where T is wider than T_WIDTH
_BEFORE_LEFT_SHIFT = 41  # bits that a product is saturated to before it is shifted left by a sink's exponent


def saturate(values: Tensor, width: int) -> Tensor:
    """Clip to `width` signed bits, in place."""
    return values.clamp_(-(1 << (width - 1)), (1 << (width - 1)) - 1)


def rescale(acc: Tensor, quantized: Quantized, wsum: Tensor, mant: Tensor, shift: Tensor, config: NpuConfig,
            factor: Tensor | None = None, sink_shift: Sequence[int] = ()) -> Tensor:
    """Accumulators to output coefficients, int32[S, N].

    Parameters
    ----------
    acc : int32[S, groups, N]
    wsum : int64[groups, N], sums of the weight codes
    mant, shift : int64[tables, N], see `stamp_hw.rescale.factors`
    factor : u, int64[groups, N], or None
    sink_shift : e of the leading tokens; the others have 0
    """
    tokens, _, channels = acc.shape
    z = torch.empty((tokens, channels), dtype=torch.int32, device=acc.device)
    wide = factor is not None
    step = rows_at_a_time(channels, acc.device)
    for start in range(0, tokens, step):
        rows = slice(start, start + step)
        total = _sums(acc[rows], quantized, rows, wsum, factor)
        high = quantized.bits[rows] == 8
        if not config.job.symmetric:
            total *= torch.where(high, 1, 17)
        if len(mant) == 1:
            z[rows] = _round(total, mant[0], shift[0], wide)
        else:
            eight = _round(total.clone(), mant[0], shift[0], wide)
            z[rows] = torch.where(high, eight, _round(total, mant[1], shift[1], wide))
    for token, exponent in enumerate(sink_shift):
        if exponent:  # a sink has 8 bits, so the first table; and the factor 1 before it
            row = slice(token, token + 1)
            total = _sums(acc[row], quantized, row, wsum, factor)
            z[row] = _round_shifted(total, mant[0], shift[0], exponent, wide)
    return z


def _sums(acc: Tensor, quantized: Quantized, rows: slice, wsum: Tensor, factor: Tensor | None) -> Tensor:
    """T, int64[rows, N]."""
    qmax, mid = quantized.qmax[rows], quantized.mid[rows]
    lo, span = quantized.lo[rows], quantized.span[rows]
    total: Tensor | None = None
    for group in range(acc.shape[1]):
        column = min(group, lo.shape[1] - 1)  # one activation scale may serve several weight groups
        width = span[:, column, None]
        part = acc[:, group].long()
        part *= width
        part += (width * mid + qmax * lo[:, column, None]) * wsum[group]
        if factor is not None:
            part *= factor[group]
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _round(total: Tensor, mant: Tensor, shift: Tensor, wide: bool) -> Tensor:
    """sat24((T·mant + 2^(shift−1)) >> shift), int64; destroys `total`. `wide`: T may be beyond T_WIDTH bits."""
    half = torch.ones_like(shift) << (shift - 1)
    if not wide:
        total *= mant
        total += half
        total >>= shift
        return saturate(total, Z_WIDTH)
    return saturate(_wide_shift(total, mant, half, shift), Z_WIDTH)


def _wide_shift(total: Tensor, mant: Tensor, half: Tensor, shift: Tensor) -> Tensor:
    """(T·mant + half) >> shift where the product may leave 64 bits, for |T| < 2^60.

    With T = h·2^20 + l, the sum is h·mant·2^20 + (l·mant + half), and a floor of a floor is a floor. Below a shift of
    20, a T of more than T_WIDTH bits saturates whatever its digits, so its largest neighbour of that width stands for
    it.
    """
    high, low = total >> _LOW, total & ((1 << _LOW) - 1)
    far = (shift >= _LOW).expand_as(total)
    above = (high * mant + ((low * mant + half) >> _LOW)) >> (shift - _LOW).clamp(min=0)
    near = (saturate(total.clone(), T_WIDTH) * mant + half) >> shift
    return torch.where(far, above, near)


def _round_shifted(total: Tensor, mant: Tensor, shift: Tensor, exponent: int, wide: bool) -> Tensor:
    """`_round` of T·2^exponent: a shift by so much less, to the left where that is negative."""
    down = shift - exponent
    right = down.clamp(min=1)
    half = torch.ones_like(shift) << (right - 1)
    if wide:
        rounded = _wide_shift(total, mant, half, right)
        product = saturate(total.clone(), T_WIDTH) * mant
    else:
        product = total * mant
        rounded = (product + half) >> right
    # Saturated before a left shift, so that 64 bits hold it: beyond 2^40 the result saturates in the end anyway.
    shifted = saturate(product, _BEFORE_LEFT_SHIFT) << (-down).clamp(min=0)
    return saturate(torch.where(down > 0, rounded, shifted), Z_WIDTH)


def finish(v: Tensor, bias: Tensor, config: NpuConfig) -> tuple[Tensor, Tensor]:
    """Bias and rounding: int32[S, N] and int64[N] in steps of s_y to (int16[S, N], number of saturated values)."""
    frac = config.hw.z_frac
    offset = (bias << frac) + (1 << frac >> 1)
    y = torch.empty(v.shape, dtype=torch.int16, device=v.device)
    saturated = torch.zeros((), dtype=torch.int64, device=v.device)
    step = rows_at_a_time(v.shape[1], v.device)
    for start in range(0, len(v), step):
        rows = slice(start, start + step)
        exact = (v[rows] + offset) >> frac
        clipped = saturate(exact.clone(), OUT_WIDTH)
        saturated += (clipped != exact).sum()
        y[rows] = clipped
    return y, saturated
