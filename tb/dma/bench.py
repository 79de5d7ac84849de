"""A bench for the engine with a DMA: a register master and a memory."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from rtl_gen.axi.registers import Register
from rtl_gen.dma.registers import npu_registers
from stamp_hw.dma import walk
from stamp_hw.dma.driver import Call, NpuCalls, State
from stamp_hw.dma.image import Image, put_rows
from stamp_hw.dma.params import READS
from tb.axi.bench import OKAY, PERIOD_NS, AxiBench, axi_test
from tb.bench.harness import TOTALS
from tb.dma.cases import DrawnLayer
from tb.dma.memory import AxiMemory

T = TypeVar("T")
_WATCHED = {"m_axi_ar": ("addr", "len", "id"), "m_axi_aw": ("addr", "len", "id"), "m_axi_w": ("data", "strb", "last"),
            "s_axil_b": ("resp",), "s_axil_r": ("data", "resp")}
GUARD_BYTES = 512  # of memory behind an image, which nothing may touch


class NpuBench(AxiBench):
    """`stamp_npu` between a register master and a memory."""

    async def start(self) -> None:
        """Clock, drivers, watchers; then reset."""
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"cocotbext\.")
        dut = self.dut
        self.table: dict[str, Register] = {register.name: register for register in npu_registers(self.params)}
        dut.aresetn.value = 1
        Clock(dut.aclk, PERIOD_NS, unit="ns").start()
        self.lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.aclk, reset=dut.aresetn,
                                  reset_active_level=False)
        self.memory: Any = self.attached()
        self.calls = NpuCalls(npu_registers(self.params))
        await RisingEdge(dut.aclk)
        await self.reset()
        self.broken: list[str] = []
        for prefix, parts in _WATCHED.items():
            cocotb.start_soon(self._watch(prefix, parts))
        cocotb.start_soon(self._watch_bursts())
        cocotb.start_soon(self._count_cycles())

    def attached(self) -> Any:
        """The memory behind the DUT."""
        return AxiMemory(self.dut, "m_axi", self.rng)

    async def do(self, call: Call[T]) -> T:
        """What a call of the driver returns."""
        got: Any = None
        while True:
            try:
                access = call.send(got)
            except StopIteration as end:
                result: T = end.value
                return result
            if access.value is None:
                got, response = await self.read_word(access.offset)
            else:
                got, response = None, await self.write_bytes(access.offset, access.value.to_bytes(4, "little"))
            assert response == OKAY, f"register {access.offset:#x}: response {response}, expected OKAY"

    async def reset(self, cycles: int = 3) -> None:
        """`aresetn` low for some cycles, by the end of which no VALID is high."""
        self.dut.aresetn.value = 0
        await self.cycles(1 + cycles)
        for prefix in _WATCHED:
            assert not getattr(self.dut, f"{prefix}valid").value, f"{prefix}valid is high in reset"
        self.dut.aresetn.value = 1
        await RisingEdge(self.dut.aclk)

    async def _watch_bursts(self) -> None:
        """Hold the DUT to what it promises beyond AXI: words and responses are always taken, data is offered no earlier
        than its address, and a burst that has begun has no gap."""
        dut = self.dut
        names = ("awvalid", "awready", "wvalid", "wready", "wlast", "rready", "bready")
        signals = [getattr(dut, f"m_axi_{name}") for name in names]
        owed, begun = 0, False  # addresses that were taken, less bursts whose data was: below 0, data came first
        while True:
            await RisingEdge(dut.aclk)
            if not dut.aresetn.value:
                owed, begun = 0, False
                continue
            awvalid, awready, wvalid, wready, wlast, rready, bready = (int(signal.value) for signal in signals)
            if not (rready and bready):
                self.broken.append("m_axi: a word or a response is not taken at once")
            if wvalid and owed + awvalid <= 0:
                self.broken.append("m_axi_wvalid: data before its address was offered")
            if begun and not wvalid:
                self.broken.append("m_axi_wvalid: a gap in a burst")
            begun = (begun or bool(wvalid)) and not (wready and wlast)
            owed += (awvalid and awready) - (wvalid and wready and wlast)

    @property
    def channels(self) -> tuple[Any, ...]:
        """Everything that has a pause generator."""
        write, read = self.lite.write_if, self.lite.read_if
        return (*self.memory.channels, write.aw_channel, write.w_channel, write.b_channel, read.ar_channel,
                read.r_channel)

    def mood(self, turn: int) -> None:
        """A memory that is fast and in order, late, or late and paused everywhere."""
        self.memory.latency, self.memory.mixed = (0, 40, 40)[turn % 3], turn % 3 > 0
        self.pause(self.rng if turn % 3 == 2 else None)

    def fill(self, image: Image, drawn: Sequence[DrawnLayer]) -> np.ndarray:
        """Load an image, random where the DMA writes or should not look; returns the memory that must be there once
        the whole chain has run."""
        data = np.frombuffer(image.data + bytes(GUARD_BYTES), np.uint8).copy()
        data[len(image.data) :] = self.rng.integers(0, 256, GUARD_BYTES)
        for layer, one in zip(image.layers, drawn, strict=True):
            tokens = len(one.layer.x)
            start = layer.out - image.base
            data[start : start + tokens * layer.out_stride] = self.rng.integers(0, 256, tokens * layer.out_stride)
            if one.chained.source is None:
                start = layer.act - image.base
                rows = data[start : start + tokens * layer.act_stride].reshape(tokens, -1)
                rows[:, layer.act_bytes :] = self.rng.integers(0, 256, rows[:, layer.act_bytes :].shape)
        self.memory.load(data, image.base)
        wanted = data.copy()
        for number in range(len(drawn)):
            self.expected(wanted, image, drawn, number)
        return wanted

    @staticmethod
    def expected(memory: np.ndarray, image: Image, drawn: Sequence[DrawnLayer], number: int) -> None:
        """Write a layer's results of the golden model into a memory."""
        layer, y = image.layers[number], drawn[number].result.y
        put_rows(memory, layer.out - image.base, layer.out_stride, y.astype("<i2"))

    async def launch(self, chain: Any) -> None:
        """Start the chain at an address."""
        assert await self.do(self.calls.start(int(chain))), f"a chain at {int(chain):#x} does not start"

    async def run(self, image: Image, drawn: Sequence[DrawnLayer], where: str) -> None:  # type: ignore[override]
        """A whole chain: memory, bursts, registers."""
        wanted = self.fill(image, drawn)
        before = await self.read("DONE")
        await self.launch(image.base)
        await self.ended()
        await self.expect("ERROR", 0, where)
        await self.expect("DONE", before + len(drawn), where)
        await self.expect("DESCRIPTOR", len(drawn) - 1, where)
        self.same(f"{where}: {'; '.join(one.name for one in drawn)}", wanted, drawn)
        self.bursts(where, image, drawn)
        TOTALS.runs += 1

    async def ended(self, limit: int = 200_000) -> None:
        """Wait until STATUS.idle."""
        for _ in range(limit // 50):
            if await self.do(self.calls.poll()) is not State.RUNS:
                return
            await self.cycles(40)
        raise AssertionError(f"hang: no end in {limit} cycles, STATUS {await self.read('STATUS'):#x}")

    def same(self, where: str, wanted: np.ndarray, drawn: Sequence[DrawnLayer]) -> None:
        """Compare the whole memory; the layers' results count as words."""
        words = sum(one.result.y.size for one in drawn)
        self.words += words
        TOTALS.words += words
        wrong = np.flatnonzero(self.memory.data != wanted)
        if len(wrong):
            TOTALS.mismatches += len(wrong)
            place = int(wrong[0])
            raise AssertionError(f"{where}: byte {self.memory.base + place:#x}: got {self.memory.data[place]:#x}, "
                                 f"expected {wanted[place]:#x} ({len(wrong)} of {len(wanted)} differ)")

    def bursts(self, where: str, image: Image, drawn: Sequence[DrawnLayer]) -> None:
        """Compare the bursts of each stream with those of `stamp_hw.dma.walk`."""
        wanted: dict[str, list[tuple[int, int]]] = {name: [] for name in READS}
        writes: list[tuple[int, int]] = []
        for number, (layer, one) in enumerate(zip(image.layers, drawn, strict=True)):
            wanted["chain"] += walk.bursts([(image.base + 256 * number, 256)], self.params)
            for name, segments in walk.reads(layer, one.chained.table).items():
                wanted[name] += walk.bursts(segments, self.params)
            kept = [(write.address, write.size) for write in walk.writes(layer, one.chained.table, self.params)
                    if write.kept]
            writes += walk.bursts(kept, self.params)
        for number, name in enumerate(READS):
            came = [(address, words) for one, address, words in self.memory.reads if one == number]
            self.listed(f"{where}, bursts of {name}", came, wanted[name])
        came = [(address, words) for _, address, words in self.memory.writes]
        self.listed(f"{where}, bursts of results", came, writes)

    def listed(self, what: str, came: Sequence[tuple[int, int]], wanted: Sequence[tuple[int, int]]) -> None:
        """Compare two lists of (address, words)."""
        if list(came) != list(wanted):
            TOTALS.mismatches += 1
            place = next((at for at, (one, other) in enumerate(zip(came, wanted, strict=False)) if one != other),
                         min(len(came), len(wanted)))
            raise AssertionError(f"{what}: burst {place} of {len(wanted)}: got {came[place : place + 1]}, expected "
                                 f"{wanted[place : place + 1]} ({len(came)} came)")

    async def settle(self, cycles: int = 60) -> None:
        """End of a test: the bus is quiet, and no rule of AXI was broken."""
        self.pause(None)
        await self.cycles(cycles)
        for channel in ("ar", "aw", "w"):
            assert not getattr(self.dut, f"m_axi_{channel}valid").value, f"m_axi_{channel}valid behind the end"
        broken = self.broken + self.memory.broken
        assert not broken, "; ".join(broken[:3])


#: `axi_test` of a function of an NpuBench.
npu_test = functools.partial(axi_test, kind=NpuBench)
