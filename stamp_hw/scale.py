"""Scale and quantizer of each token, or of each group of channels in it (docs/contract.md §3.4).

Over a group: lo = min, span = max − min, qmax = 2^bits − 1; symmetric: lo = −absmax, span = 2·absmax, qmax = 2^bits −
2, so that zero is a code. With lz the leading zeros of span in RW bits, m = span << lz and F = RW + recip_frac:

    recip = ((qmax << F) + (m >> 1)) // m        q = (((c − lo) << lz) · recip + 2^(F−1)) >> F        0 ≤ q ≤ qmax

The code is a = q − mid, mid = (qmax + 1) >> 1. span = 0 gives q = 0.

In min-max mode groups smaller than the token, *blocks*, have an integer zero z in place of lo, so that nothing but
span is left to do behind the array: lo = min(c, 0), hi = max(c, 0), and

    n(v) = sign(v)·(((|v| << lz) · recip + 2^(F−1)) >> F)
    z = n(−lo)        q = n(c) + z, clipped to 0…qmax        a = q − z
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stamp_hw.config import NpuConfig, ResolvedJob
from stamp_hw.errors import LayerError

_ZERO = 4  # bits of an integer zero in each of a token's planes, of which one of 8 bits has two
_BLOCK = 1 << 16  # elements that are worked on at a time: their float64 copies stay in the second-level cache


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """Quantized tokens.

    `codes` int8[S, K], a = q − mid, or with integer zeros int16[S, K], a = q − z; `lo`, `span` int32[S, groups]; `bits`
    int8[S], 8 or 4; `group` channels a group; `symmetric` the scale mode; `sink_shift` int8[S], e of a sink token, else
    0; `zero` int16[S, groups], z of each block, None where lo takes its place.
    """

    codes: np.ndarray
    lo: np.ndarray
    span: np.ndarray
    bits: np.ndarray
    group: int = 0
    symmetric: bool = False
    sink_shift: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    zero: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.codes.shape[1])
        if not len(self.sink_shift):
            object.__setattr__(self, "sink_shift", np.zeros(len(self.codes), np.int8))

    @property
    def qmax(self) -> np.ndarray:
        """int64[S], the largest q of each token."""
        return code_range(self.bits, self.symmetric)

    @property
    def mid(self) -> np.ndarray:
        """int64[S], q − a of each token."""
        return (self.qmax + 1) >> 1


def scale_bits(config: NpuConfig, job: ResolvedJob, k: int) -> float:
    """Bits of the scales of a token of K = `k` input channels, averaged over the tokens as `ResolvedJob.average_bits`.

    Of a token lo and span, each as wide as a coefficient; of a block span and its integer zero, 4 bits a plane, as the
    hardware keeps them (docs/contract.md §3.4).
    """
    width = config.hw.coef_width
    wide = -(-k // (config.hadamard or 1)) * (config.hadamard or 1)  # whole blocks stand behind the Hadamard unit
    group = config.job.group
    if group is None or group >= wide:
        return 2 * width * (job.tokens + job.n_sink) / job.tokens
    blocks, high = -(-wide // group), job.n_hi + job.n_sink
    return blocks * ((width + 2 * _ZERO) * high + (width + _ZERO) * (job.tokens - job.n_hi)) / job.tokens


def code_range(bits: np.ndarray, symmetric: bool) -> np.ndarray:
    """qmax int64[S] of tokens of 8 or 4 bits."""
    return (1 << np.asarray(bits, np.int64)) - (2 if symmetric else 1)


def group_starts(channels: int, group: int) -> np.ndarray:
    """First channel of each group; the last group may be shorter."""
    return np.arange(0, channels, group)


def precision_map(tokens: int, n_hi: int, n_sink: int = 0) -> np.ndarray:
    """int8[n_sink + tokens]: 8 for the sinks and the first `n_hi` coefficients, 4 for the others (§3.3)."""
    return np.where(np.arange(n_sink + tokens) < n_sink + n_hi, 8, 4).astype(np.int8)


def has_zeros(channels: int, group: int | None, symmetric: bool) -> bool:
    """Whether groups of a token of so many channels have an integer zero: blocks in min-max mode."""
    return group is not None and group < channels and not symmetric


def extremes(c: np.ndarray, group: int, symmetric: bool, zeros: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(lo, span), int64[S, groups]; with integer `zeros` 0 is in every range."""
    if group >= c.shape[1]:
        low, high = c.min(axis=1, keepdims=True), c.max(axis=1, keepdims=True)
    else:
        starts = group_starts(c.shape[1], group)
        low, high = np.minimum.reduceat(c, starts, axis=1), np.maximum.reduceat(c, starts, axis=1)
    low, high = low.astype(np.int64), high.astype(np.int64)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    if zeros:
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    return low, high - low


def reciprocal(span: np.ndarray, qmax: np.ndarray, width: int, recip_frac: int) -> tuple[np.ndarray, np.ndarray]:
    """(recip, lz), int64 like `span`: 0 ≤ span < 2^width, F = width + recip_frac; span = 0 gives recip = 0."""
    lz = width - np.frexp(span.astype(np.float64))[1].astype(np.int64)
    m = np.maximum(span << lz, 1)
    recip = ((qmax << (width + recip_frac)) + (m >> 1)) // m
    return np.where(span == 0, 0, recip), lz


