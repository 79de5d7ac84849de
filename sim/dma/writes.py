"""From results to bursts, a cycle at a time (`rtl_gen/dma/packer.py`, `rtl_gen/dma/write_port.py`)."""

from __future__ import annotations

from collections import deque
from math import gcd

from sim.dma.memory import Memory
from sim.dma.parts import Fifo, Gearbox
from sim.dma.places import Place
from stamp_hw.dma.descriptor import Descriptor
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.wire import OUT_BYTES


class WritePort:
    """The AW, W and B channels, and the memory behind them. `bursts`: (cycle, words) of each that the memory took;
    `words` that it took."""

    def __init__(self, params: DmaParams, memory: Memory) -> None:
        self._memory, self._depth = memory, params.fifo_words
        self._words, self._bursts = Fifo(params.fifo_words), Fifo(params.fifo_words)
        self._ends: deque[bool] = deque()  # of each word that waits
        self._whole: deque[int] = deque()  # words of bursts that wait
        self._responses: deque[int] = deque()  # cycles of them
        self._count = self._open = 0
        self.bursts: list[tuple[int, int]] = []
        self.words = 0

    @property
    def quiet(self) -> bool:
        """Whether every burst has its response."""
        return not self._open

    @property
    def ready(self) -> bool:
        """Whether a word is taken."""
        return self._words.ready and self._open != self._depth

    def step(self, cycle: int, ends: bool | None) -> bool:
        """The end of a cycle; a word is taken that ends its burst or not, or None is. Whether anything moved."""
        memory = self._memory
        asked = self._bursts.valid and memory.aw_ready(cycle)
        sent = self._words.valid and memory.w_ready(cycle)  # its address is on offer, or was taken
        answered = bool(self._responses) and self._responses[0] == cycle
        if answered:
            self._responses.popleft()
            self._open -= 1
        if asked:
            memory.aw()
            self.bursts.append((cycle, self._whole.popleft()))
        if sent:
            self.words += 1
            response = memory.w(cycle, self._ends[0])
            if self._ends.popleft():
                assert response is not None
                self._responses.append(response)
        if ends is not None:
            self._count += 1
            self._ends.append(ends)
        if ends:
            self._whole.append(self._count)
            self._count = 0
            self._open += 1
        self._words.step(sent, ends is not None)
        self._bursts.step(asked, bool(ends))
        return asked or sent or answered or ends is not None


class Packer:
    """Results of the engine to words of the bus."""

    def __init__(self, params: DmaParams, layer: Descriptor) -> None:
        lanes, width = params.engine.rescale_lanes, params.bus_bytes // OUT_BYTES
        self._piece = gcd(lanes, width)
        self._gear = Gearbox(width // self._piece)
        self._full = lanes // self._piece
        self._last_count = -(-layer.registers["out_keep"] // self._piece)
        self._beats = params.engine.chunks, layer.registers["out_beats"]  # of a token: not of the last column, of it
        self._bus, self._limit = params.bus_bytes, params.burst_words
        self._beat = self._address = 0
        self._fresh = True

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return self._gear.idle

    def word(self, ready: bool) -> bool | None:
        """Whether the word ends its burst that is taken in a cycle in which one would be; None: there is none."""
        if not (ready and self._gear.valid):
            return None
        return self._gear.last or (self._address + 1) % self._limit == 0

    def ready(self, place: Place | None, given: bool) -> bool:
        """Whether a beat is taken in a cycle in which a word is `given` or not."""
        return place is not None and (place.suppressed or self._gear.ready(given))

    def step(self, place: Place | None, given: bool, taken: bool) -> bool:
        """The end of a cycle, in which a beat is `taken`; whether it was its token's last."""
        if given:
            self._address += 1
        if not taken:
            if given:
                self._gear.step(True, 0)
            return False
        assert place is not None
        self._beat += 1
        last = self._beat == self._beats[place.last_column]
        if last:
            self._beat = 0
        if place.suppressed:
            if given:
                self._gear.step(True, 0)
            return last
        if self._fresh:
            self._address = place.address // self._bus
        count = self._last_count if last and place.last_column else self._full
        start = place.address % self._bus // (OUT_BYTES * self._piece)
        self._gear.step(given, count, start, last)
        self._fresh = last
        return last
