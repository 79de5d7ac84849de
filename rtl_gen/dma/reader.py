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
        whole = Signal.like(burst.words, name="whole")
        granted, popped = (Signal(name=name) for name in ("granted", "popped"))
        m.d.comb += [
            whole.eq(until_boundary(params, address)),
            burst.address.eq(address),
            burst.words.eq(Mux(left < whole, left, whole)),
            self.request.valid.eq((left != 0) & has_room(room, burst.words)),
            granted.eq(self.request.valid & self.request.ready),
            popped.eq(words.o.valid & words.o.ready),
            words.i.valid.eq(self.push), words.i.payload.eq(self.word),
            i.ready.eq((left == 0) | granted & (left <= whole)),
            self.idle.eq((left == 0) & (room == params.fifo_words)),
        ]
        with m.If(granted):
            m.d.sync += [address.eq(address + burst.words), left.eq(left - burst.words)]
        with m.If(i.valid & i.ready):
            m.d.sync += [address.eq(i.payload.address), left.eq(i.payload.words)]
        m.d.sync += room.eq(room + popped - Mux(granted, burst.words, 0))
        return m
