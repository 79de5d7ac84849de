"""The structures of player.h for ctypes, and the calls into the simulator's program, in which this Python runs."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tb.batch.memory import to_int
from tb.bench.layout import Layout
from tb.bench.patterns import Pattern

NEVER = 2**64 - 1
VALID_FELL, PAYLOAD_CHANGED, EXTRA_BEAT, HANG = range(1, 5)


def _members(names: str, kind: type[Any]) -> list[tuple[str, type[Any]]]:
    return [(name, kind) for name in names.split()]


class _Stream(ctypes.Structure):
    _fields_ = _members("words taken bits", ctypes.c_void_p) + _members("period beats moved", ctypes.c_uint64)


class _Event(ctypes.Structure):
    _fields_ = _members("offset width is_signed unused", ctypes.c_uint32) + _members("total", ctypes.c_int64)


class _Job(ctypes.Structure):
    _fields_ = (_members("streams", ctypes.POINTER(_Stream)) + _members("events", ctypes.POINTER(_Event))
                + _members("was now", ctypes.c_void_p)
                + _members("stream_count event_count max_cycles hang_cycles drain_cycles", ctypes.c_uint64)
                + _members("cycles last_move", ctypes.c_uint64)
                + _members("broken port", ctypes.c_uint32))


def _address(array: np.ndarray) -> int:
    assert array.flags.c_contiguous
    return array.ctypes.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One stream of a job: `words` uint8 (beats, bytes a word), to send or room for what must come."""

    name: str
    words: np.ndarray
    pattern: Pattern


class Job:
    """A job in the form of player.h; it owns the memories while the player works on them.

    After `hand_over` the player starts when the time step has settled, and is done by the next one.

    Parameters
    ----------
    streams : every stream of the top; none of them for cycles in which all idle and nothing is checked
    events : layout of the port `events`, None for a top without it
    max_cycles : play at most so many
    hang_cycles, drain_cycles : give up after so many cycles without a beat; go on for so many after the last one
    """

    def __init__(self, streams: Sequence[Memory], events: Layout | None, *, max_cycles: int = NEVER,
                 hang_cycles: int = NEVER, drain_cycles: int = NEVER) -> None:
        self._program = ctypes.CDLL(None)
        self._program.stamp_bytes.restype = ctypes.c_size_t
        self.streams = {stream.name: stream for stream in streams}
        self._order = {self._program.stamp_port(stream.name.encode()): stream for stream in streams}
        self._taken = {stream.name: np.empty(len(stream.words), np.int64) for stream in streams}
        self._bits = [np.array(self._order[index].pattern.bits, np.uint8) for index in sorted(self._order)]
        self._streams = (_Stream * len(streams))()
        for index, one in enumerate(self._streams):
            stream = self._order[index]
            assert stream.words.shape[1] == self._program.stamp_bytes(index)
            one.words, one.taken = _address(stream.words), _address(self._taken[stream.name])
            one.bits, one.period, one.beats = _address(self._bits[index]), len(self._bits[index]), len(stream.words)
        self._leaves = events.leaves if events else ()
        fields = [_Event(position, leaf.width, leaf.signed) for leaf in self._leaves
                  for position in leaf.positions().tolist()]
        self._events = (_Event * len(fields))(*fields)
        longest = max((stream.words.shape[1] for stream in streams), default=1)
        self._was, self._now = np.zeros(longest, np.uint8), np.zeros(longest, np.uint8)
        self._job = _Job(streams=self._streams, events=self._events, was=_address(self._was), now=_address(self._now),
                         stream_count=len(streams), event_count=len(fields), max_cycles=max_cycles,
                         hang_cycles=hang_cycles, drain_cycles=drain_cycles)

    def hand_over(self) -> None:
        """Give the job to the player."""
        self._program.stamp_play(ctypes.byref(self._job))

    @property
    def cycles(self) -> int:
        """Cycles that were played."""
        return int(self._job.cycles)

    @property
    def last_move(self) -> int:
        """The cycle after the one in which a beat moved last."""
        return int(self._job.last_move)

    @property
    def words(self) -> dict[str, np.ndarray]:
        """Stream → the beats that moved."""
        return {stream.name: stream.words[:self._streams[index].moved] for index, stream in self._order.items()}

    @property
    def taken(self) -> dict[str, np.ndarray]:
        """Stream → int64, the cycle of each beat that moved."""
        return {stream.name: self._taken[stream.name][:self._streams[index].moved]
                for index, stream in self._order.items()}

    @property
    def events(self) -> dict[str, int]:
        """Total of each field; elements of an array are added up."""
        totals = iter(self._events)
        return {leaf.name: sum(next(totals).total for _ in range(leaf.count)) for leaf in self._leaves}

    @property
    def broken(self) -> int:
        """The rule that was broken (VALID_FELL, …), 0 for none."""
        return int(self._job.broken)

    @property
    def breaker(self) -> Memory:
        """The stream that broke it; HANG has none."""
        return self._order[self._job.port]

    @property
    def payloads(self) -> tuple[int, int]:
        """Of the stream that broke a rule: the payload that waited, and the one that came."""
        size = self.breaker.words.shape[1]
        return to_int(self._was[:size]), to_int(self._now[:size])
