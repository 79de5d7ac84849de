"""One stream that reads: cuts segments into bursts, and asks for one only when there is room for all of it."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.fifo import Fifo
from rtl_gen.dma.layouts import burst_layout, segment_layout
from stamp_hw.dma.params import DmaParams


def has_room(room: Value, words: Value) -> Value:
    """Whether a burst may be asked for: every word of it has its place already. So the bus never waits for a stream,
    and a stream that waits never holds up another one."""
    return room >= words


def until_boundary(params: DmaParams, address: Value) -> Value:
    """Words from `address` to the next multiple of the longest burst, which divides a page."""
    place = address[: params.burst_words.bit_length() - 1]
    return params.burst_words - place


def lesser(words: Value, most: Value | int) -> Value:
    """The smaller one, of which `most` is narrow."""
    return Mux(words < most, words, most)


class Reader(wiring.Component):
    """Segments in, their words out.

    Parameters
    ----------
    params : DmaParams

    Members
    -------
    i : In(stream of segment_layout), of one word at least
    request : Out(stream of burst_layout), which waits until it is taken
    push, word : In, a word that was asked for; it has its place
    o : Out(stream of a word)
    idle : Out, nothing is left to ask for, on its way or waiting

    Throughput: a burst a cycle, a word a cycle.
    """

    def __init__(self, params: DmaParams) -> None:
        self.params = params
        super().__init__({
            "i": In(stream.Signature(segment_layout(params))), "request": Out(stream.Signature(burst_layout(params))),
            "push": In(1), "word": In(params.bus_width), "o": Out(stream.Signature(params.bus_width)), "idle": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, i, burst = self.params, self.i, self.request.payload
        m.submodules.words = words = Fifo(params.bus_width, params.fifo_words)
        wiring.connect(m, words.o, wiring.flipped(self.o))
        address = Signal.like(i.payload.address, name="address", reset_less=True)
        left = Signal.like(i.payload.words, name="left")
        room = Signal(range(params.fifo_words + 1), init=params.fifo_words)
        granted, popped, empty, final, loads = (Signal(name=name)
                                                for name in ("granted", "popped", "empty", "final", "loads"))
        m.d.comb += [
            burst.address.eq(address),
            granted.eq(self.request.valid & self.request.ready),
            popped.eq(words.o.valid & words.o.ready),
            words.i.valid.eq(self.push), words.i.payload.eq(self.word),
            empty.eq(left == 0), final.eq(left == burst.words),
            i.ready.eq(Mux(granted, final, empty)),
            loads.eq(i.valid & i.ready),
            self.idle.eq(empty & (room == params.fifo_words)),
        ]
        with m.If(granted):
            m.d.sync += [address.eq(address + burst.words), left.eq(left - burst.words)]
        with m.If(loads):
            m.d.sync += [address.eq(i.payload.address), left.eq(i.payload.words)]
        m.d.sync += room.eq(room + popped - Mux(granted, burst.words, 0))

        # The burst at hand, and whether it has room, are known a cycle before: it is the first one of a segment that
        # comes, or the next one, which begins at a boundary, or still the same.
        first, further = (Signal.like(burst.words, name=name) for name in ("first", "further"))
        m.d.comb += [first.eq(lesser(i.payload.words, until_boundary(params, i.payload.address))),
                     further.eq(lesser(left - burst.words, params.burst_words))]
        kept, spent = room + popped, room + popped - burst.words
        m.d.sync += [
            burst.words.eq(Mux(loads, first, Mux(granted, further, burst.words))),
            self.request.valid.eq(Mux(
                granted, Mux(final, i.valid & has_room(spent, first), has_room(spent, further)),
                Mux(empty, i.valid & has_room(kept, first), has_room(kept, burst.words)))),
        ]
        return m
