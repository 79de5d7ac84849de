"""Streams of the engine at the one port of the external memory (`sim.port`), burst by burst and beat by beat.

What `sim.engine.front.Source` is to a stall pattern, `PortStream` is to the port. The port's phases follow the tokens
that are taken; they are known as far as any burst needs them, because the stages are followed in an order in which a
super-tile's tokens come before the passes that run at the same time. Where a job's tokens wait for the results of the
job before, its phases begin with these, and what of its weights is fetched meanwhile has the share of the last phase.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.port import STREAMS, TICKS, Plan
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.super_tile import SuperTile


@dataclass(slots=True)
class Timeline:
    """The phases so far: first cycle of each, and its `Plan.spacing`. Jobs follow each other; a phase is that of the
    job that began last."""

    starts: list[int] = field(default_factory=list)
    spacings: list[dict[str, int]] = field(default_factory=list)
    _plan: Plan | None = None
    _phase: int = 0

    def begin(self, cycle: int, plan: Plan) -> None:
        """A job's first phase, from `cycle` on."""
        self._plan, self._phase = plan, 0
        self._add(cycle)

    def replan(self, plan: Plan) -> None:
        """Other spacings of the job's phases, of which the first began last."""
        self._plan = plan
        self.spacings[-1] = dict(plan.spacing[0])

    def taken(self, cycle: int, tokens: int) -> None:
        """So many tokens of the job were taken, the last beat in `cycle`: the next phase begins behind it where they
        are as many as it waits for."""
        assert self._plan is not None
        bounds = self._plan.bounds
        if self._phase < len(bounds) and tokens >= bounds[self._phase]:
            self._phase = self._plan.phase(tokens)
            self._add(cycle + 1)

    def _add(self, cycle: int) -> None:
        assert self._plan is not None
        self.starts.append(cycle)
        self.spacings.append(dict(self._plan.spacing[self._phase]))

    @property
    def phase(self) -> int:
        """Number of the phase that began last, over all jobs."""
        return len(self.starts)

    def at(self, name: str, start: int) -> tuple[int, int | None]:
        """(ticks that a burst takes which starts at the tick `start`, first cycle of the next phase, None where none is
        known: it is later than all that is followed now)."""
        cycle = start // TICKS
        return self.spacings[bisect_right(self.starts, cycle) - 1][name], self.after(cycle)

    def ahead(self, name: str, cycle: int, begin: int) -> tuple[tuple[int, int | None], ...]:
        """Of the phases from that on which `cycle` is in: (ticks that a burst takes, first cycle of the next one, None
        behind the last that is known); cycles counted from `begin`, a stream that has no part in a phase at 0 ticks."""
        if cycle >= self.starts[-1]:
            return ((self.spacings[-1].get(name, 0), None),)
        place = bisect_right(self.starts, cycle) - 1
        ends = [*(start - begin for start in self.starts[place + 1 :]), None]
        return tuple((spacing.get(name, 0), end) for spacing, end in zip(self.spacings[place:], ends, strict=True))

    def after(self, cycle: int) -> int | None:
        """First cycle of the phase behind the one that `cycle` is in; None where none is known."""
        place = bisect_right(self.starts, cycle)
        return self.starts[place] if place < len(self.starts) else None


@dataclass(slots=True)
class _Job:
    """A job of a stream: first cycle in which the memory may be asked, and its plan."""

    begin: int
    plan: Plan


