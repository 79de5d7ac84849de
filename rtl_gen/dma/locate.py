"""Addresses of tokens: base + offset + token · stride."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.handshake import can_move
from stamp_hw.dma.order import TOKEN_BITS
from stamp_hw.dma.params import STRIDE_WIDTH, DmaParams


class Locate(wiring.Component):
    """Two ranks, one multiplier.

    Parameters
    ----------
    params : DmaParams

    Members
    -------
    base, stride : In, in bytes, the stride whole words of the bus; steady while tokens come
    i : In(stream): `token`, `offset` in bytes, `mark`, which goes beside it
    o : Out(stream): `address` in bytes, `mark`

    Latency: two cycles. Throughput: one a cycle.
    """

    def __init__(self, params: DmaParams) -> None:
        self.params = params
        super().__init__({
            "base": In(params.address_width), "stride": In(STRIDE_WIDTH),
            "i": In(stream.Signature(data.StructLayout({"token": TOKEN_BITS, "offset": STRIDE_WIDTH, "mark": 1}))),
            "o": Out(stream.Signature(data.StructLayout({"address": params.address_width, "mark": 1}))),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        i, o = self.i, self.o
        within = self.params.bus_bytes.bit_length() - 1
        product = Signal(TOKEN_BITS + STRIDE_WIDTH - within, reset_less=True)
        start = Signal(self.params.address_width, reset_less=True)
        valid, moves = (Signal(name=name) for name in ("valid", "moves"))
        mark = Signal(reset_less=True)
        m.d.comb += [moves.eq(can_move(o.valid, o.ready)), i.ready.eq(can_move(valid, moves))]
        with m.If(i.ready):
            m.d.sync += [valid.eq(i.valid), product.eq(i.payload.token * self.stride[within:]),
                         start.eq(self.base + i.payload.offset), mark.eq(i.payload.mark)]
        with m.If(moves):
            m.d.sync += [o.valid.eq(valid), o.payload.address.eq(start + (product << within)), o.payload.mark.eq(mark)]
        return m
