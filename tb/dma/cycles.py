"""Chains through `stamp_npu`, cycle by cycle against `sim.dma`: every burst on the bus, and the interrupt."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from rtl_gen.axi.registers import Register
from rtl_gen.dma.registers import npu_registers
from sim.dma.chain import ChainCycles, chain
from sim.dma.memory import MemoryLaw
from sim.port import TICKS
from stamp_hw.dma.image import Image
from stamp_hw.dma.params import READS
from tb.axi.bench import PERIOD_NS
from tb.bench.harness import TOTALS, bench_test
from tb.dma import cases
from tb.dma.bench import NpuBench
from tb.dma.cases import DrawnLayer
from tb.dma.timed_memory import TimedMemory, this_cycle

LIMIT = 2_000_000  # cycles of a chain


class TimedBench(NpuBench):
    """`stamp_npu` whose pins are driven directly, so that a cycle of the bench is one of the memory's law."""

    async def start(self) -> None:
        """Clock, memory; then reset."""
        dut = self.dut
        self.table: dict[str, Register] = {register.name: register for register in npu_registers(self.params)}
        for name in ("awvalid", "awaddr", "wvalid", "wdata", "wstrb", "bready", "arvalid", "araddr", "rready"):
            getattr(dut, f"s_axil_{name}").value = 0
        dut.aresetn.value = 0
        Clock(dut.aclk, PERIOD_NS, unit="ns").start()
        self.timed = TimedMemory(dut)
        await self.cycles(4)
        dut.aresetn.value = 1
        await RisingEdge(dut.aclk)

    async def put(self, name: str, value: int) -> int:
        """Write a register; the cycle in which the later one of its address and its word is taken."""
        dut = self.dut
        dut.s_axil_awaddr.value, dut.s_axil_wdata.value, dut.s_axil_wstrb.value = self.table[name].offset, value, 15
        dut.s_axil_awvalid.value = dut.s_axil_wvalid.value = dut.s_axil_bready.value = 1
        waits = ["aw", "w"]
        while waits:
            await RisingEdge(dut.aclk)
            for way in tuple(waits):
                if getattr(dut, f"s_axil_{way}ready").value:
                    getattr(dut, f"s_axil_{way}valid").value = 0
                    waits.remove(way)
        return this_cycle()

    async def get(self, name: str) -> int:
        """Value of a register."""
        dut = self.dut
        dut.s_axil_araddr.value, dut.s_axil_arvalid.value, dut.s_axil_rready.value = self.table[name].offset, 1, 1
        while True:
            await RisingEdge(dut.aclk)
            if dut.s_axil_arvalid.value and dut.s_axil_arready.value:
                dut.s_axil_arvalid.value = 0
            if dut.s_axil_rvalid.value:
                return int(dut.s_axil_rdata.value)

    async def settle(self, cycles: int = 4) -> None:
        """End of a test."""
        await self.cycles(cycles)

    async def timed_run(self, image: Image, drawn: Sequence[DrawnLayer], law: MemoryLaw, where: str) -> ChainCycles:
        """A chain through the memory of a law: values, bursts, cycles."""
        dut, timed = self.dut, self.timed
        self.memory = timed  # of which `fill` and `same` see the bytes alone
        timed.law = law
        wanted = self.fill(image, drawn)
        for name, value in (("CHAIN_LOW", image.base & 0xFFFFFFFF), ("CHAIN_HIGH", image.base >> 32),
                            ("IRQ_STATUS", 3), ("IRQ_ENABLE", 1)):
            await self.put(name, value)
        await self.cycles(3)
        begin = await self.put("START", 1)
        model = chain(self.params, image.base, image.layers, [one.chained.table for one in drawn], law)
        for _ in range(LIMIT):
            await RisingEdge(dut.aclk)
            if dut.irq.value or timed.broken:
                break
        interrupt = this_cycle() - begin
        what = f"{where}: {'; '.join(one.name for one in drawn)}; {law}"
        assert not timed.broken, f"{what}: {timed.broken[0]}"
        self.same(what, wanted, drawn)
        self.equal_cycles(f"{what}, interrupt", [interrupt], [model.interrupt])
        begins = list(zip(model.starts, model.layers, strict=True))
        self.equal_cycles(f"{what}, (cycle, ID, words) of reads",
                          [(cycle - begin, number, words) for cycle, number, _, words in timed.reads],
                          [(start + cycle, number, words) for start, layer in begins
                           for cycle, number, words in layer.reads])
        self.equal_cycles(f"{what}, (cycle, words) of writes",
                          [(cycle - begin, words) for cycle, _, words in timed.writes],
                          [(start + cycle, words) for start, layer in begins for cycle, words in layer.writes])
        for number, name in enumerate(READS):
            self.equal_cycles(f"{what}, words of {name}", [timed.words_read.get(number, 0)],
                              [sum(layer.words_read[name] for layer in model.layers)])
        self.equal_cycles(f"{what}, words written", [timed.words_written],
                          [sum(layer.words_written for layer in model.layers)])
        TOTALS.runs += 1
        TOTALS.cycles += interrupt
        return model

    def equal_cycles(self, what: str, came: Sequence[Any], predicted: Sequence[Any]) -> None:
        """Compare two lists; each entry counts as a beat."""
        TOTALS.timed_beats += len(came)
        if list(came) == list(predicted):
            return
        pairs = list(zip(came, predicted, strict=False))
        place = next((at for at, (one, other) in enumerate(pairs) if one != other), len(pairs))
        wrong = sum(one != other for one, other in pairs) + abs(len(came) - len(predicted))
        TOTALS.cycle_differences += wrong
        raise AssertionError(f"{what}, entry {place} of {len(predicted)}: came {list(came[place : place + 1])}, "
                             f"predicted {list(predicted[place : place + 1])} ({wrong} differ, {len(came)} came)")


def timed_test(function: Callable[[TimedBench], Awaitable[None]] | None = None, *, quota: float = 0.0) -> Any:
    """`bench_test` of a function of a TimedBench."""
    if function is None:
        return functools.partial(timed_test, quota=quota)
    return bench_test(function, quota=quota, kind=TimedBench)


def draw_law(rng: np.random.Generator) -> MemoryLaw:
    """A memory: an ideal one, a late one, one that is slow either way, one port."""
    def ticks() -> int:
        return TICKS if rng.random() < 0.5 else int(rng.integers(TICKS, 5 * TICKS))

    def late() -> int:
        return int(rng.integers(1 + int(rng.choice([0, 3, 80])) * TICKS))

    return MemoryLaw(read_ticks=ticks(), write_ticks=ticks(), latency=late(), response=late(),
                     read_bursts=int(rng.integers(1, 20)), write_bursts=int(rng.integers(1, 20)),
                     write_words=int(rng.integers(1, 20)), one_port=bool(rng.integers(2)))


@timed_test(quota=4)  # some thirty chains where the others have two
async def a_chain_takes_the_cycles_of_the_model(bench: TimedBench) -> None:
    for job in bench.jobs():
        drawn, image = cases.chain(bench.params, bench.rng, int(bench.rng.integers(1, 5)))
        law = MemoryLaw() if job == 0 else draw_law(bench.rng)
        await bench.timed_run(image, drawn, law, f"job {job}")
    cocotb.log.info("%d chains", job + 1)

