"""The read channels of the AXI4 master: bursts of several streams, each under an ID of its own."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.layouts import ID_WIDTH, burst_layout, request_layout
from rtl_gen.lib.handshake import can_move
from stamp_hw.dma.params import READS, DmaParams


def failed(resp: Value) -> Value:
    """Whether a response is SLVERR or DECERR."""
    return resp[1]


def answer_layout(params: DmaParams) -> data.StructLayout:
    """The R channel."""
    return data.StructLayout({"data": params.bus_width, "id": ID_WIDTH, "resp": 2, "last": 1})


class ReadPort(wiring.Component):
    """Takes the streams' bursts in turn. Words of one stream come in the order in which it asked for them, since they
    have one ID; those of different streams may come in any order and mixed.

    Parameters
    ----------
    params : DmaParams

    Members
    -------
    <name> : In(stream of burst_layout) for each stream of `READS`
    stop : In, no burst is taken
    ar : Out(stream of request_layout)
    r : In, `r_valid` a word of answer_layout; it is always taken
    push : Out, a bit a stream: `word` is its next one, a cycle behind the bus
    error : Out, a word came with an error
    quiet : Out, no burst is offered, and every word that was asked for has come
    moves : Out, a burst or a word changes hands

    Latency: a burst is offered in the cycle after it was taken. Throughput: a burst a cycle.
    """

    def __init__(self, params: DmaParams) -> None:
        self.params = params
        burst = stream.Signature(burst_layout(params))
        super().__init__({
            **{name: In(burst) for name in READS}, "stop": In(1), "ar": Out(stream.Signature(request_layout(params))),
            "r_valid": In(1), "r": In(answer_layout(params)), "push": Out(len(READS)), "word": Out(params.bus_width),
            "error": Out(1), "quiet": Out(1), "moves": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, ar = self.params, self.ar
        streams = [getattr(self, name) for name in READS]
        turn, chosen = (Signal(range(len(READS)), name=name) for name in ("turn", "chosen"))
        takes = Signal()
        asks = Signal(len(READS))
        m.d.comb += [asks[number].eq(one.valid) for number, one in enumerate(streams)]
        # The next one that asks behind the one that was taken last.
        with m.Switch(turn):
            for number in range(len(READS)):
                with m.Case(number):
                    for distance in range(len(READS), 0, -1):
                        other = (number + distance) % len(READS)
                        with m.If(asks[other]):
                            m.d.comb += chosen.eq(other)
        m.d.comb += takes.eq(asks.any() & ~self.stop & can_move(ar.valid, ar.ready))
        with m.If(ar.ready):
            m.d.sync += ar.valid.eq(0)
        with m.If(takes):
            m.d.sync += [ar.valid.eq(1), turn.eq(chosen), ar.payload.id.eq(chosen)]
        for number, one in enumerate(streams):
            m.d.comb += one.ready.eq(takes & (chosen == number))
            with m.If(one.ready):
                m.d.sync += [ar.payload.address.eq(one.payload.address), ar.payload.words.eq(one.payload.words)]

        came = Signal()
        answer = Signal(answer_layout(params), name="answer", reset_less=True)
        on_their_way = Signal(range(len(READS) * params.fifo_words + 1))
        m.d.sync += [came.eq(self.r_valid), answer.eq(self.r),
                     on_their_way.eq(on_their_way + takes - (came & answer.last))]
        m.d.comb += [
            self.word.eq(answer.data), self.error.eq(came & failed(answer.resp)), self.quiet.eq(on_their_way == 0),
            self.moves.eq(ar.valid & ar.ready | self.r_valid),
            *(self.push[number].eq(came & (answer.id == number)) for number in range(len(READS))),
        ]
        return m
