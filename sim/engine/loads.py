"""Loads of a layer's passes, in closed form: when a pass's weights are written and its parameters taken, for streams
that have the memory's rate each for itself (`sim.dram`) or share one port (`sim.port`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from sim.dram import Memory
from sim.engine.port_flow import LONG_AGO, Flow, Kind, Line, Places
from sim.engine.port_streams import Timeline
from sim.engine.weight_loads import rated
from sim.port import TICKS, Plan
from stamp_hw.engine.wire import WeightFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Weights and parameters that a job has taken, (of `w`, of `p`), for the job behind it: `ends` of each stream the
    cycle of the last beat; behind the one port the tick in which the last transfer ended, with `free` int64 ticks from
    which the places of the last bursts are free, as bytes, and `spacing` ticks from burst to burst in the last
    phase."""

    ends: tuple[int, int]
    free: tuple[bytes, bytes] = (b"", b"")
    spacing: tuple[int, int] = (0, 0)


class Loads(Protocol):
    """Weights and parameters that were taken so far; immutable."""

    @property
    def full(self) -> bool:
        """The memory gives a beat in every cycle."""

    def take(self, begin: int) -> tuple[Loads, int, int]:
        """A pass, from the cycle `begin` on: (what comes behind it, cycle in which the last k-step is written, cycle of
        the last parameters)."""

    def seen_from(self, cycle: int) -> tuple[Any, ...]:
        """All that the next loads depend on, counted from a cycle: when it is the same, so are they."""

    def until(self) -> int | None:
        """Cycle before which whatever follows repeats when it is seen again; None: for ever."""

    def moved(self, cycles: int) -> Loads:
        """As much later."""

    def longer_than(self, cycles: int) -> bool:
        """A pass takes the memory longer."""

    def left(self, cycle: int) -> Left:
        """What the job behind finds, counted from a cycle."""

    def for_load(self, begin: int) -> Left | None:
        """What of that a job finds whose first pass is loaded from the cycle `begin` on, None where that is as if
        nothing had been taken for long: what is offered by then is so however long it has been."""

    def waits(self) -> bool:
        """Whether all that the memory reads ahead is there before cycle 0, from which its rates count: in the one
        before it they offer a beat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLoads:
    """At the memory's rate; `steps` and `words` of a pass, `taken` cycles of the last weights and parameters."""

    memory: Memory
    weights: WeightFormat
    steps: int
    words: int
    taken: tuple[int, int] = (-1, -1)

    @property
    def full(self) -> bool:
        return self.memory.w.full and self.memory.p.full

    def take(self, begin: int) -> tuple[RateLoads, int, int]:
        weights, written = rated(self.memory.w, self.weights, self.steps, self.taken[0], begin)
        taken = weights, self.memory.p.take(self.taken[1], begin, self.words)
        return RateLoads(memory=self.memory, weights=self.weights, steps=self.steps, words=self.words,
                         taken=taken), written, taken[1]

    def seen_from(self, cycle: int) -> tuple[Any, ...]:
        return (*(at - cycle for at in self.taken), cycle % self.memory.w.den, cycle % self.memory.p.den)

    def until(self) -> int | None:
        return None

    def moved(self, cycles: int) -> RateLoads:
        return replace(self, taken=(self.taken[0] + cycles, self.taken[1] + cycles))

    def longer_than(self, cycles: int) -> bool:
        w, p = self.memory.w, self.memory.p
        return max(self.weights.beats(self.steps) * w.den / w.num, self.words * p.den / p.num) > cycles

    def left(self, cycle: int) -> Left:
        return Left(ends=(self.taken[0] - cycle, self.taken[1] - cycle))

    def for_load(self, begin: int) -> Left | None:
        w, p = (LONG_AGO if rate.after(end) <= begin else end
                for rate, end in zip((self.memory.w, self.memory.p), self.taken, strict=True))
        return None if w == p == LONG_AGO else Left(ends=(w, p))

    def waits(self) -> bool:
        return max(self.taken) < -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PortLoads:
    """Behind the one port; `w`, `p` its streams; the last k-step is written `behind` cycles after its beat was
    taken."""

    plan: Plan
    timeline: Timeline
    w: Flow
    p: Flow
    behind: int

    @classmethod
    def of(cls, plan: Plan, timeline: Timeline, weights: WeightFormat, steps: int, begin: int = 1,
           left: Left | None = None) -> PortLoads:
        """None taken, the first burst not before the cycle `begin`; behind a job, what that has left."""
        units, depth = plan.units, plan.depth
        kinds = {"w": Kind.of(units["w"], depth["w"], plan.latency, weights, steps),
                 "p": Kind.of(units["p"], depth["p"], plan.latency)}
        flows = {name: Flow.of(Line(name, kind, timeline), begin) for name, kind in kinds.items()}
        if left is not None:
            flows = {name: Flow(flow.line, Places(max(end, flow.end), np.frombuffer(free, np.int64)))
                     for (name, flow), end, free in zip(flows.items(), left.ends, left.free, strict=True)}
        return cls(plan=plan, timeline=timeline, behind=int(weights.packed and steps % 2 == 0), **flows)

    @property
    def full(self) -> bool:
        return False

    def take(self, begin: int) -> tuple[PortLoads, int, int]:
        w, weights, _ = self.w.take(begin)
        p, words, _ = self.p.take(begin)
        return PortLoads(plan=self.plan, timeline=self.timeline, w=w, p=p, behind=self.behind
                         ), weights + self.behind, words

    def seen_from(self, cycle: int) -> tuple[Any, ...]:
        return (*self.w.seen_from(cycle), *self.p.seen_from(cycle))

    def until(self) -> int | None:
        return self.timeline.after(min(self.w.end, self.p.end) // TICKS)

    def moved(self, cycles: int) -> PortLoads:
        return replace(self, w=self.w.moved(cycles), p=self.p.moved(cycles))

    def longer_than(self, cycles: int) -> bool:
        return max(self.plan.fetch(name, -1) for name in ("w", "p")) > cycles * TICKS

    def left(self, cycle: int) -> Left:
        spacing = self.plan.spacing[-1]
        ends, free = zip(*(flow.seen_from(cycle) for flow in (self.w, self.p)), strict=True)
        return Left(ends=ends, free=free, spacing=(spacing["w"], spacing["p"]))

    def for_load(self, begin: int) -> Left | None:
        ends, free = zip(*(flow.for_take(begin) for flow in (self.w, self.p)), strict=True)
        before = self.timeline.spacings[0]
        return Left(ends=ends, free=free, spacing=(before["w"], before["p"]))

    def waits(self) -> bool:
        return max(self.w.ahead(), self.p.ahead()) <= 0
