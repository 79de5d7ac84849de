"""Cycles in which a pass's weights are taken and written (`rtl_gen/engine/unpack.py`).

Bytes are taken and written in one cycle. A packed beat is written as two k-steps, the first in the cycle in which it is
taken, the second in the next one; meanwhile no further nibbles are taken, but the (u, z) of the group that follows are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np

from sim.dram import Rate
from sim.engine.asks import drive
from stamp_hw.engine.wire import WeightFormat


def take_packed(take: Callable[[int], int], begin: int, k: int, group: int | None) -> int:
    """The beats of a pass, one after the other: cycle in which the last of its `k` steps is written.

    Parameters
    ----------
    take : takes the next beat, not before the cycle it is given: cycle of it
    begin : first cycle in which a beat can be taken
    group : as in `WeightFormat`
    """
    return drive(_packed(begin, k, group), take)


def beats(weights: WeightFormat, k: int, begin: int) -> Generator[int, int, int]:
    """Asks for the beats of a pass, each not before the cycle that it yields, and is told the cycle of it; returns the
    cycle in which the last of its `k` steps is written."""
    if weights.packed:
        return (yield from _packed(begin, k, weights.group))
    for _ in range(k):
        begin = (yield begin) + 1
    return begin - 1


def _packed(begin: int, k: int, group: int | None) -> Generator[int, int, int]:
    """Those of packed weights."""
    cycle = begin - 1
    free = begin  # first cycle in which nibbles can be taken
    for start in range(0, k, group or k):
        if group:
            free = max(free, (yield cycle + 1) + 1)
        for _ in range(0, min(group or k, k - start), 2):
            cycle = yield free
            free = cycle + 2
    return cycle + 1 - k % 2


def pace(weights: WeightFormat, k: int) -> np.ndarray:
    """int64[beats]: cycle of each beat of a pass behind the first one, where none waits for the memory. A beat that
    waits makes all behind it as much later: nibbles follow nibbles by two cycles, and (u, z), or nibbles behind it, by
    one."""
    if not weights.packed:
        return np.arange(k)
    steps: list[int] = []
    for start in range(0, k, weights.group or k):
        beats = (min(weights.group or k, k - start) + 1) // 2
        steps += [1, 1] if weights.group else [2]
        steps += [2] * (beats - 1)
    return np.cumsum(steps) - steps[0]


def rated(rate: Rate, weights: WeightFormat, k: int, last: int, begin: int) -> tuple[int, int]:
    """The same of a memory's rate, `last` the cycle of the stream's last beat before: (cycle of the last beat, cycle in
    which the last step is written)."""
    if not weights.packed:
        taken = rate.take(last, begin, weights.beats(k))
        return taken, taken
    last = _often(rate, weights, k, last, begin) if rate.den <= 2 * rate.num else _seldom(rate, weights, k, last, begin)
    return last, last + 1 - k % 2


def _often(rate: Rate, weights: WeightFormat, k: int, last: int, begin: int) -> int:
    """A beat in one of two cycles at least: nibbles never wait for the memory, but behind (u, z)."""
    cycle, free = begin - 1, begin
    for start in range(0, k, weights.group or k):
        if weights.group:
            last = rate.take(last, cycle + 1, 1)
            free = max(free, last + 1)
        beats = (min(weights.group or k, k - start) + 1) // 2
        cycle = last = rate.take(last, free, 1) + 2 * (beats - 1)
        free = cycle + 2
    return last


def _seldom(rate: Rate, weights: WeightFormat, k: int, last: int, begin: int) -> int:
    """Beats two cycles apart or more: once one was taken in the cycle in which it was offered, none waits any more."""
    left, cycle, free = weights.beats(k), begin - 1, begin
    for start in range(0, k, weights.group or k):
        pair = bool(weights.group)
        for _ in range(pair + (min(weights.group or k, k - start) + 1) // 2):
            if last >= begin and rate(last):
                return rate.take(last, last + 1, left)
            last = rate.take(last, cycle + 1 if pair else free, 1)
            if pair:
                free = max(free, last + 1)
            else:
                cycle, free = last, last + 2
            pair, left = False, left - 1
    return last
