"""Block Hadamard transform of the input channels, and its inverse folded into the weights (docs/contract.md §3.9).

    h = H·diag(σ)·x,  y = sat((h + 2^(r−1)) >> r)            a block of B channels of one token
    W' = W·diag(σ)·H / B                                      so that W'·h = W·x

H is Sylvester's matrix of ±1, H[i, k] = (−1)^(bits that i and k have in common), and σ(k) = (−1)^(k0·k1 ⊕ k2·k3 ⊕ …)
over the bits of a channel's place in its block: a bent function (O. Rothaus, 1976), which H sends into ±√B everywhere.
So what all channels share, which H alone would gather in one, is spread evenly over all B.

The hardware has a rank of registers for each bit of the place, here it is a pass over the array.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stamp_hw.rescale import saturate

_ROWS = 64  # tokens that are worked on at a time
_CHANNELS = 512  # output channels whose weights are folded at a time: float64 of a vocabulary's would be gigabytes


class Rotation(NamedTuple):
    """What a job has the unit do: `block` channels B, `shift` r."""

    block: int
    shift: int


def signs(block: int) -> np.ndarray:
    """σ of every place in a block: int64[block], ±1."""
    place = np.arange(block)
    odd = np.zeros(block, np.int64)
    for bit in range(0, block.bit_length() - 1, 2):
        odd ^= place >> bit & place >> bit + 1 & 1
    return 1 - 2 * odd


def channels(k: int, block: int) -> int:
    """K': k channels and what fills their last block."""
    return -(-k // block) * block


def butterflies(values: np.ndarray, block: int) -> np.ndarray:
    """H times each block of the last axis, which holds whole blocks: sum and difference for each bit of the place, from
    the lowest bit on. The same type; a new array."""
    found = np.array(values)
    for bit in range(block.bit_length() - 1):
        pairs = found.reshape(*found.shape[:-1], -1, 2, 1 << bit)
        low, high = pairs[..., 0, :].copy(), pairs[..., 1, :]
        pairs[..., 0, :] += high
        np.subtract(low, high, out=high)
    return found


def padded(values: np.ndarray, block: int) -> np.ndarray:
    """The last axis filled with zeros to whole blocks."""
    k = values.shape[-1]
    more = [(0, 0)] * (values.ndim - 1) + [(0, channels(k, block) - k)]
    return np.pad(values, more)


def sums(x: np.ndarray, block: int) -> np.ndarray:
    """h of x integers[S, K]: int64[S, K'], exact."""
    wide = padded(x.astype(np.int64), block)
    return butterflies(wide * np.resize(signs(block), wide.shape[-1]), block)


def halve(h: np.ndarray, shift: int) -> np.ndarray:
    """(h + 2^(shift−1)) >> shift: divided by 2^shift, a half rounded up; h itself where `shift` is 0."""
    found: np.ndarray = (h + (1 << shift >> 1)) >> shift
    return found


def transform(x: np.ndarray, block: int, shift: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What the unit makes of x integers[S, K]: (int32[S, K'], int64[S] values that saturated to `width` bits)."""
    y = np.empty((len(x), channels(x.shape[1], block)), np.int32)
    saturated = np.empty(len(x), np.int64)
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        exact = halve(sums(x[rows], block), shift)
        y[rows] = saturate(exact, width)
        saturated[rows] = np.count_nonzero(y[rows] != exact, axis=1)
    return y, saturated


def least_shift(x: np.ndarray, block: int, width: int) -> int:
    """The smallest r in 0…log2(block) at which nothing of x integers[S, K] saturates to `width` bits; log2(block) where
    something always does."""
    parts = (sums(x[start : start + _ROWS], block) for start in range(0, len(x), _ROWS))
    lows, highs = zip(*((h.min(), h.max()) for h in parts), strict=True)
    return shift_for(int(min(lows)), int(max(highs)), block, width)


def shift_for(low: int, high: int, block: int, width: int) -> int:
    """That r for sums h of `low`…`high`."""
    ends, limit, top = np.array([low, high]), 1 << width - 1, block.bit_length() - 1
    shifted = (halve(ends, shift) for shift in range(top))
    return next((shift for shift, (least, most) in enumerate(shifted) if -limit <= least and most < limit), top)


def usual_shift(block: int) -> int:
    """r where nothing was calibrated: log2(block) / 2 makes a block of one size as large as it was, and one bit is
    room for what adds up. Chosen: of the shipped traces three values saturate at it, in blocks of 64 and 256."""
    return (block.bit_length() - 1) // 2 + 1


def fold(weight: np.ndarray, block: int) -> np.ndarray:
    """W·diag(σ)·H / B of float32[N, K]: float32[N, K'], made in float64 in the order of `butterflies`."""
    weight = np.asarray(weight)
    folded = np.empty((len(weight), channels(weight.shape[1], block)), np.float32)
    signed = np.resize(signs(block), folded.shape[1])
    for start in range(0, len(weight), _CHANNELS):
        wide = padded(weight[start : start + _CHANNELS].astype(np.float64), block)
        folded[start : start + _CHANNELS] = butterflies(wide * signed, block) / block
    return folded


def unfold(rotated: np.ndarray, block: int, k: int) -> np.ndarray:
    """float[…, K'] times H·diag(σ), the first `k` channels: of folded weights those that they stand for; of h it is
    B times the channels that it was made of. Float32 stays float32."""
    back = butterflies(rotated, block) * np.resize(signs(block), rotated.shape[-1]).astype(rotated.dtype)
    return np.ascontiguousarray(back[..., :k])
