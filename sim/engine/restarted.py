"""Streams of the engine whose patterns count from each job's own begin: a memory's rate (`sim.dram`) where jobs wait
for results, beat by beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.engine.front import Source
from sim.pipeline import Pattern
from sim.task import Task
from stamp_hw.engine.super_tile import SuperTile


@dataclass(slots=True)
class RestartedStream(Source):
    """Beats in the cycles of a pattern that counts from `since`, which may be later than they are.

    `offered` : of each beat the first cycle in which it is
    """

    since: int = 0
    offered: list[int] = field(default_factory=list)

    def next(self) -> int:
        """Cycle from which the next beat is offered."""
        cycle = self.behind()
        while not self.valid(cycle - self.since):
            cycle += 1
        return cycle

    def record(self, cycle: int) -> None:
        """The next beat is taken in this cycle."""
        self.offered.append(self.next())
        self.taken.append(cycle)

    def take(self, earliest: int, count: int) -> int:
        """Take `count` beats, each as soon as it is offered, the first not before `earliest`: cycle of the last."""
        for _ in range(count):
            self.record(max(self.next(), earliest))
        return self.last


class RestartedMemory:
    """The streams `i`, `w`, `p` under patterns that are counted anew with every job whose tokens wait for results: from
    the cycle in which these are there, backwards as well for what comes before it."""

    def __init__(self, patterns: Mapping[str, Pattern]) -> None:
        self.streams = {name: RestartedStream(pattern) for name, pattern in patterns.items()}

    def job(self, cycle: int, results: int | None, task: Task, parts: Sequence[SuperTile]) -> None:
        """A job whose registers are taken in `cycle`; the beats of the jobs before have been taken where it waits for
        their `results`."""
        if results is not None:
            for stream in self.streams.values():
                stream.since = results

    def loaded(self) -> None:
        """It makes no difference."""
