"""Results to words of the bus, each token of a column tile at its own address."""

from __future__ import annotations

from math import gcd

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.gearbox import Gearbox
from rtl_gen.dma.layouts import LANE_WIDTH, byte_bits, result_layout, word_address
from rtl_gen.engine.layouts import output_layout
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.wire import OUT_BYTES


def is_written(suppress: Value) -> Value:
    """Whether a place's results go to the memory."""
    return ~suppress


class Packer(wiring.Component):
    """Lanes of the engine to bytes of words; a burst ends with the token's part, or where its address is a multiple of
    the longest burst. Nothing comes out at a place that is suppressed.

    Parameters
    ----------
    params : DmaParams

    Members
    -------
    i : In(stream of output_layout)
    place : In(stream): `address` in bytes of the token's results of this column tile, `mark`: they are suppressed
    o : Out(stream of result_layout)
    idle : Out, nothing waits

    Latency: one cycle. Throughput: a beat or a word a cycle, whichever there are more of.
    """

    def __init__(self, params: DmaParams) -> None:
        self.params = params
        place = data.StructLayout({"address": params.address_width, "mark": 1})
        super().__init__({"i": In(stream.Signature(output_layout(params.engine))), "place": In(stream.Signature(place)),
                          "o": Out(stream.Signature(result_layout(params))), "idle": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, i, o, place = self.params, self.i, self.o, self.place.payload
        lanes, width = params.engine.rescale_lanes, params.bus_bytes // OUT_BYTES
        lane = LANE_WIDTH + 1  # a value, and whether it is one
        m.submodules.gear = gear = Gearbox.of(lanes, width, lane)
        piece = gcd(lanes, width)
        written, taken, given = (Signal(name=name) for name in ("written", "taken", "given"))
        fresh = Signal(init=1)
        m.d.comb += [
            written.eq(is_written(place.mark)),
            gear.i.valid.eq(i.valid & self.place.valid & written),
            i.ready.eq(self.place.valid & (gear.i.ready | ~written)),
            self.place.ready.eq(i.valid & i.ready & i.payload.last),
            gear.i.payload.pieces.eq(Cat(Cat(i.payload.y[n], i.payload.keep[n]) for n in range(lanes))),
            gear.i.payload.count.eq(sum((i.payload.keep[n] for n in range(0, lanes, piece)), start=0)),
            gear.i.payload.last.eq(i.payload.last),
            gear.i.payload.start.eq(place.address[(OUT_BYTES * piece).bit_length() - 1 : byte_bits(params)]),
            taken.eq(gear.i.valid & gear.i.ready), given.eq(o.valid & o.ready),
        ]
        address = Signal(word_address(params), reset_less=True)
        following = Signal.like(address, name="following")
        out = [gear.o.payload.pieces[lane * n : lane * (n + 1)] for n in range(width)]
        m.d.comb += [
            following.eq(address + 1),
            o.valid.eq(gear.o.valid), gear.o.ready.eq(o.ready), o.payload.address.eq(address),
            o.payload.data.eq(Cat(one[:-1] for one in out)),
            o.payload.strb.eq(Cat(one[-1].replicate(OUT_BYTES) for one in out)),
            o.payload.ends.eq(gear.o.payload.last | ~following[: params.burst_words.bit_length() - 1].any()),
            self.idle.eq(gear.idle),
        ]
        with m.If(given):
            m.d.sync += address.eq(following)
        with m.If(taken):
            m.d.sync += fresh.eq(i.payload.last)
            with m.If(fresh):
                m.d.sync += address.eq(place.address[byte_bits(params):])
        return m
