"""The memory behind the AXI4 port of `stamp_npu` (docs/contract.md §5, "A memory behind the DMA"): in which cycles it
takes bursts and words, and in which it gives words and responses.

One object is the truth for the cycle model and for the bench, which drives the bus as it says.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

from sim.port import TICKS
from stamp_hw.config import HwConfig
from stamp_hw.hw_config import in_range


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLaw:
    """Times are in ticks of 1/256 cycle.

    Parameters
    ----------
    read_ticks, write_ticks : of a word, 256 at least: the bus moves one a cycle at most
    latency : from the end of a word's transfer to its cycle on the bus
    response : from the end of a burst's last transfer to its response
    read_bursts, write_bursts : that may lack their last word, their response
    write_words : that may wait for the end of their transfer
    one_port : reads and writes share one line, in the order in which they come; else each has one of its own

    Raises ConfigError for values beyond these bounds.
    """

    read_ticks: int = TICKS
    write_ticks: int = TICKS
    latency: int = 0
    response: int = 0
    read_bursts: int = 16
    write_bursts: int = 16
    write_words: int = 16
    one_port: bool = False

    def __post_init__(self) -> None:
        for name, low in (("read_ticks", TICKS), ("write_ticks", TICKS), ("latency", 0), ("response", 0),
                          ("read_bursts", 1), ("write_bursts", 1), ("write_words", 1)):
            in_range(self, name, low, 1 << 32)

    @classmethod
    def of(cls, hw: HwConfig, bus_bytes: int) -> MemoryLaw:
        """Of `hw.memory`, one port for both ways at its efficiency; without it a memory that moves a word a cycle each
        way at once."""
        memory = hw.memory
        if memory is None:
            return cls()
        freq = Fraction(hw.freq_hz)
        rate = Fraction(memory.bytes_per_s) * Fraction(memory.efficiency) / freq
        ticks = max(TICKS, math.ceil(TICKS * bus_bytes / rate))
        latency = math.ceil(Fraction(memory.latency_ns) / 10**9 * freq * TICKS)
        return cls(read_ticks=ticks, write_ticks=ticks, latency=latency, response=latency, one_port=True)


@dataclass(slots=True)
class _Line:
    """Moves a word after the other; `end` of the last one's transfer, in ticks."""

    end: int = 0

    def move(self, cycle: int, ticks: int) -> int:
        """A word that is asked for in `cycle`: the end of its transfer."""
        self.end = max(self.end, TICKS * (cycle + 1)) + ticks
        return self.end


def _cycle(tick: int) -> int:
    """The first cycle that begins at or after a tick."""
    return -(-tick // TICKS)


class Memory:
    """The state of a memory from rest. Within a cycle a read burst comes before a word that is written."""

    def __init__(self, law: MemoryLaw) -> None:
        self.law = law
        self._reads = _Line()
        self._writes = self._reads if law.one_port else _Line()
        self._read: deque[int] = deque()  # of each burst: the cycle of its last word
        self._owed = 0  # bursts without a response
        self._addressed = 0  # bursts whose data is to come
        self._responses: deque[int] = deque()  # cycles of them
        self._waiting: deque[int] = deque()  # ends of transfers of words that were written

    def ar_ready(self, cycle: int) -> bool:
        """Whether a burst to be read is taken in this cycle."""
        while self._read and self._read[0] < cycle:
            self._read.popleft()
        return len(self._read) < self.law.read_bursts

    def ar(self, cycle: int, words: int) -> list[int]:
        """A burst to be read: the cycles of its words on the bus."""
        law, line = self.law, self._reads
        found = [_cycle(line.move(cycle, law.read_ticks) + law.latency) for _ in range(words)]
        self._read.append(found[-1])
        return found

    def aw_ready(self, cycle: int) -> bool:
        """Whether a burst to be written is taken in this cycle."""
        while self._responses and self._responses[0] < cycle:
            self._responses.popleft()
            self._owed -= 1
        return self._owed < self.law.write_bursts

    def aw(self) -> None:
        """A burst to be written."""
        self._owed += 1
        self._addressed += 1

    def w_ready(self, cycle: int) -> bool:
        """Whether a word that is written is taken in this cycle."""
        while self._waiting and self._waiting[0] <= TICKS * cycle:
            self._waiting.popleft()
        return self._addressed > 0 and len(self._waiting) < self.law.write_words

    def w(self, cycle: int, last: bool) -> int | None:
        """A word that is written: the cycle of its burst's response, if it is its `last`."""
        end = self._writes.move(cycle, self.law.write_ticks)
        self._waiting.append(end)
        if not last:
            return None
        self._addressed -= 1
        self._responses.append(_cycle(end + self.law.response))
        return self._responses[-1]
