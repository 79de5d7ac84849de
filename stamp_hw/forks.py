"""Processes that are forked for a piece of work, and are gone with it however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait

from stamp_hw.errors import StampError


@contextmanager
def forked(count: int, prepare: Callable[[], None] | None = None, expected: str = "fewer of them"
           ) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` forked processes, in each of which `prepare` runs first: what is there before they begin is
    there once.

    They are deaf to the terminal's interrupt, which is for the main process. Left by an error or an interrupt, none
    goes on; nor does one when the main process is gone. Raises StampError, with what is `expected` in place of so many
    --jobs, where a process was ended from outside.
    """
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(count, multiprocessing.get_context("fork"), _begin, (prepare,)) as pool:
        try:
            yield pool
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - before:
                worker.kill()
                worker.join()
            if isinstance(error, BrokenProcessPool):
                raise StampError("a process was ended from outside, for want of memory perhaps", where="--jobs",
                                 got=count, expected=expected) from None
            raise


def _begin(prepare: Callable[[], None] | None) -> None:
    """What each process does before its first piece."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main = multiprocessing.parent_process()
    assert main is not None
    threading.Thread(target=_leave_with, args=(main.sentinel,), daemon=True).start()
    if prepare is not None:
        prepare()


def _leave_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
