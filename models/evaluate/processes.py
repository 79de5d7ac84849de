"""Pieces of an evaluation side by side in several processes, in the order of the pieces.

The processes are forked: what is there before they begin, a model's weights as floats and as integers, is there once.
Each computes on one thread, since the threads of a product do not survive a fork.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch

from stamp_hw.forks import forked

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
    with forked(min(jobs, len(pieces)), partial(_begin, work)) as pool:
        yield pool.map(_call, pieces)


def _begin(work: Callable[[Any], Any]) -> None:
    """A worker: one thread, and what it is to do."""
    global _work
    _work = work
    torch.set_num_threads(1)


def _call(piece: Any) -> Any:
    assert _work is not None
    return _work(piece)
