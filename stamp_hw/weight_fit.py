"""The nearest 4-bit weights in groups: a search for the scale of each channel and for (u, z) of each of its groups.

What counts is the squared error of the weights. Of a channel the largest weight is tried as `REACH` steps; of a group,
with its range in so many steps, the few u that cover it and those that clip it a little, each with the z around the one
that puts the range's lower end at q = 0. All of them are legal. Of equal errors the first one tried is taken, so that
the result depends on the weights alone.
"""

from __future__ import annotations

import numpy as np

from stamp_hw.weight_groups import MOST_U, QMAX, Groups

#: Steps that a channel's largest weight is tried as: more would be clipped on both sides, less is a coarser u.
REACH = (127.0, 120.0, 112.0, 105.0)
_CLIPPED = range(5)  # u below the one that covers a group's range
_SHIFTED = (0, -1, 1)  # z beside the one that fits
_BLOCK = 1 << 16  # weights that are worked on at a time, so that their copies stay in the cache


def fit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best pair of each group: (u, z, squared error).

    Parameters
    ----------
    values : float64[…, channels] of a group, in steps of the channel's scale

    Returns
    -------
    u, z : uint8[…], legal
    error : float64[…]
    """
    low, high = np.minimum(values.min(axis=-1), 0), np.maximum(values.max(axis=-1), 0)
    covers = np.clip(np.ceil((high - low) / QMAX), 1, 16)
    most = np.array(MOST_U, np.float64)
    best: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    for less in _CLIPPED:
        around = np.maximum(covers - less, 1)
        for more in _SHIFTED:
            z = np.clip(np.rint(-low / around) + more, 0, QMAX)
            u = np.minimum(around, most[z.astype(np.intp)])
            error = np.square(values - nearest(values, u, z)).sum(axis=-1)
            if best is None:
                best = u, z, error
                continue
            better = error < best[2]
            best = (np.where(better, u, best[0]), np.where(better, z, best[1]), np.where(better, error, best[2]))
    assert best is not None
    return best[0].astype(np.uint8), best[1].astype(np.uint8), best[2]


def nearest(values: np.ndarray, u: np.ndarray, z: np.ndarray) -> np.ndarray:
    """u·(q − z) nearest to each value: float64[…, channels]; `u` and `z` of any type.
    """
    step, zero = (np.asarray(part, np.float64)[..., None] for part in (u, z))
    return np.asarray(step * np.clip(np.rint(values / step), -zero, QMAX - zero))


def grouped(weight: np.ndarray, size: int, peak: np.ndarray) -> tuple[np.ndarray, np.ndarray, Groups]:
    """The nearest codes that the search finds.

    Parameters
    ----------
    weight : float32[N, K]
    size : channels of a group
    peak : float64[N], absmax of each channel, positive

    Returns
    -------
    codes : int8[N, K]
    scale : float64[N], real value of a step of the codes
    groups : Groups
    """
    outputs, channels = weight.shape
    count = -(-channels // size)
    codes, scale = np.empty(weight.shape, np.int8), np.empty(outputs)
    u, z = (np.empty((outputs, count), np.uint8) for _ in range(2))
    block = max(1, _BLOCK // channels)
    for start in range(0, outputs, block):
        rows = slice(start, start + block)
        scale[rows], u[rows], z[rows] = _pairs(weight[rows].astype(np.float64), size, peak[rows])
        for group in range(count):
            part = slice(group * size, (group + 1) * size)
            codes[rows, part] = nearest(weight[rows, part] / scale[rows, None], u[rows, group], z[rows, group])
    return codes, scale, Groups(size, u, z)


def _pairs(weight: np.ndarray, size: int, peak: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scale, u, z) of some channels, of all that are tried those with the least error."""
    outputs, channels = weight.shape
    # Zeros, which cost nothing where q may be z, fill the last group.
    groups = np.pad(weight, ((0, 0), (0, -channels % size))).reshape(outputs, -1, size)
    least = np.full(outputs, np.inf)
    scale, found = np.empty(outputs), [np.empty(groups.shape[:2], np.uint8) for _ in range(2)]
    for reach in REACH:
        step = peak / reach
        u, z, error = fit(groups / step[:, None, None])
        total = error.sum(axis=1) * step**2
        better = total < least
        least[better], scale[better] = total[better], step[better]
        for kept, tried in zip(found, (u, z), strict=True):
            kept[better] = tried[better]
    return scale, found[0], found[1]
