"""One layer of a chain, a cycle at a time: from the fetch of its descriptor to its last response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.dma.inward import Inward
from sim.dma.memory import Memory, MemoryLaw
from sim.dma.parts import Locate
from sim.dma.places import Place
from sim.dma.reads import Reader, ReadPort
from sim.dma.writes import Packer, WritePort
from sim.engine.live import LiveEngine
from sim.port import TICKS
from stamp_hw.dma.descriptor import WORDS, Descriptor
from stamp_hw.dma.params import READS, DmaParams
from stamp_hw.engine.job import EngineJob
from stamp_hw.errors import StampError

MARGIN = 1_000  # cycles of pipelines, queues and lookups beside what engine and memory rest at most


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerCycles:
    """Cycles count from that in which the descriptor's address is handed to its reader.

    `job` in which the engine takes the job; `last` in which the last result leaves it; `cycles` up to and including
    that in which the layer is done; `reads` (cycle, number in `READS` of its stream, words) and `writes` (cycle, words)
    of every burst that the memory took; `words_read` of each stream, `words_written`; `waits` stream → cycles in which
    the engine wanted a beat that was not there, or had a result that was not taken.
    """

    job: int
    last: int
    cycles: int
    reads: tuple[tuple[int, int, int], ...]
    writes: tuple[tuple[int, int], ...]
    words_read: dict[str, int]
    words_written: int
    waits: dict[str, int]


def follow(params: DmaParams, layer: Descriptor, at: int, table: np.ndarray, law: MemoryLaw) -> LayerCycles:
    """A layer whose descriptor is at the address `at`, from rest. Its lengths must fit its job.

    Raises StampError where it has no end.
    """
    return _Run(params, layer, at, table, law).follow()


class _Run:
    """The parts, and where the sequencer is."""

    def __init__(self, params: DmaParams, layer: Descriptor, at: int, table: np.ndarray, law: MemoryLaw) -> None:
        self._params, self._layer = params, layer
        memory = Memory(law)
        self._readers = [Reader(params) for _ in READS]
        self._port, self._writes = ReadPort(memory, self._readers), WritePort(params, memory)
        self._inward = Inward(params, layer, at, table, self._readers)
        self._packer, self._locate = Packer(params, layer), Locate()
        self._job = EngineJob.of_registers(layer.registers)
        self._waits = dict.fromkeys(("i", "w", "p", "o"), 0)
        self._moved = 0  # last cycle in which something moved
        # Without a move in more cycles than engine and memory rest at most, a layer has no end.
        memory_cycles = (law.latency + law.response + law.read_ticks + law.write_ticks) // TICKS
        self._patience = MARGIN + params.engine.quiet_cycles + memory_cycles

    def follow(self) -> LayerCycles:
        """To the end."""
        cycle = 0
        self._inward.fetch()
        while self._inward.words < WORDS:
            cycle += 1
            self._step(cycle, None)
        job = cycle + 1
        engine = LiveEngine(self._params.engine, self._job, job)
        cycle = job
        self._step(cycle, None)
        self._inward.begin()
        last = 0
        ends = self._layer.places * self._job.columns  # tokens of column tiles that leave the engine
        while True:
            cycle += 1
            over = last and last < cycle and self._writes.quiet and self._packer.idle and engine.idle
            ends -= self._step(cycle, engine)
            if not ends and not last:
                last = cycle
            if over:
                break
            if cycle - self._moved > self._patience:
                raise StampError("a layer without an end", where=f"descriptor at {self._layer.order:#x}",
                                 got=f"nothing moves for {self._patience} cycles", expected="lengths that fit the job")
        port, writes = self._port, self._writes
        return LayerCycles(job=job, last=last, cycles=cycle + 1, reads=tuple(port.bursts), writes=tuple(writes.bursts),
                           words_read=dict(zip(READS, port.words, strict=True)), words_written=writes.words,
                           waits=self._waits)

    def _step(self, cycle: int, engine: LiveEngine | None) -> bool:
        """A cycle, from the ends of all paths to their beginnings; whether a token of a column tile has left."""
        inward, packer, locate, writes, port = self._inward, self._packer, self._locate, self._writes, self._port
        granted = port.grant(cycle)
        # Out.
        word = packer.word(writes.ready)
        place: Place | None = locate.out  # type: ignore[assignment]
        ready = packer.ready(place, word is not None)
        offers = engine is not None and engine.offers
        left = packer.step(place, word is not None, offers and ready)
        moved = writes.step(cycle, word)
        found = inward.places.place
        located = found is not None and locate.ready(left)
        locate.step(left, found if located else None)
        # In.
        i = w = p = False
        if engine is not None:
            wants = engine.wants(cycle)
            i, w, p = (wanted and part.valid for wanted, part in zip(wants, inward.slices, strict=True))
            engine.step(cycle, i, w, p, ready)
            waits = self._waits
            for name, wanted, taken in zip("iwp", wants, (i, w, p), strict=True):
                waits[name] += wanted and not taken
            waits["o"] += offers and not ready
        inward.step((i, w, p), located, granted, port.pushes)
        port.receive(cycle)
        if moved or granted >= 0 or offers and ready or i or w or p or port.pushes >= 0:
            self._moved = cycle
        return left

