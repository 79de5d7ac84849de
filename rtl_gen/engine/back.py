"""Back of the engine: output coefficients of a complete pass are lifted back, biased and sent (docs/contract.md §4).

    word → buffer → inverse → send: bias, rounding → o
    start → lift: jobs of `inverse` → liftings: what a job's tokens are sent with ↗

A pass fills one half of the output buffer, addressed by the coefficients' places, while the inverse lifting reads the
other.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.buffers import OutBuffer
from rtl_gen.engine.layouts import job_layout, lifting_layout, output_layout, word_layout
from rtl_gen.engine.lift import Lift
from rtl_gen.engine.loader import channel_layout
from rtl_gen.engine.send import Send
from rtl_gen.haar import common as haar_common
from rtl_gen.haar import finish as haar_finish
from rtl_gen.haar.inverse import HaarInverse
from rtl_gen.lib.queue import Queue
from stamp_hw.engine.params import BIAS_WIDTH, EngineParams


def liftings_under_way(params: EngineParams) -> int:
    """Inverse jobs between their acceptance and their last beat, at most. A job outlasts the unit's latency: the next
    one can join it and no third, and not even that where the last slot is quiet for as long behind its beats. A beat
    that waits in the spare register is a cycle more on its way.
    """
    unit = params.inverse
    return 1 + (unit.latency - 1 + unit.has_spare > unit.min_slot_cycles - unit.max_beats)


class Back(wiring.Component):
    """Words of the output buffer in, results out.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    start, registers : In, a job's registers; `room` : Out, it can take them
    word : In(word_layout)
    parameter_en, channel, bias : In, write of an output channel's bias
    out_claim : In(2), the array is about to fill this half; `out_free` : Out(2)
    o : Out(stream of output_layout)
    idle : Out, no job, and the next one would find every register at rest
    internal : Out, an error in this cycle
    inverse_events, finish_events : Out, of the two units
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "start": In(1), "registers": In(job_layout(params)), "room": Out(1), "word": In(word_layout(params)),
            "parameter_en": In(1), "channel": In(channel_layout(params)), "bias": In(BIAS_WIDTH),
            "out_claim": In(2), "out_free": Out(2), "o": Out(stream.Signature(output_layout(params))), "idle": Out(1),
            "internal": Out(1), "inverse_events": Out(haar_common.event_layout()),
            "finish_events": Out(haar_finish.event_layout(params.finish)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.lift = lift = Lift(params)
        m.submodules.liftings = liftings = Queue(lifting_layout(params), liftings_under_way(params))
        m.submodules.buffer = buffer = OutBuffer(params)
        m.submodules.inverse = inverse = HaarInverse(params.inverse)
        m.submodules.send = send = Send(params)

        # Halves of the output buffer: the array claims a free one, the drain completes it, `lift` takes it, `send` is
        # done with it.
        complete = Signal(2)
        free = Signal(2, init=3)
        filled = Mux(self.word.ends, Cat(~self.word.half, self.word.half), 0)
        m.d.comb += [self.out_free.eq(free), lift.complete.eq(complete), lift.completes.eq(filled)]
        m.d.sync += [complete.eq((complete | filled) & ~lift.taken), free.eq((free | send.freed) & ~self.out_claim)]

        # Jobs.
        wiring.connect(m, lift.job, inverse.job)
        m.d.comb += [
            lift.start.eq(self.start), lift.registers.eq(self.registers), self.room.eq(lift.room),
            liftings.push.eq(lift.begins), liftings.value.eq(lift.lifting), liftings.pop.eq(send.final),
            # The inverse unit walks through the slots behind its last token before it takes another job.
            self.idle.eq(lift.idle & ~liftings.valid & send.idle & inverse.job.ready),
            self.internal.eq(liftings.broken),
        ]

        # Data.
        wiring.connect(m, inverse.o, send.i)
        wiring.connect(m, send.o, wiring.flipped(self.o))
        m.d.comb += [
            buffer.word.eq(self.word), buffer.select_en.eq(lift.begins), buffer.select.eq(lift.lifting.set[0]),
            buffer.fetch.eq(inverse.fetch), inverse.i.valid.eq(1),
            send.lifting.eq(liftings.head), send.parameter_en.eq(self.parameter_en), send.channel.eq(self.channel),
            send.bias.eq(self.bias),
            self.inverse_events.eq(inverse.events), self.finish_events.eq(send.events),
        ]
        m.d.comb += [inverse.i.payload.c[lane].eq(buffer.c[lane]) for lane in range(params.rescale_lanes)]
        return m
