"""Pieces of an evaluation side by side in several processes, in the order of the pieces.

The processes are forked: what is there before they begin, a model's weights as floats and as integers, is there once.
Each computes on one thread, since the threads of a product do not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

import torch

from stamp_hw.errors import StampError

T = TypeVar("T")
U = TypeVar("U")
_work: Callable[[Any], Any] | None = None  # of a worker


@contextmanager
def each(work: Callable[[T], U], pieces: Sequence[T], jobs: int) -> Iterator[Iterator[U]]:
    """`work` of every piece, in their order, by so many processes at a time; with one, by this process.

    Pieces and results are pickled, `work` need not be. Left by an error or an interrupt, no process goes on. Raises
    what `work` raises, and StampError where a process was ended from outside.
    """
    if min(jobs, len(pieces)) < 2:
        yield map(work, pieces)
        return
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(jobs, len(pieces)), multiprocessing.get_context("fork"), _begin, (work,)) as pool:
        try:
            yield pool.map(_call, pieces)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - before:
                worker.kill()
                worker.join()
            if isinstance(error, BrokenProcessPool):
                raise StampError("a process was ended from outside, for want of memory perhaps", where="--jobs",
                                 got=jobs, expected="fewer of them") from None
            raise


def _begin(work: Callable[[Any], Any]) -> None:
    """A worker: one thread, deaf to the terminal's interrupt, which is for the main process, and gone when that is."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    main = multiprocessing.parent_process()
    assert main is not None
    threading.Thread(target=_leave_with, args=(main.sentinel,), daemon=True).start()


def _leave_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _call(piece: Any) -> Any:
    assert _work is not None
    return _work(piece)
