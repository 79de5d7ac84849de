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

import numpy as np

from sim.engine.port_streams import PortStream, Timeline
from sim.engine.weight_loads import pace
from sim.port import TICKS, Plan, Unit
from stamp_hw.engine.wire import WeightFormat

NEVER = -(1 << 60)
LONG_AGO = -(1 << 40)
MAX_SEEN = 512  # tokens that are remembered: what repeats does so soon, or not for thousands
#: Phases of a timeline as one stream has them: ticks of a burst in each, and the cycle in which it ends, None: never.
Ahead = tuple[tuple[int, int | None], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """What all units of a stream have in common: the `unit`, places for `depth` bursts, `latency` in ticks. `pace`
    int64[beats] cycle of each beat behind the first where none waits. In ticks from then on, int64[bursts] of each
    burst: by when its transfer must have ended to be in time for its first beat (`due`), and when its place is free
    behind its last one (`freed`), where `need` is the last burst that this beat needs, None: each burst itself.
    `numbers` 0, 1, … of bursts or places."""

    unit: Unit
    depth: int
    latency: int
    pace: np.ndarray
    due: np.ndarray
    freed: np.ndarray
    need: np.ndarray | None
    numbers: np.ndarray

    @classmethod
    @lru_cache(maxsize=512)
    def of(cls, unit: Unit, depth: int, latency: int, weights: WeightFormat | None = None, steps: int = 0) -> Kind:
        """One beat a cycle, or so many steps of weights."""
        paces = np.arange(unit.beats) if weights is None else pace(weights, steps)
        bursts = np.arange(unit.bursts)
        last = np.minimum(unit.beats - 1, ((bursts + 1) * unit.burst - 1) // unit.beat_bytes)
        need = ((last + 1) * unit.beat_bytes - 1) // unit.burst
        found = paces, (paces[bursts * unit.burst // unit.beat_bytes] * TICKS) - latency, (paces[last] + 1) * TICKS
        numbers = np.arange(max(unit.bursts, depth))
        for shared in (*found, need, numbers):  # remembered, so nobody may write to them
            shared.flags.writeable = False
        return cls(unit, depth, latency, *found, None if bool((need == bursts).all()) else need, numbers)


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A stream: its name and `kind`, and the phases of `timeline`."""

    name: str
    kind: Kind
    timeline: Timeline


def transfers(kind: Kind, ahead: Ahead, end: int, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(tick in which each starts, in which it ends, latency aside) int64[len(free)] each: the one before them ended in
    tick `end`, and their places are free in the ticks `free`. A phase after the other."""
    found = []
    phases = iter(ahead)
    while len(free):
        first = max(end, int(free[0]))
        spacing, until = next((spacing, until) for spacing, until in phases
                              if until is None or first < until * TICKS)
        most = len(free) if until is None else -(-(until * TICKS - first) // spacing)  # that can start before its end
        steps = kind.numbers[: len(free[:most])] * spacing
        waits = free[:most] - steps
        waits[0] = first
        starts = steps + np.maximum.accumulate(waits)
        if until is not None:
            starts = starts[: int(np.searchsorted(starts, until * TICKS))]
        found.append((starts, starts + spacing))
        end, free = int(starts[-1]) + spacing, free[len(starts) :]
    if len(found) == 1:
        return found[0]
    return np.concatenate([starts for starts, _ in found]), np.concatenate([ends for _, ends in found])


@dataclass(frozen=True, slots=True, eq=False)
class Ramp:
    """A unit whose bursts follow each other at `spacing` without a wait for a place, in ticks from the end of the
    transfer before it: `late` as of `taken`, not yet whole cycles. It is so where each place that the unit frees is
    free in time: however late its bursts come where `holds`, and where they are not late if the transfer before it
    ended in tick `least` or later."""

    late: np.ndarray
    holds: bool
    least: int

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, kind: Kind, spacing: int) -> Ramp:
        """Of a unit with more bursts than places."""
        starts = kind.numbers[: kind.unit.bursts] * spacing
        late = np.maximum.accumulate(starts + spacing - kind.due)
        own, free = starts[kind.depth :], kind.freed[: -kind.depth]
        until = late if kind.need is None else late[kind.need]
        return cls(late, bool((free + until[: len(own)] + (TICKS - 1) <= own).all()), int((free - own).max()))


def taken(kind: Kind, ahead: Ahead, end: int, free: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """A unit whose first beat comes in cycle 0 at the earliest: (tick in which its last transfer ends, `free` behind
    it, whole cycles in ticks int64[bursts] by which beats are later than their pace where they need each burst and
    those before it, negative: earlier)."""
    count = kind.unit.bursts
    own = max(0, count - kind.depth)  # bursts of the unit that need a place of another one of it
    if own and len(ahead) == 1:
        spacing = ahead[0][0]
        ramp = Ramp.of(kind, spacing)
        if ramp.holds and ramp.least <= end and int((free - kind.numbers[: kind.depth] * spacing).max()) <= end:
            late = (ramp.late + (end + TICKS - 1)) & -TICKS
            until = late[own:] if kind.need is None else late[kind.need[own:]]
            return end + count * spacing, kind.freed[own:] + np.maximum(0, until), late
    given = kind.freed[:own]  # if nothing were late
    while True:
        starts, ends = transfers(kind, ahead, end, np.concatenate((free, given)) if own else free[:count])
        late = (np.maximum.accumulate(ends - kind.due) + (TICKS - 1)) & -TICKS  # up to whole cycles
        found = kind.freed + np.maximum(0, late if kind.need is None else late[kind.need])
        # Places that are free before their transfers start might as well have been so as early as was given.
        if not own or bool((found[:own] <= np.maximum(starts[kind.depth :], given)).all()):
            return int(ends[-1]), found[own:] if own else np.concatenate((free[count:], found)), late
        given = found[:own]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Of a stream behind some units: ticks in which the last transfer ended (`end`) and from which the places of the
    last bursts are free (`free` int64[depth])."""

    end: int
    free: np.ndarray


@lru_cache(maxsize=4096)  # what comes early is taken twice, and layers behind layers are alike
def _again(kind: Kind, ahead: Ahead, end: int, free: bytes, beat: int) -> tuple[Places, int, int]:
    """(`taken`'s places, cycles of the last beat and of beat number `beat`)."""
    end, places, late = taken(kind, ahead, end, np.frombuffer(free, np.int64))
    last, at = (int(kind.pace[number]) + max(0, int(late[kind.unit.needs(number)])) // TICKS
                for number in (kind.unit.beats - 1, beat % kind.unit.beats))
    return Places(end, places), last, at


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A stream behind some units: its `places`, counted from the tick `since`."""

    line: Line
    places: Places
    since: int = 0

    @classmethod
    def of(cls, line: Line, begin: int) -> Flow:
        """A stream of which nothing has been asked for; the memory may be from cycle `begin` on."""
        return cls(line, Places(begin * TICKS, np.zeros(line.kind.depth, np.int64)))

    @property
    def end(self) -> int:
        """Tick in which the last transfer ended."""
        return self.places.end + self.since

    def take(self, begin: int, beat: int = -1) -> tuple[Flow, int, int]:
        """A unit, its first beat not before `begin`: (the stream behind it, cycles in which its last beat and that of
        number `beat` are taken)."""
        kind, ahead, seen = self.line.kind, self._phases(begin), self.seen_from(begin)
        for number, (spacing, until) in enumerate(ahead):
            # A phase that begins behind the last transfer's start makes no difference.
            if until is None or seen[0] + (kind.unit.bursts - 1) * spacing < until * TICKS:
                places, last, at = _again(kind, (*ahead[:number], (spacing, None)), *seen, beat)
                if until is None or places.end - spacing < until * TICKS:
                    break
        return Flow(self.line, places, begin * TICKS), last + begin, at + begin

    def _phases(self, begin: int) -> Ahead:
        """From that on in which the next transfer starts, counted from `begin`."""
        start = max(self.places.end, int(self.places.free[0])) + self.since
        return self.line.timeline.ahead(self.line.name, start // TICKS, begin)

    def seen_from(self, cycle: int) -> tuple[int, bytes]:
        """All that the next units depend on, counted from a cycle: when it is the same, so are they. No place is used
        before the last transfer ended."""
        end, later = self.places.end, self.since - cycle * TICKS
        return end + later, (np.maximum(self.places.free, end) + later).tobytes()

    def ahead(self) -> int:
        """Tick in which all bursts are there that may be asked for before another beat is taken."""
        _, ends = transfers(self.line.kind, self._phases(0), self.end, self.places.free + self.since)
        return int(ends[-1]) + self.line.kind.latency

    def for_take(self, begin: int) -> tuple[int, bytes]:
        """`seen_from` cycle 0 for a unit whose first beat is not before `begin`: long ago where all that may be asked
        for is there by then."""
        if self.end <= begin * TICKS and self.ahead() <= begin * TICKS:
            return LONG_AGO * TICKS, np.full(self.line.kind.depth, LONG_AGO * TICKS).tobytes()
        return self.seen_from(0)

    def moved(self, cycles: int) -> Flow:
        """As much later."""
        return Flow(self.line, self.places, self.since + cycles * TICKS)


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
        kind = Kind.of(plan.units["i"], plan.depth["i"], plan.latency)
        self._flow, self._count = Flow.of(Line("i", kind, self.timeline), self._begin), 0
        self._seen: dict[tuple[int, Places, int], tuple[Places, int, int]] = {}

    def run(self, begin: int, count: int, gap: int, beat: int) -> tuple[list[int], list[int]]:
        """Tokens in a row, the first not before cycle `begin`, each other one `gap` cycles behind the one before:
        (cycles of their last beats, of their beats number `beat`, the same of every token).

        What a token waits for depends on the stream as it stands, seen from its begin, while the phase does not change.
        """
        lasts: list[int] = []
        ats: list[int] = []
        before: tuple[int, Places, int] | None = None
        while len(lasts) < count:
            flow, alike = self._flow, 1
            where = self.timeline.phase, flow.places, begin * TICKS - flow.since
            known = self._seen.get(where)
            if known is None:
                flow, last, at = flow.take(begin, beat)
                known = flow.places, last - begin, at - begin
                if self._flow.end // TICKS >= self.timeline.starts[-1] and len(self._seen) < MAX_SEEN:
                    self._seen[where] = known
            elif where == before:  # so will all be until the phase ends
                alike = min(count - len(lasts), self.plan.left(self._count))
            places, last, at = known
            step, last, at = last + 1 + gap, begin + last, begin + at
            lasts += range(last, last + alike * step, step)
            ats += range(at, at + alike * step, step)
            self._flow = Flow(flow.line, places, (begin + (alike - 1) * step) * TICKS)
            begin, before = begin + alike * step, where
            self._count += alike
            self.timeline.taken(lasts[-1], self._count)
        return lasts, ats

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
        return fetched > cycles * TICKS * self.plan.bounds[-1]
