"""Memories that take a burst's data and its address in any order. Tests of `tb.tb_dma`."""

from __future__ import annotations

from collections.abc import Callable

import cocotb
from cocotb.triggers import RisingEdge

from tb.bench.harness import TOTALS
from tb.dma.bench import NpuBench, npu_test
from tb.dma.cases import chain
from tb.dma.halts import SMALL

#: How a memory waits: (addresses less bursts that it has taken, WVALID) → whether it takes an address, and data.
#: AXI4 (IHI 0022, "Dependencies between channel handshake signals") lets it wait in each of these ways.
WAITS: dict[str, Callable[[int, bool], tuple[bool, bool]]] = {
    "an address with data on offer": lambda ahead, wvalid: (wvalid, True),
    "data first": lambda ahead, wvalid: (ahead < 0, ahead >= 0),
    "an address first": lambda ahead, wvalid: (ahead <= 0, ahead > 0),
}


@npu_test
async def a_memory_may_take_data_or_its_address_first(bench: NpuBench) -> None:
    for name, waits in WAITS.items():
        taking = cocotb.start_soon(_take(bench, waits))
        for case in range(3):
            drawn, image = chain(bench.params, bench.rng, 2, **SMALL)
            await bench.run(image, drawn, f"a memory that takes {name}, case {case}")
        taking.cancel()
        bench.pause(None)
        TOTALS.runs += 1


async def _take(bench: NpuBench, waits: Callable[[int, bool], tuple[bool, bool]]) -> None:
    """Say in every cycle what is taken in the next one."""
    dut, slave = bench.dut, bench.memory.slave
    ahead = 0  # addresses that were taken, less bursts whose last word was
    while True:
        await RisingEdge(dut.aclk)
        awvalid, awready, wvalid, wready, wlast = (bool(getattr(dut, f"m_axi_{name}").value) for name in (
            "awvalid", "awready", "wvalid", "wready", "wlast"))
        ahead += (awvalid and awready) - (wvalid and wready and wlast)
        address, data = waits(ahead, wvalid)
        slave.aw_channel.pause, slave.w_channel.pause = not address, not data