class PortStream:
    """A stream of input beats behind the port, of jobs one after the other.

    `taken`, `offered` : of each beat the cycle in which it is taken, and the first in which it is offered
    """

    def __init__(self, name: str, timeline: Timeline) -> None:
        self.name, self._timeline = name, timeline
        self.taken: list[int] = []
        self.offered: list[int] = []
        self._jobs: list[_Job] = []
        self._number = self._unit = self._beat = 0  # of the next beat: its job, its unit there, its place in that
        self._arrivals: list[int] = []  # of the bursts of this unit that were asked for: tick in which each is there
        self._end = 0  # tick in which the last burst's transfer ends, its latency aside
        self._freed: list[int] = []  # of each burst of all units: first cycle in which its place is free again

    def job(self, begin: int, plan: Plan) -> None:
        """A job of which nothing is asked before the cycle `begin`: its beats follow those of the jobs before."""
        self._jobs.append(_Job(begin, plan))

    def replan(self, plan: Plan) -> None:
        """The plan of the job that came last, of the same units."""
        self._jobs[-1].plan = plan

    def hold(self, cycle: int) -> None:
        """The job that came last is not asked for before this cycle."""
        job = self._jobs[-1]
        job.begin = max(job.begin, cycle)

    @property
    def last(self) -> int:
        """Cycle in which the last beat was taken, −1 before the first one."""
        return self.taken[-1] if self.taken else -1

    def next(self) -> int:
        """Cycle from which the next beat is offered."""
        job = self._jobs[self._number]
        needed = job.plan.units[self.name].needs(self._beat)
        while len(self._arrivals) <= needed:
            self._ask(job)
        return max(self.last + 1, -(-self._arrivals[needed] // TICKS))

    def record(self, cycle: int) -> None:
        """The next beat is taken in this cycle."""
        self.offered.append(self.next())
        self.taken.append(cycle)
        job = self._jobs[self._number]
        unit = job.plan.units[self.name]
        self._freed += [cycle + 1] * (unit.done(self._beat + 1) - unit.done(self._beat))
        self._beat += 1
        if self._beat == unit.beats:
            self._beat, self._unit, self._arrivals = 0, self._unit + 1, []
            if self.name == "i":
                self._timeline.taken(cycle, self._unit)
            if self._unit == job.plan.counts[self.name]:
                self._unit, self._number = 0, self._number + 1

    def take(self, earliest: int, count: int) -> int:
        """Take `count` beats, each as soon as it is offered, the first not before `earliest`: cycle of the last."""
        for _ in range(count):
            self.record(max(self.next(), earliest))
        return self.taken[-1]

    def latest(self, count: int) -> list[int]:
        """Cycles of the `count` beats that were taken last."""
        return self.taken[-count:]

    def _ask(self, job: _Job) -> None:
        """The next burst of the unit: once the one before it has had its time and a place is free."""
        start = max(self._end, job.begin * TICKS)
        before = len(self._freed) - job.plan.units[self.name].done(self._beat)  # bursts of the units before
        place = before + len(self._arrivals) - job.plan.depth[self.name]
        if place >= 0:
            start = max(start, self._freed[place] * TICKS)
        self._end = start + self._timeline.at(self.name, start)[0]
        self._arrivals.append(self._end + job.plan.latency)


class PortMemory:
    """The streams `i`, `w`, `p` of an engine behind the port of `hw.memory`, which must be there."""

    def __init__(self, hw: HwConfig) -> None:
        self._hw, self._timeline = hw, Timeline()
        self.streams = {name: PortStream(name, self._timeline) for name in STREAMS}
        self._jobs: list[tuple[Task, Sequence[SuperTile]]] = []

    def job(self, cycle: int, results: int | None, task: Task, parts: Sequence[SuperTile]) -> None:
        """A job whose registers are taken in `cycle`, cut into `parts`. Where its tokens wait for the `results` of the
        job before, which are there from that cycle on, so does its first phase."""
        plan = Plan.of(task, self._hw, parts)
        self._jobs.append((task, parts))
        self._timeline.begin(cycle + 1 if results is None else max(cycle + 1, results), plan)
        for stream in self.streams.values():
            stream.job(cycle + 1, plan)

    def loaded(self) -> None:
        """The engine has a pass of the job that came last before its tokens may come."""
        task, parts = self._jobs[-1]
        plan = Plan.of(task, self._hw, parts, loaded=True)
        self._timeline.replan(plan)
        for stream in self.streams.values():
            stream.replan(plan)
