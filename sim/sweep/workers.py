"""Who costs the points: this process, or several that it forks. `sim.sweep.cluster` is the third kind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Protocol

from sim.sweep.points import code_here, work
from stamp_hw.errors import StampError

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
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(count, multiprocessing.get_context("fork"), _begin) as pool:
        try:
            yield Forked(pool, count)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - before:
                worker.kill()
                worker.join()
            if isinstance(error, BrokenProcessPool):
                raise StampError("a process was ended from outside, for want of memory perhaps", where="--jobs",
                                 got=count, expected="fewer of them; points that are done are kept") from None
            raise


def _begin() -> None:
    """A worker: deaf to the terminal's interrupt, which is for the main process, and gone when that is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main = multiprocessing.parent_process()
    assert main is not None
    threading.Thread(target=_leave_with, args=(main.sentinel,), daemon=True).start()


def _leave_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
