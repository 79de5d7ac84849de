"""A memory behind AXI4: block RAM with a read and a write port, whose words are those of the bus."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.layouts import byte_bits
from rtl_gen.dma.ports import memory_ports
from rtl_gen.lib.handshake import can_move
from stamp_hw.dma.params import DmaParams

DECERR = 0b11
BURST_WIDTH = 8  # bits of ARLEN


def ram_ports(address_width: int, width: int) -> dict[str, Any]:
    """The ports of the RAM, as its user has them. Data of a read are there in the cycle behind it, and stay until the
    next one; a byte is written where its bit of `strb` is set."""
    return {"read_en": Out(1), "read_addr": Out(address_width), "read_data": In(width),
            "write_addr": Out(address_width), "write_strb": Out(width // 8), "write_data": Out(width)}


class AxiRam(wiring.Component):
    """Answers the bursts of a master that sends INCR bursts of whole words, reads and writes side by side.

    Parameters
    ----------
    params : DmaParams of the master
    address_width : bits of the address of a word; bursts beyond are answered with DECERR

    Members
    -------
    s_axi_* : the bus, the names of `rtl_gen.dma.ports` turned round
    ram_* : of `ram_ports`

    A burst after the other each way: the next address is taken behind the last word, or the response. Latency: the
    first word of a burst is offered three cycles behind its address, a response two behind the last word, which is in
    the RAM then. Throughput: a word a cycle inside a burst.
    """

    def __init__(self, params: DmaParams, address_width: int) -> None:
        self.params, self.address_width = params, address_width
        bus = {name.replace("m_axi", "s_axi"): member.flip() for name, member in memory_ports(params).items()}
        ram = {f"ram_{name}": member for name, member in ram_ports(address_width, params.bus_width).items()}
        super().__init__(bus | ram)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        self._read(m)
        self._write(m)
        return m

    def _place(self, address: Value) -> tuple[Value, Value]:
        """(word of an address, whether it is beyond the RAM)."""
        word = address[byte_bits(self.params):]
        return word[: self.address_width], word[self.address_width:].any()

    def _read(self, m: Module) -> None:
        """One pipeline with one enable: address, RAM, output."""
        active, beyond = Signal(name="read_active"), Signal(name="read_beyond", reset_less=True)
        address = Signal(self.address_width, name="read_address", reset_less=True)
        left = Signal(BURST_WIDTH, name="read_left", reset_less=True)
        number = Signal.like(self.s_axi_arid, name="read_id", reset_less=True)
        coming = Signal()
        last, failed = Signal(reset_less=True), Signal(reset_less=True)
        moves = Signal()
        m.d.comb += [moves.eq(can_move(self.s_axi_rvalid, self.s_axi_rready)),
                     self.ram_read_en.eq(moves), self.ram_read_addr.eq(address),
                     self.s_axi_arready.eq(~active & ~coming & ~self.s_axi_rvalid)]
        with m.If(moves):
            m.d.sync += [
                coming.eq(active), last.eq(left == 0), failed.eq(beyond),
                self.s_axi_rvalid.eq(coming), self.s_axi_rlast.eq(last), self.s_axi_rid.eq(number),
                self.s_axi_rresp.eq(Mux(failed, DECERR, 0)), self.s_axi_rdata.as_value().eq(self.ram_read_data)]
            with m.If(active):
                m.d.sync += [address.eq(address + 1), left.eq(left - 1), active.eq(left != 0)]
        with m.If(self.s_axi_arvalid & self.s_axi_arready):
            first, outside = self._place(self.s_axi_araddr)
            m.d.sync += [active.eq(1), address.eq(first), beyond.eq(outside), left.eq(self.s_axi_arlen),
                         number.eq(self.s_axi_arid)]

    def _write(self, m: Module) -> None:
        active, beyond = Signal(name="write_active"), Signal(name="write_beyond", reset_less=True)
        address = Signal(self.address_width, name="write_address", reset_less=True)
        taken, written = Signal(), Signal()
        strobes = Signal(self.params.bus_bytes, name="strobes")
        m.d.comb += [
            self.s_axi_awready.eq(~active & ~written & ~self.s_axi_bvalid), self.s_axi_wready.eq(active),
            taken.eq(self.s_axi_wvalid & self.s_axi_wready), self.ram_write_strb.eq(strobes),
        ]
        with m.If(self.s_axi_awvalid & self.s_axi_awready):
            first, outside = self._place(self.s_axi_awaddr)
            m.d.sync += [active.eq(1), address.eq(first), beyond.eq(outside), self.s_axi_bid.eq(self.s_axi_awid)]
        m.d.sync += [written.eq(taken & self.s_axi_wlast),
                     strobes.eq(Mux(taken & ~beyond, self.s_axi_wstrb.as_value(), 0)),
                     self.ram_write_addr.eq(address), self.ram_write_data.eq(self.s_axi_wdata.as_value())]
        with m.If(self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)
        with m.If(written):
            m.d.sync += [self.s_axi_bvalid.eq(1), self.s_axi_bresp.eq(Mux(beyond, DECERR, 0))]
        with m.If(taken):
            m.d.sync += [address.eq(address + 1), active.eq(~self.s_axi_wlast)]
