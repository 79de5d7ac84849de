"""Processes that work side by side and end together: a pool that an error or an interrupt does not outlive, and the
processor time that they took."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_PATIENCE = 2  # seconds in which a worker may remove what it has begun to write


@contextmanager
def pool(count: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes, as many as there are cores if None. Left by an error or an interrupt it ends its
    workers and all that they have started: each is the leader of a process group of its own."""
    with ProcessPoolExecutor(count or os.cpu_count(), initializer=_begin) as workers:
        try:
            yield workers
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            _end()
            raise


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM ends what runs in here as an interrupt does: through the handlers that end its tools."""
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def processor_seconds() -> float:
    """Processor time of this process, and of those that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _begin() -> None:
    """A worker, and what it starts, leave an interrupt of the terminal to the main process, which then ends them."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, _leave)


def _leave(*_: object) -> None:
    """End without a word, the main process has said why; first remove what is half written. The pool would take the
    exit for a result and go on to the next piece of work."""
    signal.alarm(_PATIENCE)  # nobody handles it, so it ends the process
    sys.exit(130)


def _end() -> None:
    """End every worker and its group: politely, since it may have a folder to remove, then without asking."""
    workers = multiprocessing.active_children()
    for kind in (signal.SIGTERM, signal.SIGKILL):
        for worker in workers:
            if worker.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    _signal(worker.pid, kind)
        until = time.monotonic() + _PATIENCE + 1
        for worker in workers:
            worker.join(max(0.0, until - time.monotonic()))


def _signal(pid: int, kind: signal.Signals) -> None:
    """To the group of a worker; to it alone where it has not yet made one, and so has started nothing."""
    try:
        os.killpg(pid, kind)
    except ProcessLookupError:
        os.kill(pid, kind)
