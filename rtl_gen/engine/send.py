"""Results of the engine: tokens that were lifted back get their bias, are rounded and sent (docs/contract.md §4)."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import lifting_layout, output_layout
from rtl_gen.engine.loader import channel_layout
from rtl_gen.haar import finish, inverse
from rtl_gen.haar.finish import Finish
from rtl_gen.lib.delay import Ranks, history
from stamp_hw.engine.params import BIAS_WIDTH, PARAMETER_SETS, EngineParams


def kept(lane: int, last: Value, lifting: data.View) -> Value:
    """Whether a lane holds an output channel: all but the last ones of the last column tile do."""
    return ~(lifting.last_column & last) | (lane < lifting.keep)


class Send(wiring.Component):
    """Tokens of the inverse unit in, results out.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    i : In(stream of the inverse unit's output_layout)
    lifting : In(lifting_layout), the job that the token belongs to; the next one from the cycle after `final` on
    parameter_en, channel, bias : In, write of an output channel's bias
    o : Out(stream of output_layout)
    final : Out, the last beat of the lifting job is taken now
    freed : Out(2), with it the half of the output buffer that nobody reads any more
    idle : Out, nothing is on its way to `o`
    events : Out, of the unit that rounds

    Latency, throughput, back-pressure: those of `Finish`.
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "i": In(stream.Signature(inverse.output_layout(params.inverse))), "lifting": In(lifting_layout(params)),
            "parameter_en": In(1), "channel": In(channel_layout(params)), "bias": In(BIAS_WIDTH),
            "o": Out(stream.Signature(output_layout(params))), "final": Out(1), "freed": Out(2), "idle": Out(1),
            "events": Out(finish.event_layout(params.finish)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, token, lifting, o = self.params, self.i.payload, self.lifting, self.o
        m.submodules.finish = unit = Finish(params.finish)
        goes_on = self.i.valid & ~token.last  # another beat of the token follows
        chunk = Signal.like(self.channel.chunk, name="next_chunk", init=1)  # of that beat
        first = Signal(init=1)  # the next beat is its token's first
        taken = Signal()
        m.d.comb += [
            taken.eq(self.i.valid & unit.i.ready),
            unit.i.valid.eq(self.i.valid),
            self.i.ready.eq(unit.i.ready),
            unit.i.payload.v.eq(token.x),
            unit.i.payload.last.eq(token.last),
            self.final.eq(taken & token.last & token.final),
            self.freed.eq(Mux(self.final & ~lifting.sinks, Cat(~lifting.set[0], lifting.set[0]), 0)),
            self.events.eq(unit.events),
        ]
        with m.If(taken):
            m.d.sync += [chunk.eq(Mux(goes_on, chunk + 1, 1)), first.eq(token.last)]
        # The next beat's biases are read while this one is taken, the next token's while there is none; the next job's
        # first beat comes later than its set.
        for lane in range(params.rescale_lanes):
            store = m.submodules[f"bias{lane}"] = memory.Memory(
                shape=BIAS_WIDTH, depth=PARAMETER_SETS << len(chunk), init=[])
            write, read = store.write_port(), store.read_port()
            m.d.comb += [write.en.eq(self.parameter_en & (self.channel.lane == lane)),
                         write.addr.eq(Cat(self.channel.chunk, self.channel.set)), write.data.eq(self.bias),
                         read.addr.eq(Cat(Mux(goes_on, chunk, 0), lifting.set)),
                         read.en.eq(Mux(self.i.valid, unit.i.ready, first)),
                         unit.i.payload.bias[lane].eq(read.data)]
        # Beside the unit, in step with it: what its beats are marked with, and whether there are any.
        keep = Cat(kept(lane, token.last, lifting) for lane in range(params.rescale_lanes))
        marks = Ranks(m, unit.i.ready).delay("marks", Cat(keep, lifting.ends & token.last & token.final),
                                             params.finish.latency)
        under_way = history(m, "under_way", self.i.valid, params.finish.latency, enable=unit.i.ready, control=True)
        m.d.comb += [
            self.idle.eq(~under_way.any()),
            o.valid.eq(unit.o.valid),
            unit.o.ready.eq(o.ready),
            o.payload.y.eq(unit.o.payload.y),
            o.payload.last.eq(unit.o.payload.last),
            Cat(o.payload.keep.as_value(), o.payload.end).eq(marks),
        ]
        return m
