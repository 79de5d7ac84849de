"""4-bit weights with a step and a zero a group of input channels: w = u·(q − z) (docs/contract.md §3.5).

q is the nibble that travels, 0…15; u, 1…16, and z, 0…15, belong to an output channel and a group of 32, 64 or 128 input
channels, the last of which may be shorter. What the array multiplies by is w itself, an INT8: progressive group
quantization (QServe, arXiv 2405.04532). Without groups u is 1 and z is 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stamp_hw.hw_config import WEIGHT_GROUPS as SIZES

__all__ = ["HIGHEST", "LOWEST", "MOST_U", "PLAIN_ZERO", "QMAX", "SIZES", "Groups", "expand", "legal", "plain_nibbles",
           "spread"]
QMAX = 15  # of a nibble
PLAIN_ZERO = 8  # z of weights without groups, whose u is 1
LOWEST, HIGHEST = -128, 127  # of a weight
#: z → the largest u with which every u·(q − z) is an INT8: 177 of the 256 pairs are legal.
MOST_U = tuple(max(u for u in range(1, 17) if -u * z >= LOWEST and u * (QMAX - z) <= HIGHEST) for z in range(QMAX + 1))


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Steps and zeros of one layer: `u`, `z` uint8[N, ceil(K / size)], for groups of `size` input channels."""

    size: int
    u: np.ndarray
    z: np.ndarray

    def nibbles(self, codes: np.ndarray) -> np.ndarray:
        """uint8[N, K], the q of weights that are on this grid: int8[N, K]."""
        u, z = (spread(part, self.size, codes.shape[1]) for part in (self.u, self.z))
        q: np.ndarray = (codes // u.astype(np.int16) + z).astype(np.uint8)
        return q


def legal(u: np.ndarray, z: np.ndarray) -> np.ndarray:
    """bool: the pairs with which no weight leaves INT8. `u` in 1…16, `z` in 0…15, of one shape."""
    return np.asarray(u <= np.array(MOST_U)[z])


def spread(part: np.ndarray, size: int, channels: int) -> np.ndarray:
    """A value a group, [N, groups], as one a channel: [N, channels]."""
    return np.asarray(np.repeat(part, size, axis=1)[:, :channels])


def expand(q: np.ndarray, groups: Groups) -> np.ndarray:
    """What the hardware makes of nibbles: int8[N, K], saturated where a pair is illegal.

    Parameters
    ----------
    q : uint8[N, K], 0…15
    """
    u, z = (spread(part, groups.size, q.shape[1]).astype(np.int16) for part in (groups.u, groups.z))
    return np.clip(u * (q - z), LOWEST, HIGHEST).astype(np.int8)


def plain_nibbles(codes: np.ndarray) -> np.ndarray:
    """uint8[N, K]: q of 4-bit weights without groups, int8[N, K] in −8…7."""
    return (codes + np.int8(PLAIN_ZERO)).astype(np.uint8)
