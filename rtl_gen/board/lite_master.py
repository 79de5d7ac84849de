"""A master of an AXI4-Lite port: one access after the other."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi.lite import DATA_WIDTH
from rtl_gen.axi.ports import LITE_PORTS
from rtl_gen.axi.registers import ADDRESS_WIDTH, WORD_BYTES


class LiteMaster(wiring.Component):
    """Members
    -------
    write, read : In, begin an access to `address`, of `data` where it is a write; nothing else until `done`
    done : Out, the answer comes in this cycle; `value` : Out, what was read
    m_axil_* : the port
    """

    def __init__(self) -> None:
        turned = {name.replace("s_axil", "m_axil"): member.flip() for name, member in LITE_PORTS.items()}
        super().__init__({"write": In(1), "read": In(1), "address": In(ADDRESS_WIDTH), "data": In(DATA_WIDTH),
                          "done": Out(1), "value": Out(DATA_WIDTH), **turned})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        for begin, channel in ((self.write, "aw"), (self.write, "w"), (self.read, "ar")):
            valid, ready = (getattr(self, f"m_axil_{channel}{part}") for part in ("valid", "ready"))
            with m.If(ready):
                m.d.sync += valid.eq(0)
            with m.If(begin):
                m.d.sync += valid.eq(1)
        m.d.comb += [
            self.m_axil_awaddr.eq(self.address), self.m_axil_araddr.eq(self.address), self.m_axil_wdata.eq(self.data),
            self.m_axil_wstrb.eq((1 << WORD_BYTES) - 1), self.m_axil_bready.eq(1), self.m_axil_rready.eq(1),
            self.done.eq(self.m_axil_bvalid | self.m_axil_rvalid), self.value.eq(self.m_axil_rdata),
        ]
        return m
