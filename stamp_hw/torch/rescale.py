"""Rescale on tensors; `stamp_hw.rescale` is the reference and gives the equations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stamp_hw.config import NpuConfig
from stamp_hw.params import OUT_WIDTH, Z_WIDTH
from stamp_hw.torch.scale import Quantized, rows_at_a_time

_BEFORE_LEFT_SHIFT = 41  # bits that a product is saturated to before it is shifted left by a sink's exponent


def saturate(values: Tensor, width: int) -> Tensor:
    """Clip to `width` signed bits, in place."""
    return values.clamp_(-(1 << (width - 1)), (1 << (width - 1)) - 1)


def rescale(acc: Tensor, quantized: Quantized, wsum: Tensor, mant: Tensor, shift: Tensor, config: NpuConfig,
            sink_shift: Sequence[int] = ()) -> Tensor:
    """Accumulators to output coefficients, int32[S, N].

    Parameters
    ----------
    acc : int32[S, groups, N], or T itself, int64[S, 1, N]
    wsum : int64[groups, N], sums of the weight codes
    mant, shift : int64[tables, N], see `stamp_hw.rescale.factors`
    sink_shift : e of the leading tokens; the others have 0
    """
    tokens, _, channels = acc.shape
    z = torch.empty((tokens, channels), dtype=torch.int32, device=acc.device)
    step = rows_at_a_time(channels, acc.device)
    for start in range(0, tokens, step):
        rows = slice(start, start + step)
        total = _sums(acc[rows], quantized, rows, wsum)
        high = quantized.bits[rows] == 8
        if not config.job.symmetric:
            total *= torch.where(high, 1, 17)
        if len(mant) == 1:
            z[rows] = _round(total, mant[0], shift[0])
        else:
            eight = _round(total.clone(), mant[0], shift[0])
            z[rows] = torch.where(high, eight, _round(total, mant[1], shift[1]))
    for token, exponent in enumerate(sink_shift):
        if exponent:  # a sink has 8 bits, so the first table; and the factor 1 before it
            row = slice(token, token + 1)
            total = _sums(acc[row], quantized, row, wsum)
            z[row] = _round_shifted(total, mant[0], shift[0], exponent)
    return z


def _sums(acc: Tensor, quantized: Quantized, rows: slice, wsum: Tensor) -> Tensor:
    """T, int64[rows, N], of its own memory."""
    if acc.dtype == torch.int64:
        return acc[:, 0].clone()
    qmax, mid = quantized.qmax[rows], quantized.mid[rows]
    lo, span = quantized.lo[rows], quantized.span[rows]
    total: Tensor | None = None
    for group in range(acc.shape[1]):
        width = span[:, group, None]
        part = acc[:, group].long()
        part *= width
        if quantized.zero is None:
            part += (width * mid + qmax * lo[:, group, None]) * wsum[group]
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _round(total: Tensor, mant: Tensor, shift: Tensor) -> Tensor:
    """sat24((T·mant + 2^(shift−1)) >> shift), int64; destroys `total`."""
    total *= mant
    total += torch.ones_like(shift) << (shift - 1)
    total >>= shift
    return saturate(total, Z_WIDTH)


def _round_shifted(total: Tensor, mant: Tensor, shift: Tensor, exponent: int) -> Tensor:
    """`_round` of T·2^exponent: a shift by so much less, to the left where that is negative."""
    down = shift - exponent
    right = down.clamp(min=1)
    product = total * mant
    rounded = (product + (torch.ones_like(shift) << (right - 1))) >> right
    # Saturated before a left shift, so that 64 bits hold it: beyond 2^40 the result saturates in the end anyway.
    shifted = saturate(product, _BEFORE_LEFT_SHIFT) << (-down).clamp(min=0)
    return saturate(torch.where(down > 0, rounded, shifted), Z_WIDTH)


def finish(v: Tensor, bias: Tensor, config: NpuConfig) -> tuple[Tensor, Tensor]:
    """Bias and rounding: int32[S, N] and int64[N] in steps of s_y to (int16[S, N], int64[S] values that saturated)."""
    frac = config.hw.z_frac
    offset = (bias << frac) + (1 << frac >> 1)
    y = torch.empty(v.shape, dtype=torch.int16, device=v.device)
    saturated = torch.zeros(len(v), dtype=torch.int64, device=v.device)
    step = rows_at_a_time(v.shape[1], v.device)
    top = (1 << (OUT_WIDTH - 1)) - 1
    for start in range(0, len(v), step):
        rows = slice(start, start + step)
        exact = (v[rows] + offset) >> frac
        if exact.device.type == "cpu":  # a look at the extremes is cheap here, and waits for the device elsewhere
            low, high = exact.aminmax()
            if low >= -top - 1 and high <= top:
                y[rows] = exact
                continue
        clipped = saturate(exact.clone(), OUT_WIDTH)
        saturated[rows] = (clipped != exact).sum(dim=1)
        y[rows] = clipped
    return y, saturated
