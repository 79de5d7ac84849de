"""The driver of Python on the RTL, and the DMA against the memory of cocotbext-axi. Tests of `tb.tb_dma`."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from cocotbext.axi import AxiBus, AxiRam

from rtl_gen.axi.registers import events
from stamp_hw.dma.driver import State
from stamp_hw.dma.image import Image
from tb.axi.bench import axi_test
from tb.bench.harness import TOTALS
from tb.dma.bench import NpuBench, npu_test
from tb.dma.cases import DrawnLayer, chain
from tb.dma.halts import SMALL

RAM_BYTES = 1 << 20  # what is in it lies at addresses modulo so many


@npu_test
async def the_calls_of_the_driver_do_what_they_say(bench: NpuBench) -> None:
    do, npu = bench.do, bench.calls
    assert await do(npu.matches())
    for case in range(3):
        bench.mood(case)
        drawn, image = chain(bench.params, bench.rng, 2, **SMALL)
        wanted = bench.fill(image, drawn)
        bench.memory.bad_reads = {image.base}
        await do(npu.enable("error"))
        assert await do(npu.start(image.base))
        assert await do(npu.wait(10_000)) is State.FAILED and bench.dut.irq.value
        assert await do(npu.error()) == (("read",), 0) and await do(npu.interrupt()) == ("error",)
        assert not await do(npu.start(image.base)), "a halted engine starts"
        assert await do(npu.recover()) == ("read",) and not bench.dut.irq.value
        bench.memory.bad_reads = set()
        assert await do(npu.start(image.base)) and not await do(npu.start(image.base)), "beside a chain"
        await bench.cycles(int(bench.rng.integers(200)))
        assert await do(npu.abort()) == () and await do(npu.poll()) is State.ENDED
        assert await do(npu.start(1)) and await do(npu.wait(10_000)) is State.FAILED
        assert await do(npu.recover()) == ("descriptor",)
        await do(npu.timeout(5_000))
        await do(npu.enable("done"))
        await do(npu.clear_events())
        before = await do(npu.layers())
        assert await do(npu.start(image.base)) and await do(npu.wait(1)) is State.RUNS
        while not bench.dut.irq.value:
            await bench.cycles(1)
        assert set(await do(npu.interrupt())) == {"done", "layer"} and await do(npu.wait(1_000)) is State.ENDED
        assert await do(npu.error()) == ((), 1)
        bench.check("layers that were done", await do(npu.layers()), before + 2)
        bench.same(f"case {case}", wanted, drawn)
        names = tuple(events(bench.params.engine))
        outputs = await do(npu.event(names.index("finish_outputs")))
        least = sum(one.result.y.size for one in drawn)  # channels beyond N and filled places are counted as well
        assert outputs >= least, f"finish_outputs: {outputs} words, expected at least {least}"
        TOTALS.runs += 1


class Ram:
    """`cocotbext.axi.AxiRam` as a bench wants its memory."""

    def __init__(self, dut: Any) -> None:
        self.ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.aclk, dut.aresetn, reset_active_level=False,
                          size=RAM_BYTES)
        write, read = self.ram.write_if, self.ram.read_if
        self.channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
        self.latency, self.mixed = 0, False  # which it has not
        self.base, self.size = 0, 0
        self.broken: list[str] = []

    def load(self, data: np.ndarray, base: int) -> None:
        """Other contents from an address on."""
        assert len(data) <= RAM_BYTES
        self.base, self.size = base, len(data)
        for place, part in self._parts():
            self.ram.write(place, data[part].tobytes())

    @property
    def data(self) -> np.ndarray:
        """uint8[bytes] from `base` on."""
        return np.concatenate([np.frombuffer(bytes(self.ram.read(place, part.stop - part.start)), np.uint8)
                               for place, part in self._parts()])

    def _parts(self) -> list[tuple[int, slice]]:
        """(place in the memory, bytes of the contents) of what lies in front of its end, and what goes on at 0."""
        start = self.base % RAM_BYTES
        first = min(self.size, RAM_BYTES - start)
        return [(start, slice(0, first)), *([(0, slice(first, self.size))] if first < self.size else [])]


class RamBench(NpuBench):
    """`stamp_npu` between a register master and a memory that others wrote."""

    def attached(self) -> Ram:
        return Ram(self.dut)

    def bursts(self, where: str, image: Image, drawn: Any) -> None:
        """It keeps no list of them."""


@functools.partial(axi_test, kind=RamBench)
async def chains_are_right_on_a_memory_of_others(bench: RamBench) -> None:
    """The RAM of cocotbext-axi, whose five channels stall each under a pattern of its own."""
    drawn: list[DrawnLayer]
    for case in range(6):
        bench.mood(2 * (case % 2))
        drawn, image = chain(bench.params, bench.rng, int(bench.rng.integers(1, 4)), **SMALL)
        await bench.run(image, drawn, f"case {case}")
