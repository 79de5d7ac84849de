"""Who costs the points: this process, or several that it forks. `sim.sweep.cluster` is the third kind."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from sim.sweep.points import code_here, work
from stamp_hw.forks import forked

Done = tuple[float, str]  # what `work` returns


class Workers(Protocol):
    """Processes that take chunks of points."""

    def slots(self) -> int:
        """Chunks to hand over at a time. Raises StampError where nobody is left to take one."""

    def submit(self, setting: str, points: str) -> Future[Done]:
        """`sim.sweep.points.work` of them, some time. Raises StampError where nobody is left to take one."""


class Here:
    """This process."""

    def slots(self) -> int:
        """One after the other."""
        return 1

    def submit(self, setting: str, points: str) -> Future[Done]:
        """At once."""
        future: Future[Done] = Future()
        future.set_result(work(setting, points))
        return future


class Forked:
    """`count` processes of this machine."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self._pool, self._count = pool, count

    def slots(self) -> int:
        """One more each than it works on, so that none waits for this process."""
        return 2 * self._count

    def submit(self, setting: str, points: str) -> Future[Done]:
        """To whichever is free first."""
        return self._pool.submit(work, setting, points)


@contextmanager
def local(count: int) -> Iterator[Workers]:
    """`count` processes, with one this process. Left by an error or an interrupt, none goes on. Raises StampError where
    a process was ended from outside."""
    if count == 1:
        yield Here()
        return
    code_here()  # once for all that are forked
    with forked(count, expected="fewer of them; points that are done are kept") as pool:
        yield Forked(pool, count)
