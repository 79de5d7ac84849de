"""The Hadamard unit between the stream `i` and the lifting unit: what `sim.engine.front.Source` is without it
(`rtl_gen/hadamard/unit.py`).

One elastic pipeline: in its own time, which stands still while its output waits for the lifting unit, a block leaves in
a row, `latency` behind its last beat. The beats of a block are followed when the first of its outputs is asked for: all
that left before it has been taken by then.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from sim.engine.elastic import Elastic
from stamp_hw.hadamard_params import HadamardParams

BEGIN = 2  # cycles from a job's start in the stages behind to the first beat that the unit may take

#: A unit at rest between two tokens, in cycles from now: last beat taken from the stream; the same or, later, the first
#: cycle in which the job's first beat may be taken; first cycle of the pipeline's own time that is free, and where from
#: there on it stands still and for how long.
State = tuple[int, int, int, tuple[tuple[int, int], ...]]


class Beats(Protocol):
    """A stream of input beats."""

    def next(self) -> int:
        """Cycle from which the next beat is offered."""

    def record(self, cycle: int) -> None:
        """It is taken in this cycle."""

    @property
    def last(self) -> int:
        """Cycle in which the last beat was taken."""


class Rotated:
    """Tokens behind the unit.

    `params`; `source` the stream in front of it
    """

    def __init__(self, params: HadamardParams, source: Beats) -> None:
        self._params, self._source = params, source
        self._elastic = Elastic(lambda offered: max(offered, self._earliest))
        self._earliest = 0  # first cycle in which the lifting unit takes the next beat
        self._least = 0  # first cycle of the pipeline's time in which a beat can enter
        self._taken: list[int] = []  # cycles of the beats that were taken last
        self._due: deque[int] = deque()  # when beats are at the output, in that time

    def start(self, begin: int, in_beats: int, beats: int) -> None:
        """A job of tokens of `in_beats` in front of the unit and `beats` behind it, the first not before `begin`."""
        self._begin, self._in_beats, self._beats = begin, in_beats, beats
        self._beat = 0

    def take(self, earliest: int, count: int) -> int:
        """As `Source.take`: `count` beats, the first not before `earliest`, each as soon as it is offered."""
        self._earliest = earliest
        self._taken = []
        for _ in range(count):
            if not self._due:
                self._block()
            cycle = self._elastic.leave(self._due.popleft())
            self._taken.append(cycle)
            self._earliest = cycle + 1
        return self._taken[-1]

    def latest(self, count: int) -> list[int]:
        """As `Source.latest`, of beats that were taken at once."""
        return self._taken[-count:]

    def _block(self) -> None:
        """The beats of a block enter, those that pad it among them."""
        entry = self._least
        for _ in range(self._params.block_beats):
            if self._beat < self._in_beats:
                entry = self._elastic.enter(max(self._source.next(), self._begin), self._least)
                self._source.record(self._elastic.real(entry))
            else:
                entry = self._elastic.enter(self._begin, self._least)
            self._least = entry + 1
            self._beat = (self._beat + 1) % self._beats
        first = entry + self._params.latency
        self._due.extend(range(first, first + self._params.block_beats))

    def state(self, now: int) -> State:
        """Between two tokens: all that the cycles of the next ones depend on, but where `now` is in the stream's own
        period."""
        free, stalls = self._elastic.seen_from(self._least)
        last = self._source.last
        return last - now, max(last, self._begin) - now, free - now, stalls

    def restore(self, now: int, state: State) -> None:
        """As if it had come to that state, in a job whose first beat was taken."""
        last, _, free, stalls = state
        self._source.record(last + now)
        self._elastic.restore(self._least, free + now, stalls)
