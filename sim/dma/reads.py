"""Readers and the read port of the DMA, a cycle at a time (`rtl_gen/dma/reader.py`, `rtl_gen/dma/read_port.py`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sim.dma.memory import Memory
from sim.dma.parts import Fifo
from stamp_hw.dma.params import READS, DmaParams


class Reader:
    """A stream that reads. `asks`: words of the burst that it wants, 0 for none."""

    __slots__ = ("_address", "_burst", "_left", "_limit", "_room", "asks", "words")

    def __init__(self, params: DmaParams) -> None:
        self._limit = params.burst_words
        self._room = params.fifo_words
        self._left = self._burst = self._address = self.asks = 0
        self.words = Fifo(params.fifo_words)

    def ready(self, granted: bool) -> bool:
        """Whether it takes a segment in a cycle in which its burst is granted or not."""
        return not self._left or granted and self._left == self._burst

    def step(self, granted: bool, popped: bool, pushed: bool, segment: Sequence[int] | None) -> None:
        """The end of a cycle; a `segment` (address, words) is taken, or None."""
        self.words.step(popped, pushed)
        if popped:
            self._room += 1
        if granted:
            self._room -= self._burst
            self._left -= self._burst
            self._address += self._burst
        if segment is not None:
            self._address, self._left = segment
        if granted or segment is not None:
            self._burst = min(self._left, self._limit - self._address % self._limit)
        self.asks = self._burst if self._left and self._room >= self._burst else 0


class ReadPort:
    """The AR and R channels, and the memory behind them. `bursts`: (cycle, stream, words) of each that the memory took;
    `words` that came for each stream."""

    def __init__(self, memory: Memory, readers: Sequence[Reader]) -> None:
        self._memory, self._readers = memory, readers
        self._turn = 0
        self._offered: tuple[int, int] | None = None  # on AR: stream, words
        self._answers: deque[tuple[int, int]] = deque()  # (cycle on the bus, stream)
        self.pushes = -1  # stream whose word came a cycle ago
        self.bursts: list[tuple[int, int, int]] = []
        self.words = [0] * len(READS)

    def grant(self, cycle: int) -> int:
        """The stream whose burst is taken in this cycle, or −1; AR goes on."""
        if self._offered is not None:
            if not self._memory.ar_ready(cycle):
                return -1
            stream, words = self._offered
            self._answers.extend((at, stream) for at in self._memory.ar(cycle, words))
            self.bursts.append((cycle, stream, words))
            self._offered = None
        for distance in range(1, len(self._readers) + 1):
            stream = (self._turn + distance) % len(self._readers)
            reader = self._readers[stream]
            if reader.asks:
                self._turn, self._offered = stream, (stream, reader.asks)
                return stream
        return -1

    def receive(self, cycle: int) -> None:
        """The end of a cycle: the word that is on the bus in it goes on in the next one."""
        self.pushes = -1
        if self._answers and self._answers[0][0] == cycle:
            self.pushes = self._answers.popleft()[1]
            self.words[self.pushes] += 1
