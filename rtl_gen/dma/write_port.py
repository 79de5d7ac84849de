"""The write channels of the AXI4 master. A burst is offered when it is whole, so that the bus never waits for its
data, and its data is offered with its address, so that a memory may wait for either before it takes the other."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.fifo import Fifo
from rtl_gen.dma.layouts import burst_layout, result_layout
from rtl_gen.dma.read_port import failed
from stamp_hw.dma.params import DmaParams


def word_layout(params: DmaParams) -> data.StructLayout:
    """The W channel."""
    return data.StructLayout({"data": params.bus_width, "strb": params.bus_bytes, "last": 1})


def may_send(granted: Value, offered: Value) -> Value:
    """Whether data is offered: of a burst whose address was taken, or of the one whose address is on offer."""
    return (granted != 0) | offered


class WritePort(wiring.Component):
    """Words in, bursts out, in order and under one ID.

    Parameters
    ----------
    params : DmaParams

    Members
    -------
    i : In(stream of result_layout)
    aw : Out(stream of burst_layout), w : Out(stream of word_layout)
    b_valid, b_resp : In, a response; it is always taken
    error : Out, a response is an error
    quiet : Out, no whole burst waits or lacks its response; what is left of one that is not whole is another matter
    moves : Out, something changes hands on the bus

    Latency: a burst is offered three cycles after its last word. Throughput: a word a cycle.
    """

    def __init__(self, params: DmaParams) -> None:
        self.params = params
        super().__init__({
            "i": In(stream.Signature(result_layout(params))), "aw": Out(stream.Signature(burst_layout(params))),
            "w": Out(stream.Signature(word_layout(params))), "b_valid": In(1), "b_resp": In(2), "error": Out(1),
            "quiet": Out(1), "moves": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, i, aw, w = self.params, self.i, self.aw, self.w
        m.submodules.words = words = Fifo(word_layout(params), params.fifo_words)
        m.submodules.bursts = bursts = Fifo(burst_layout(params), params.fifo_words)
        wiring.connect(m, bursts.o, wiring.flipped(aw))
        taken, whole, sent = (Signal(name=name) for name in ("taken", "whole", "sent"))
        count = Signal.like(bursts.i.payload.words, name="count", init=1)
        begin, address = (Signal.like(i.payload.address, name=name, reset_less=True) for name in ("begin", "address"))
        open_ = Signal(range(params.fifo_words + 1), name="open")
        granted = Signal(range(params.fifo_words + 1))  # bursts whose address was taken, and whose data is to go
        early, gone = Signal(), Signal()  # the data of the address on offer goes before it is taken; it has gone
        sends, addressed = Signal(), Signal()
        m.d.comb += [
            addressed.eq(aw.valid & aw.ready), sends.eq(may_send(granted, aw.valid & ~gone)),
            early.eq(sent & (granted == 0) & ~addressed),
            i.ready.eq(words.i.ready & (open_ != params.fifo_words)),
            taken.eq(i.valid & i.ready), whole.eq(taken & i.payload.ends),
            words.i.valid.eq(taken), words.i.payload.data.eq(i.payload.data), words.i.payload.strb.eq(i.payload.strb),
            words.i.payload.last.eq(i.payload.ends),
            begin.eq(Mux(count == 1, i.payload.address, address)),
            bursts.i.valid.eq(whole), bursts.i.payload.address.eq(begin), bursts.i.payload.words.eq(count),
            w.valid.eq(words.o.valid & sends), w.payload.eq(words.o.payload), words.o.ready.eq(w.ready & sends),
            sent.eq(w.valid & w.ready & w.payload.last),
            self.error.eq(self.b_valid & failed(self.b_resp)),
            self.quiet.eq(open_ == 0),
            self.moves.eq(addressed | w.valid & w.ready | self.b_valid),
        ]
        with m.If(taken):
            m.d.sync += [address.eq(begin), count.eq(Mux(i.payload.ends, 1, count + 1))]
        m.d.sync += [granted.eq(granted + (addressed & ~gone) - (sent & ~early)), gone.eq(early | (gone & ~addressed)),
                     open_.eq(open_ + whole - self.b_valid)]
        return m
