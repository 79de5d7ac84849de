"""Rescale on tensors; `stamp_hw.rescale` is the reference and gives the equations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stamp_hw.config import NpuConfig
from stamp_hw.params import OUT_WIDTH, Z_WIDTH
from stamp_hw.torch.scale import Quantized, rows_at_a_time

#: Tokens → their T, int64[tokens, N] of its own memory.
Totals = Callable[[slice], Tensor]
_SMALL_OFFSET = 1 << 30  # with values behind the inverse lifting, below 2^28 as well, the sum stays in INT32
_BEFORE_LEFT_SHIFT = 41  # bits that a product is saturated to before it is shifted left by a sink's exponent


def saturate(values: Tensor, width: int) -> Tensor:
    """Clip to `width` signed bits, in place."""
    return values.clamp_(-(1 << (width - 1)), (1 << (width - 1)) - 1)


def clipped(values: Tensor, width: int) -> tuple[Tensor, Tensor | int]:
    """(integers[S, …] saturated to `width` bits, how many of each token were: int64[S], or 0 where none was)."""
    if values.device.type == "cpu":  # a look at the extremes is cheap here, and waits for the device elsewhere
        low, high = values.aminmax()
        if low >= -(1 << (width - 1)) and high < 1 << (width - 1):
            return values, 0
    found = saturate(values.clone(), width)
    return found, (found != values).sum(dim=1)


def totals(acc: Tensor, quantized: Quantized, wsum: Tensor) -> Totals:
    """T of accumulators int32[S, groups, N]; `wsum` int64[groups, N], sums of the weight codes."""

    def of(rows: slice) -> Tensor:
        qmax, mid = quantized.qmax[rows], quantized.mid[rows]
        lo, span = quantized.lo[rows], quantized.span[rows]
        total: Tensor | None = None
        for group in range(acc.shape[1]):
            width = span[:, group, None]
            part = acc[rows, group].long()
            part *= width
            if quantized.zero is None:
                part += (width * mid + qmax * lo[:, group, None]) * wsum[group]
            total = part if total is None else total.add_(part)
        assert total is not None
        return total

    return of


def rescale(total: Totals, quantized: Quantized, mant: Tensor, shift: Tensor, config: NpuConfig,
            sink_shift: Sequence[int] = ()) -> Tensor:
    """Sums to output coefficients, int32[S, N].

    Parameters
    ----------
    total : T of some tokens
    mant, shift : int64[tables, N], see `stamp_hw.rescale.factors`
    sink_shift : e of the leading tokens; the others have 0
    """
    tokens, channels, high = len(quantized.codes), mant.shape[1], quantized.n_high
    z = torch.empty((tokens, channels), dtype=torch.int32, device=mant.device)
    step = rows_at_a_time(channels, mant.device)
    # 8-bit tokens, and the others: T' = 17·T in min-max mode, the 17 multiplied into the factors.
    for first, end, table, factor in ((0, high, 0, 1), (high, tokens, -1, 1 if config.job.symmetric else 17)):
        factors = mant[table] * factor
        for start in range(first, end, step):
            rows = slice(start, min(start + step, end))
            z[rows] = _round(total(rows), factors, shift[table])
    for token, exponent in enumerate(sink_shift):
        if exponent:  # a sink has 8 bits, so the first table; and the factor 1 before it
            row = slice(token, token + 1)
            z[row] = _round_shifted(total(row), mant[0], shift[0], exponent)
    return z


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
    if offset.device.type == "cpu" and offset.abs().max() < _SMALL_OFFSET:
        offset = offset.int()
    y = torch.empty(v.shape, dtype=torch.int16, device=v.device)
    saturated = torch.zeros(len(v), dtype=torch.int64, device=v.device)
    step = rows_at_a_time(v.shape[1], v.device)
    for start in range(0, len(v), step):
        rows = slice(start, start + step)
        y[rows], saturated[rows] = clipped((v[rows] + offset).bitwise_right_shift_(frac), OUT_WIDTH)
    return y, saturated
