"""Round-to-nearest weight quantization, a scale an output channel (docs/contract.md §3.5); in groups see
`stamp_hw.weight_fit`.

The code of w is the integer nearest to w · top / absmax as real numbers, ties to even, with top = 2^(bits−1) − 1. In
float64 w · top is exact (24 + 7 bits), and the rounded quotient stands at a tie k + 1/2 only where the exact one does:
of two float32, a quotient that is no tie is at least 2^-32 away from one, and it is rounded by less than 2^-46.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stamp_hw import weight_fit
from stamp_hw.weight_groups import Groups

MIN_CHANNEL = 2.0**-100  # an output channel whose weights stay below this counts as all-zero
_BLOCK = 1 << 16  # elements that are worked on at a time: their float64 copies stay in the second-level cache


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Integer weights of one layer: `codes` int8[N, K]; `scale` float64[N], real value of one step; `groups` what the
    codes are made of where 4 bits travel in groups, else None."""

    codes: np.ndarray
    scale: np.ndarray
    groups: Groups | None = None

    def real(self) -> np.ndarray:
        """float32[N, K], what the codes stand for."""
        return self.codes * self.scale[:, None].astype(np.float32)

    def sums(self, group: int) -> np.ndarray:
        """wsum int64[groups, N]: sum of the codes of each group of `group` input channels."""
        starts = np.arange(0, self.codes.shape[1], group)  # of each group; the last may be shorter
        step = max(1, _BLOCK // self.codes.shape[1])  # NumPy adds int8 as int64 by a copy of them all
        return np.concatenate([np.add.reduceat(self.codes[start : start + step], starts, axis=1, dtype=np.int64)
                               for start in range(0, len(self.codes), step)]).T


def quantize_weights(weight: np.ndarray, bits: int, group: int | None = None) -> Weights:
    """Symmetric codes in −(2^(bits−1) − 1)…2^(bits−1) − 1, the nearest to the exact quotient, ties to even; in groups
    the nearest that `stamp_hw.weight_fit` finds.

    Parameters
    ----------
    weight : float[N, K], taken as float32
    bits : 4 or 8
    group : input channels that share (u, z) of 4-bit weights, or None

    `scale` is the float64 nearest to absmax / (2^(bits−1) − 1). An all-zero channel (absmax below 2^-100) takes the
    scale of the layer's largest channel, which rescale can reach as surely as that channel's own; a layer of nothing
    else takes scale 1.
    """
    weight = np.asarray(weight, dtype=np.float32)
    top = 2 ** (bits - 1) - 1
    peak = peaks(weight, top)
    if group is not None:
        return Weights(*weight_fit.grouped(weight, group, peak))
    codes = np.empty(weight.shape, np.int8)
    step = max(1, _BLOCK // weight.shape[1])
    for start in range(0, len(weight), step):
        rows = slice(start, start + step)
        work = np.multiply(weight[rows], top, dtype=np.float64)
        work /= peak[rows, None]
        codes[rows] = np.rint(work, out=work)
    return Weights(codes, peak / top)


def peaks(weight: np.ndarray, other: float) -> np.ndarray:
    """float64[N]: absmax of each channel; of an all-zero one that of the layer, of an all-zero layer `other`."""
    peak = np.maximum(weight.max(axis=1), -weight.min(axis=1)).astype(np.float64)
    largest = float(peak.max())
    return np.where(peak < MIN_CHANNEL, largest if largest >= MIN_CHANNEL else other, peak)
