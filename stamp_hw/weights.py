"""Round-to-nearest weight quantization, per output channel or per group of input channels (docs/contract.md §3.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stamp_hw.scale import group_starts

MIN_CHANNEL = 2.0**-100  # an output channel whose weights stay below this counts as all-zero
MAX_GROUP_FACTOR = 15  # u[n, g] is 4 bits unsigned and never 0


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Integer weights of one layer.

    `codes` int8[N, K]; `scale` float64[N], real value of one step; `factor` int64[N, groups], u[n, g] in 1…15, or
    None for one scale an output channel; `group` channels a group (K when there is one).
    """

    codes: np.ndarray
    scale: np.ndarray
    factor: np.ndarray | None
    group: int

    def real(self) -> np.ndarray:
        """float32[N, K], what the codes stand for."""
        real = self.codes * self.scale[:, None].astype(np.float32)
        if self.factor is not None:
            real *= np.repeat(self.factor, self.group, axis=1)[:, : self.codes.shape[1]].astype(np.float32)
        return real

    def sums(self, group: int) -> np.ndarray:
        """wsum int64[groups, N]: sum of the codes of each group of `group` input channels."""
        starts = group_starts(self.codes.shape[1], group)
        return np.add.reduceat(self.codes, starts, axis=1, dtype=np.int64).T


def quantize_weights(weight: np.ndarray, bits: int, group: int | None = None) -> Weights:
    """Symmetric round-to-nearest-even: codes in −(2^(bits−1) − 1)…2^(bits−1) − 1, scale = absmax / (2^(bits−1) − 1).

    Parameters
    ----------
    weight : float[N, K]
    bits : 4 or 8
    group : input channels that share a scale `s_w[n] · u[n, g]`, u the smallest integer in 1…15 that covers the group
        when the largest group takes 15; None for one scale an output channel

    An all-zero channel (absmax below 2^-100) takes the scale of the layer's largest channel, which rescale can reach as
    surely as that channel's own; a layer of nothing else takes scale 1.
    """
    weight = np.asarray(weight, dtype=np.float32)
    channels = weight.shape[1]
    top = 2 ** (bits - 1) - 1
    size = channels if group is None else min(group, channels)
    absmax = np.maximum.reduceat(np.abs(weight), group_starts(channels, size), axis=1).astype(np.float64)
    peak = absmax.max(axis=1)
    largest = float(peak.max())
    divisor = top if group is None else top * MAX_GROUP_FACTOR
    scale = np.where(peak < MIN_CHANNEL, largest if largest >= MIN_CHANNEL else divisor, peak) / divisor
    if group is None:
        codes = np.rint(weight / scale[:, None].astype(np.float32))
        return Weights(np.clip(codes, -top, top, out=codes).astype(np.int8), scale, None, size)
    factor = np.clip(np.ceil(absmax / (top * scale[:, None]) - 1e-9), 1, MAX_GROUP_FACTOR).astype(np.int64)
    steps = np.repeat(scale[:, None] * factor, size, axis=1)[:, :channels]
    codes = np.clip(np.rint(weight / steps.astype(np.float32)), -top, top)
    return Weights(codes.astype(np.int8), scale, factor, size)
