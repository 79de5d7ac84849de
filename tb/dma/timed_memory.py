"""A memory behind AXI4 for the bench whose every cycle is that of `sim.dma.memory`, at the pins themselves."""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotb.utils import get_sim_time

from sim.dma.memory import Memory, MemoryLaw
from tb.axi.bench import PERIOD_NS


def this_cycle() -> int:
    """Number of the cycle that ends with the clock's edge of this moment."""
    return int(get_sim_time("ns")) // PERIOD_NS


class TimedMemory:
    """uint8[bytes] at an address.

    Attributes
    ----------
    data, base : the bytes, and the address of the first one
    law : of the chain that is loaded next
    reads : (cycle, ID, address, words) of the bursts that came; writes : (cycle, address, words)
    words_read : of each ID; words_written
    broken : what the DUT asked for outside of the memory, or without an address
    """

    def __init__(self, dut: Any) -> None:
        self._dut = dut
        self._word = len(dut.m_axi_wdata) // 8
        self.law = MemoryLaw()
        for name in ("arready", "awready", "wready", "rvalid", "bvalid", "rdata", "rid", "rresp", "rlast", "bid",
                     "bresp"):
            getattr(dut, f"m_axi_{name}").value = 0
        self.load(np.zeros(0, np.uint8), 0)
        cocotb.start_soon(self._serve())

    def load(self, data: np.ndarray, base: int) -> None:
        """Other contents; what was recorded is forgotten. Nothing may be on its way."""
        self.data, self.base, self._memory = data, base, Memory(self.law)
        self.reads: list[tuple[int, int, int, int]] = []
        self.writes: list[tuple[int, int, int]] = []
        self.words_read: dict[int, int] = {}
        self.words_written = 0
        self.broken: list[str] = []
        self._answers: deque[tuple[int, int, int, int]] = deque()  # (cycle, ID, place in `data`, last)
        self._responses: deque[int] = deque()
        self._addressed: deque[int] = deque()  # addresses of bursts whose data is to come
        self._at: int | None = None  # place in `data` of the next word of a burst that has begun

    async def _serve(self) -> None:
        """A cycle at a time: what changed hands in it, then what is offered in the next one."""
        dut = self._dut
        arready, awready, wready, rvalid, bvalid = (getattr(dut, f"m_axi_{name}") for name in (
            "arready", "awready", "wready", "rvalid", "bvalid"))
        arvalid, awvalid, wvalid = (getattr(dut, f"m_axi_{name}") for name in ("arvalid", "awvalid", "wvalid"))
        ready, driven = [False] * 3, [False] * 2
        while True:
            await RisingEdge(dut.aclk)
            cycle = this_cycle()
            if ready[0] and arvalid.value:
                self._ar(cycle)
            if ready[1] and awvalid.value:
                self._aw(cycle)
            if ready[2] and wvalid.value:
                self._w(cycle)
            cycle += 1
            memory = self._memory
            now = [memory.ar_ready(cycle), memory.aw_ready(cycle), memory.w_ready(cycle)]
            gives = [bool(self._answers) and self._answers[0][0] == cycle,
                     bool(self._responses) and self._responses[0] == cycle]
            if gives[0]:
                self._r()
            if gives[1]:
                self._responses.popleft()
            for port, before, after in zip((arready, awready, wready, rvalid, bvalid), (*ready, *driven),
                                           (*now, *gives), strict=True):
                if before != after:
                    port.value = int(after)
            ready, driven = now, gives

    def _ar(self, cycle: int) -> None:
        dut = self._dut
        number, address, words = int(dut.m_axi_arid.value), int(dut.m_axi_araddr.value), int(dut.m_axi_arlen.value) + 1
        self.reads.append((cycle, number, address, words))
        for place, at in enumerate(self._memory.ar(cycle, words)):
            self._answers.append((at, number, address - self.base + place * self._word, int(place + 1 == words)))

    def _aw(self, cycle: int) -> None:
        dut = self._dut
        address, words = int(dut.m_axi_awaddr.value), int(dut.m_axi_awlen.value) + 1
        self.writes.append((cycle, address, words))
        self._addressed.append(address - self.base)
        self._memory.aw()

    def _w(self, cycle: int) -> None:
        dut, word = self._dut, self._word
        data = int(dut.m_axi_wdata.value).to_bytes(word, "little")
        strobes, last = int(dut.m_axi_wstrb.value), bool(dut.m_axi_wlast.value)
        if self._at is None and not self._addressed:
            self.broken.append("data of a write without an address")
            return
        start = self._addressed.popleft() if self._at is None else self._at
        if not self._inside("write", start):
            return
        kept = np.unpackbits(np.frombuffer(strobes.to_bytes(-(-word // 8), "little"), np.uint8), bitorder="little")
        kept = kept[:word].astype(np.bool_)
        self.data[start : start + word][kept] = np.frombuffer(data, np.uint8)[kept]
        self._at = None if last else start + word
        self.words_written += 1
        response = self._memory.w(cycle, last)
        if response is not None:
            self._responses.append(response)

    def _r(self) -> None:
        """The word whose cycle begins."""
        dut = self._dut
        _, number, start, last = self._answers.popleft()
        if not self._inside("read", start):
            return
        dut.m_axi_rdata.value = int.from_bytes(self.data[start : start + self._word].tobytes(), "little")
        dut.m_axi_rid.value, dut.m_axi_rlast.value = number, last
        self.words_read[number] = self.words_read.get(number, 0) + 1

    def _inside(self, what: str, start: int) -> bool:
        """Whether a word at a place of `data` is in the memory; one that is not is broken."""
        if 0 <= start <= len(self.data) - self._word:
            return True
        self.broken.append(f"a {what} at {self.base + start:#x}, outside of {len(self.data)} bytes at {self.base:#x}")
        return False
