"""Streams of the engine at the one port, a unit at a time: `sim.engine.port_streams` for whole layers.

A unit's beats are taken at a pace of their own, each as soon as it is there. With start s, transfer time d and latency
l of burst m, f(m) the first beat that has a part of it, and pace c of beat n, its cycles behind the unit's first beat:

    s(m) = max(s(m − 1) + d, free(m − depth))        free(m) = t(last beat of m) + 1
    t(n) = c(n) + max(begin, max over m: s(m) + d + l − c(f(m)))        m up to the last burst that n needs

The second line is a running maximum, and so is the first where `free` is known. Where a unit has more bursts than
places, `free` depends on the unit's own beats: it is followed from below, never falling, until it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from sim.engine.port_streams import PortStream, Timeline
from sim.engine.weight_loads import pace
from sim.port import TICKS, Plan, Unit
from stamp_hw.engine.wire import WeightFormat

NEVER = -(1 << 60)
LONG_AGO = -(1 << 40)
MAX_SEEN = 512  # tokens that are remembered: what repeats does so soon, or not for thousands


@dataclass(frozen=True, slots=True, eq=False)
class Beats:
    """The beats of a unit that has places for some bursts: `pace` int64[beats] of each beat behind the first where none
    waits; of each burst int64[bursts] the pace of the `first` beat that has a part of it, the cycle behind that of the
    last one, in which its place is `freed`, and `need`, the last burst that this last beat needs; `numbers` 0, 1, … of
    bursts or places."""

    pace: np.ndarray
    first: np.ndarray
    freed: np.ndarray
    need: np.ndarray
    numbers: np.ndarray

    @classmethod
    @lru_cache(maxsize=128)
    def of(cls, unit: Unit, depth: int, weights: WeightFormat | None = None, steps: int = 0) -> Beats:
        """Of `depth` places; one beat a cycle, or so many steps of weights."""
        paces = np.arange(unit.beats) if weights is None else pace(weights, steps)
        bursts = np.arange(unit.bursts)
        last = np.minimum(unit.beats - 1, ((bursts + 1) * unit.burst - 1) // unit.beat_bytes)
        found = (paces, paces[bursts * unit.burst // unit.beat_bytes], paces[last] + 1,
                 ((last + 1) * unit.beat_bytes - 1) // unit.burst, np.arange(max(unit.bursts, depth)))
        for shared in found:  # remembered, so nobody may write to them
            shared.flags.writeable = False
        return cls(*found)


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What all units of a stream have in common: `unit`, its `beats`, `depth` bursts, `latency` ticks, and the phases
    of `timeline`."""

    name: str
    unit: Unit
    beats: Beats
    depth: int
    latency: int
    timeline: Timeline

    def ends(self, end: int, free: np.ndarray) -> np.ndarray:
        """int64[len(free)] the tick in which each transfer ends, latency aside: the one before them ended in tick
        `end`, and places are free in the cycles `free`. A phase after the other."""
        found = []
        while len(free):
            spacing, until = self.timeline.at(self.name, max(end, int(free[0]) * TICKS))
            steps = self.beats.numbers[: len(free)] * spacing
            waits = free * TICKS - steps
            waits[0] = max(end, waits[0])
            ends = steps + (np.maximum.accumulate(waits) + spacing)
            if until is not None:  # those that start before it
                ends = ends[: int(np.searchsorted(ends, until * TICKS + spacing))]
            found.append(ends)
            end, free = int(ends[-1]), free[len(ends):]
        return found[0] if len(found) == 1 else np.concatenate(found)


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A stream behind some units: `end` tick in which the last transfer ended, `free` int64[depth] cycles from which
    the places of the last bursts are free."""

    line: Line
    end: int
    free: np.ndarray

    @classmethod
    def of(cls, line: Line, begin: int) -> Flow:
        """A stream of which nothing has been asked for; the memory may be from cycle `begin` on."""
        return cls(line, begin * TICKS, np.zeros(line.depth, np.int64))

    def take(self, begin: int) -> tuple[Flow, Taken]:
        """A unit, its first beat not before `begin`."""
        line, beats, count = self.line, self.line.beats, self.line.unit.bursts
        own = max(0, count - line.depth)  # bursts of the unit that need a place of another one of it
        in_time = free = beats.freed + begin  # of the unit's own bursts, if nothing were late
        while True:
            ends = line.ends(self.end, np.concatenate((self.free, free[:own])) if own else self.free[:count])
            late, found = (ends + (line.latency + TICKS - 1)) // TICKS - beats.first, in_time
            if late.max() > begin:
                late = np.maximum.accumulate(late)
                found = beats.freed + np.maximum(begin, late[beats.need])
            if found is free or bool((found[:own] == free[:own]).all()):
                break
            free = found
        kept = found[own:] if own else np.concatenate((self.free[count:], found))
        return Flow(line, int(ends[-1]), kept), Taken(line, begin, late)

    def seen_from(self, cycle: int) -> tuple[Any, ...]:
        """All that the next units depend on, counted from a cycle: when it is the same, so are they."""
        return self.end - cycle * TICKS, (np.maximum(self.free, self.end // TICKS) - cycle).tobytes()

    def ahead(self) -> int:
        """Tick in which all bursts are there that may be asked for before another beat is taken."""
        return int(self.line.ends(self.end, self.free)[-1]) + self.line.latency

    def for_take(self, begin: int) -> tuple[int, bytes]:
        """(`end`, `free` as bytes) for a unit whose first beat is not before `begin`: long ago where all that may be
        asked for is there by then; else no place is free before the last transfer ended, as none is used before."""
        if self.end <= begin * TICKS and self.ahead() <= begin * TICKS:
            return LONG_AGO * TICKS, np.full(self.line.depth, LONG_AGO, np.int64).tobytes()
        return self.end, np.maximum(self.free, self.end // TICKS).tobytes()

    def left(self, cycle: int) -> bytes:
        """The places, counted from a cycle."""
        return (self.free - cycle).tobytes()

    def moved(self, cycles: int) -> Flow:
        """As much later."""
        return Flow(self.line, self.end + cycles * TICKS, self.free + cycles)


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """The beats of a unit: none before `begin` and its pace, and where they wait for a burst none before `late`
    int64[bursts] and its pace."""

    line: Line
    begin: int
    late: np.ndarray

    def beat(self, number: int) -> int:
        """Cycle in which it is taken; −1 is the last one."""
        number %= self.line.unit.beats
        return int(self.line.beats.pace[number]) + max(self.begin, int(self.late[self.line.unit.needs(number)]))


class PortTokens:
    """Tokens behind the one port (`sim.port`), of a job whose registers are taken in cycle 0, or whose tokens are to be
    had from then on; `before` are the spacings of the phase until then."""

    def __init__(self, plan: Plan, before: Mapping[str, int] | None = None) -> None:
        self.plan, self.timeline = plan, Timeline()
        if before is not None:
            self.timeline.starts.append(NEVER)
            self.timeline.spacings.append(dict(before))
        self._begin = 1 if before is None else 0
        self.timeline.begin(self._begin, plan)
        unit = plan.units["i"]
        line = Line("i", unit, Beats.of(unit, plan.depth["i"]), plan.depth["i"], plan.latency, self.timeline)
        # The stream is the flow, so much later.
        self._flow, self._later, self._count = Flow.of(line, self._begin), 0, 0
        self._seen: dict[tuple[Any, ...], tuple[Flow, int, int, int]] = {}
        self._followed: dict[tuple[int, Flow, int], tuple[Flow, int, int, int]] = {}

    def take(self, begin: int, beat: int) -> tuple[int, int]:
        """A token, not before cycle `begin`: (cycle of its last beat, of beat number `beat`, the same of every token).

        What it waits for depends on the stream as it stands, seen from `begin`, while the phase does not change.
        """
        steady = self._flow.end // TICKS + self._later >= self.timeline.starts[-1]
        again = self.timeline.phase, self._flow, begin - self._later
        known = self._followed.get(again) if steady else None
        if known is None:
            known = self._look(begin, beat, steady)
            if steady and len(self._followed) < MAX_SEEN:
                self._followed[again] = known
        self._flow, then, last, at = known
        self._later = begin - then
        self._count += 1
        self.timeline.taken(last + self._later, self._count)
        return last + self._later, at + self._later

    def _look(self, begin: int, beat: int, steady: bool) -> tuple[Flow, int, int, int]:
        """(the stream behind a token, the cycle that this one and the next are of, cycles of its last beat and of beat
        number `beat`): of an earlier token where the stream was the same, seen from its begin."""
        flow = self._flow.moved(self._later)
        where = self.timeline.phase, *flow.seen_from(begin)
        if steady and where in self._seen:
            return self._seen[where]
        behind, taken = flow.take(begin)
        found = behind, begin, taken.beat(-1), taken.beat(beat)
        if steady and len(self._seen) < MAX_SEEN:
            self._seen[where] = found
        return found

    @property
    def stream(self) -> PortStream:
        """The same, beat by beat."""
        stream = PortStream("i", self.timeline)
        stream.job(self._begin, self.plan)
        return stream

    def longer_than(self, cycles: int) -> bool:
        """A token takes the memory longer, over all of them."""
        counts = np.diff((0, *self.plan.bounds)).tolist()
        fetched = sum(count * self.plan.fetch("i", phase) for phase, count in enumerate(counts) if count)
        return fetched > cycles * self.plan.bounds[-1]