def quantize(c: np.ndarray, bits: np.ndarray, config: NpuConfig, sink_shift: np.ndarray | None = None) -> Quantized:
    """Quantize coefficients.

    Parameters
    ----------
    c : integers [S, K] whose span fits `config.hw.coef_width` bits
    bits : [S], 8 or 4 for each token
    config : gives the scale mode, the group and the widths
    sink_shift : [S], carried along for the rescale, or None

    Raises
    ------
    LayerError : wrong shapes, bits other than 4 or 8, a span that does not fit
    """
    c, bits = np.asarray(c), np.asarray(bits, np.int8)
    if c.ndim != 2 or bits.shape != c.shape[:1] or not np.isin(bits, (4, 8)).all():
        raise LayerError("bits do not fit the tokens", where="scale", got=f"c {c.shape}, bits {bits.shape}",
                         expected="one 4 or 8 for each token")
    hw, symmetric = config.hw, config.job.symmetric
    tokens, channels = c.shape
    group = min(config.job.group or channels, channels)
    zeros = has_zeros(channels, group, symmetric)
    qmax = code_range(bits, symmetric)[:, None]
    groups = -(-channels // group)
    codes = np.empty((tokens, channels), np.int16 if zeros else np.int8)
    lo, span = np.empty((tokens, groups), np.int32), np.empty((tokens, groups), np.int32)
    zero = np.empty((tokens, groups), np.int16) if zeros else None
    frac = hw.coef_width + hw.recip_frac
    step = max(1, _BLOCK // channels)
    for start in range(0, tokens, step):
        rows = slice(start, start + step)
        low, width = extremes(c[rows], group, symmetric, zeros)
        if int(width.max()) >> hw.coef_width:
            raise LayerError("span does not fit the coefficients", where="scale", got=int(width.max()),
                             expected=f"less than 2^{hw.coef_width}")
        recip, lz = reciprocal(width, qmax[rows], hw.coef_width, hw.recip_frac)
        # All products stay below 2^36 and the scaling is by powers of two, so float64 is exact here.
        ratio = np.ldexp(recip.astype(np.float64), lz - frac)
        lo[rows], span[rows] = low, width
        if zero is None:
            codes[rows] = _offset_codes(c[rows], low.astype(np.float64), ratio, qmax[rows], group)
        else:
            zero[rows] = np.floor(ratio * -low + 0.5)
            codes[rows] = _zeroed_codes(c[rows], zero[rows], ratio, qmax[rows], group)
    shift = np.zeros(tokens, np.int8) if sink_shift is None else np.asarray(sink_shift, np.int8)
    return Quantized(codes, lo, span, bits, group, symmetric, shift, zero)


def quantize_apart(c: np.ndarray, bits: np.ndarray, config: NpuConfig) -> Quantized:
    """As `quantize`, but no group has an integer zero: each is quantized as a token of so many channels is. So does the
    scale unit in hardware without blocks."""
    group = config.job.group
    if group is None or group >= c.shape[1]:
        return quantize(c, bits, config)
    whole = config.with_job(group=None)
    parts = [quantize(c[:, start:start + group], bits, whole) for start in group_starts(c.shape[1], group).tolist()]
    codes, lo, span = (np.concatenate([getattr(part, name) for part in parts], axis=1)
                       for name in ("codes", "lo", "span"))
    return Quantized(codes, lo, span, parts[0].bits, group, config.job.symmetric)


def _offset_codes(c: np.ndarray, low: np.ndarray, ratio: np.ndarray, qmax: np.ndarray, group: int) -> np.ndarray:
    """q − mid as float64[S, K]: the range begins at `low`."""
    if low.shape[1] > 1:
        low, ratio = _spread(low, group, c.shape[1]), _spread(ratio, group, c.shape[1])
    work: np.ndarray = np.subtract(c, low, dtype=np.float64)
    work *= ratio
    work += 0.5 - ((qmax + 1) >> 1)
    np.floor(work, out=work)
    return work


def _zeroed_codes(c: np.ndarray, zero: np.ndarray, ratio: np.ndarray, qmax: np.ndarray, group: int) -> np.ndarray:
    """q − z as float64[S, K]."""
    zero, ratio = _spread(zero, group, c.shape[1]), _spread(ratio, group, c.shape[1])
    work: np.ndarray = np.abs(c, dtype=np.float64)
    work *= ratio
    work += 0.5
    np.floor(work, out=work)
    np.copysign(work, c, out=work)
    np.clip(work, -zero, qmax - zero, out=work)
    return work


def dequantize(quantized: Quantized) -> np.ndarray:
    """float32[S, K] in steps of the input scale: lo + span · q / qmax, or span · a / qmax with integer zeros; sinks
    scaled by 2^e."""
    gain = np.ldexp(quantized.span / quantized.qmax[:, None], quantized.sink_shift[:, None].astype(np.int64))
    if quantized.zero is None:
        base = np.ldexp(quantized.lo.astype(np.float64), quantized.sink_shift[:, None].astype(np.int64))
        base += gain * quantized.mid[:, None]
    else:
        base = np.zeros_like(gain)
    gain, base = gain.astype(np.float32), base.astype(np.float32)
    channels = quantized.codes.shape[1]
    if gain.shape[1] > 1:
        gain, base = _spread(gain, quantized.group, channels), _spread(base, quantized.group, channels)
    real: np.ndarray = np.multiply(quantized.codes, gain, dtype=np.float32)
    real += base
    return real


def _spread(values: np.ndarray, group: int, channels: int) -> np.ndarray:
    """[S, groups] to [S, channels]."""
    return np.repeat(values, group, axis=1)[:, :channels]
