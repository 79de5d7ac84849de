"""A memory behind AXI4 for the bench: words come late, those of different IDs in any order and mixed; some fail."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiSlaveWrite
from cocotbext.axi.axi_channels import AxiARSink, AxiRSource, AxiRTransaction

PAGE_BYTES = 4096
SLVERR = 2
INCR = 1


class AxiMemory:
    """uint8[bytes] at an address, which every burst must lie in.

    Attributes
    ----------
    data, base : the bytes, and the address of the first one
    reads, writes : (ID, address, words) of the bursts that came
    bad_reads, bad_writes : addresses of words that fail
    broken : rules of AXI4 that the DUT broke
    latency : the most cycles that a burst waits before its first word
    held : ID → bursts of it that are answered; those behind them have to wait
    mixed : words of bursts with different IDs come in any order, else bursts come as they were asked for
    """

    def __init__(self, dut: Any, prefix: str, rng: np.random.Generator) -> None:
        bus = AxiBus.from_prefix(dut, prefix)
        reset = {"reset": dut.aresetn, "reset_active_level": False}
        self.clock, self.reset, self.rng = dut.aclk, dut.aresetn, rng
        self.word = len(bus.read.r.rdata) // 8
        self.ar, self.r = AxiARSink(bus.read.ar, dut.aclk, **reset), AxiRSource(bus.read.r, dut.aclk, **reset)
        self.r.queue_occupancy_limit = 2
        self.slave = AxiSlaveWrite(bus.write, dut.aclk, target=self, **reset)
        self._record(self.slave)
        self.latency, self.mixed = 0, True
        self.load(np.zeros(0, np.uint8), 0)
        cocotb.start_soon(self._serve())

    def load(self, data: np.ndarray, base: int) -> None:
        """Other contents; what was recorded is forgotten. Nothing may be on its way."""
        self.data, self.base = data, base
        self.reads: list[tuple[int, int, int]] = []
        self.writes: list[tuple[int, int, int]] = []
        self.bad_reads: set[int] = set()
        self.bad_writes: set[int] = set()
        self.held: dict[int, int] = {}
        self._came: Counter[int] = Counter()  # bursts of each ID
        self.broken: list[str] = []

    @property
    def channels(self) -> tuple[Any, ...]:
        """Everything that has a pause generator."""
        return self.ar, self.r, self.slave.aw_channel, self.slave.w_channel, self.slave.b_channel

    def _checked(self, what: str, burst: Sequence[int]) -> tuple[int, int, int]:
        """(ID, address, words), held to the rules of AXI4."""
        number, address, length, size, kind = burst
        words = length + 1
        if (kind != INCR or 1 << size != self.word or address % self.word
                or address // PAGE_BYTES != (address + words * self.word - 1) // PAGE_BYTES):
            self.broken.append(f"{what}: burst {kind} of {words} words of {1 << size} bytes at {address:#x}")
        return number, address, words

    def _record(self, slave: AxiSlaveWrite) -> None:
        """Keep what comes on the write address channel."""
        receive = slave.aw_channel.recv

        async def recorded() -> Any:
            burst = await receive()
            self.writes.append(self._checked("aw", [int(getattr(burst, f"aw{name}"))
                                                    for name in ("id", "addr", "len", "size", "burst")]))
            return burst

        slave.aw_channel.recv = recorded

    async def write(self, address: int, data: bytes) -> None:
        """Called by the write side with runs of bytes whose strobes are set."""
        start = address - self.base
        if address // self.word * self.word in self.bad_writes:
            raise ValueError("asked for")
        if not 0 <= start <= len(self.data) - len(data):
            self.broken.append(f"w: {len(data)} bytes at {address:#x}, outside of the memory")
            return
        self.data[start : start + len(data)] = np.frombuffer(data, np.uint8)

    async def _serve(self) -> None:
        """The read side."""
        waiting: deque[list[int]] = deque()  # [ID, address, words, cycle, number]
        cycle = 0
        while True:
            while not self.ar.empty():
                burst = self.ar.recv_nowait()
                one = self._checked("ar", [int(getattr(burst, f"ar{name}"))
                                           for name in ("id", "addr", "len", "size", "burst")])
                self.reads.append(one)
                self._came[one[0]] += 1
                waiting.append([*one, cycle + int(self.rng.integers(self.latency + 1)), self._came[one[0]]])
            first: dict[int, list[int]] = {}
            for entry in waiting:
                first.setdefault(entry[0], entry)
            due = [entry for entry in (first.values() if self.mixed else list(waiting)[:1])
                   if entry[3] <= cycle and entry[4] <= self.held.get(entry[0], entry[4])]
            if due and not self.r.full():
                chosen = due[int(self.rng.integers(len(due)))]
                number, address, words, *_ = chosen
                start = address - self.base
                bad = address in self.bad_reads or not 0 <= start <= len(self.data) - self.word
                value = 0 if bad else int.from_bytes(self.data[start : start + self.word].tobytes(), "little")
                self.r.send_nowait(AxiRTransaction(rid=number, rdata=value, rresp=SLVERR if bad else 0,
                                                   rlast=int(words == 1)))
                chosen[1:3] = address + self.word, words - 1
                if words == 1:
                    waiting.remove(chosen)
                if not self.r.full():
                    continue
            await RisingEdge(self.clock)
            cycle += 1
            if not self.reset.value:  # which is the memory's as well
                for queue in (waiting, self.ar, self.r):
                    queue.clear()
