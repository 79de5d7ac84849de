"""Scale and quantizer of each token on tensors; `stamp_hw.scale` is the reference and gives the equations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stamp_hw.config import NpuConfig
from stamp_hw.scale import has_zeros

_BLOCK = 1 << 17  # elements that a CPU works on at a time: their float64 copies stay in its caches


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """Quantized tokens: `codes` int8[S, K], with integer zeros int16[S, K]; `lo`, `span` int64[S, groups]; `n_high`
    leading tokens have 8 bits, the others 4; `qmax`, `mid` int64[S, 1]; `group` channels a group; `zero` int64[S,
    groups], z of each block, or None."""

    codes: Tensor
    lo: Tensor
    span: Tensor
    n_high: int
    qmax: Tensor
    mid: Tensor
    group: int
    zero: Tensor | None = None


def rows_at_a_time(channels: int, device: torch.device) -> int:
    """Tokens of `channels` values that an elementwise step takes: a cache full on a CPU, everything elsewhere."""
    return max(1, _BLOCK // channels) if device.type == "cpu" else 1 << 62


def blocks(values: Tensor, group: int) -> Tensor:
    """[S, K] as [S, groups, group], the last group filled with zeros: they widen no range that 0 is in, and the ranges
    of several groups all hold it."""
    more = -values.shape[1] % group
    whole: Tensor = (torch.nn.functional.pad(values, (0, more)) if more else values).unflatten(1, (-1, group))
    return whole


def quantize(c: Tensor, n_high: int, config: NpuConfig) -> Quantized:
    """Quantize int32[S, K] coefficients, the first `n_high` tokens (sinks included) at 8 bits, the others at 4."""
    hw, symmetric = config.hw, config.job.symmetric
    tokens, channels = c.shape
    group = min(config.job.group or channels, channels)
    bits = torch.where(torch.arange(tokens, device=c.device) < n_high, 8, 4)[:, None]
    qmax = (1 << bits) - (2 if symmetric else 1)
    mid = (qmax + 1) >> 1
    zeros = has_zeros(channels, group, symmetric)
    lo, span = _extremes(c, group, symmetric, zeros)
    recip, lz = _reciprocal(span, qmax, hw.coef_width, hw.recip_frac)
    # All products stay below 2^36 and the scaling is by powers of two, so float64 is exact here.
    ratio = torch.ldexp(recip.double(), (lz - (hw.coef_width + hw.recip_frac)).double())
    lows, offset = lo.double(), 0.5 - mid.double()
    zero = (ratio * -lows + 0.5).floor().long() if zeros else None
    codes = torch.empty((tokens, channels), dtype=torch.int16 if zeros else torch.int8, device=c.device)
    limits = None if zero is None else tuple(limit[:, :, None].to(codes.dtype) for limit in (-zero, qmax - zero))
    step = rows_at_a_time(channels, c.device)
    for start in range(0, tokens, step):
        rows = slice(start, start + step)
        work = blocks(c[rows], group).double()
        if limits is not None:
            work *= ratio[rows, :, None]
            work += work.sign().mul_(0.5)  # the conversion cuts towards zero
            found = work.to(codes.dtype).maximum(limits[0][rows]).minimum(limits[1][rows])
        else:
            work -= lows[rows, :, None]
            work *= ratio[rows, :, None]
            work += offset[rows, :, None]
            found = work.floor_()
        codes[rows] = found.flatten(1)[:, :channels]
    return Quantized(codes, lo, span, n_high, qmax, mid, group, zero)


def dequantize(quantized: Quantized) -> Tensor:
    """float32[S, K] in steps of the input scale: lo + span · q / qmax, or span · a / qmax with integer zeros."""
    channels = quantized.codes.shape[1]
    gain = quantized.span.double() / quantized.qmax
    base = quantized.lo.double() + gain * quantized.mid if quantized.zero is None else torch.zeros_like(gain)
    gain, base = (values.float()[:, :, None] for values in (gain, base))
    return (blocks(quantized.codes, quantized.group) * gain + base).flatten(1)[:, :channels]


def _extremes(c: Tensor, group: int, symmetric: bool, zeros: bool) -> tuple[Tensor, Tensor]:
    """(lo, span), int64[S, groups]; with integer `zeros` 0 is in every range."""
    parts = blocks(c, group)
    low, high = parts.amin(dim=2).long(), parts.amax(dim=2).long()  # on a CPU faster than both by `aminmax`
    if symmetric:
        high = torch.maximum(-low, high)
        low = -high
    if zeros:
        low, high = low.clamp(max=0), high.clamp(min=0)
    return low, high - low


def _reciprocal(span: Tensor, qmax: Tensor, width: int, recip_frac: int) -> tuple[Tensor, Tensor]:
    """(recip, lz), int64 like `span`; span = 0 gives recip = 0."""
    lz = width - torch.frexp(span.double()).exponent.long()
    m = (span << lz).clamp(min=1)
    recip = torch.div((qmax << (width + recip_frac)) + (m >> 1), m, rounding_mode="floor")
    return torch.where(span == 0, 0, recip), lz
