"""Words of the bus to the beats of a stream, unit by unit."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.gearbox import Gearbox
from rtl_gen.dma.layouts import COUNT_WIDTH, byte_bits
from stamp_hw.dma.params import DmaParams


class Feed(wiring.Component):
    """A unit is `size` bytes from the beginning of a word on; the rest of its last word is dropped.

    Parameters
    ----------
    params : DmaParams
    beat_bytes : of a beat; in a unit's last one the bytes beyond the unit are what stood in the word, or zero

    Members
    -------
    size : In, bytes of every unit, one at least; steady while words come
    i : In(stream of a word)
    o : Out(stream): `data`, `last` of its unit
    idle : Out, nothing waits, and no unit has begun

    Latency: one cycle. Throughput: a word or a beat a cycle, whichever there are more of.
    """

    def __init__(self, params: DmaParams, beat_bytes: int) -> None:
        self.params, self.beat_bytes = params, beat_bytes
        super().__init__({"size": In(COUNT_WIDTH), "i": In(stream.Signature(params.bus_width)),
                          "o": Out(stream.Signature(data.StructLayout({"data": 8 * beat_bytes, "last": 1}))),
                          "idle": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.gear = gear = Gearbox.of(self.params.bus_bytes, self.beat_bytes)
        within = byte_bits(self.params)
        piece = gear.bits.bit_length() - 4  # of the bytes of a piece, the logarithm: a divisor of the bus's bytes
        behind = Signal(COUNT_WIDTH)  # the unit's last byte
        number = Signal(COUNT_WIDTH - within)
        last = Signal()
        m.d.comb += [
            behind.eq(self.size - 1),
            last.eq(number == behind[within:]),
            gear.i.valid.eq(self.i.valid), self.i.ready.eq(gear.i.ready),
            gear.i.payload.pieces.eq(self.i.payload), gear.i.payload.last.eq(last),
            gear.i.payload.count.eq(Mux(last, behind[piece:within] + 1, gear.taken)),
            self.o.valid.eq(gear.o.valid), gear.o.ready.eq(self.o.ready),
            self.o.payload.data.eq(gear.o.payload.pieces), self.o.payload.last.eq(gear.o.payload.last),
            self.idle.eq(gear.idle & (number == 0)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += number.eq(Mux(last, 0, number + 1))
        return m
