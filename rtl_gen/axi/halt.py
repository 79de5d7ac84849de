"""When the engine behind the AXI ports stands still: after a refused job, a time-out or a flush (docs/engine.md §5).

Beats of a job that will not run cannot be told from those of the next one. So the engine is held in reset, and what its
input streams hold and are sent is dropped, until software, which knows when its DMAs are through, lets it go on.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import output_layout
from stamp_hw.engine.params import EngineParams

TIMEOUT_WIDTH = 32


def stays_halted(flush: Value, stands: Value, drained: Value) -> Value:
    """Whether a reason is left: a flush, an error that nobody has cleared, results that nobody has taken."""
    return flush | stands | ~drained


def resets(aresetn: Value, halted: Value) -> Value:
    """Reset of the engine."""
    return ~aresetn | halted


def owes_an_end(is_open: Value) -> Value:
    """Whether a halted engine sends one more beat: its packet was begun."""
    return is_open


def counts(waits: Value, moves: Value) -> Value:
    """Whether a cycle is one of those that are too many in the end."""
    return waits & ~moves


class Halt(wiring.Component):
    """Whether the engine stands still.

    Members
    -------
    flush : In, asked for by software, for as long as it is high
    refused : In, the engine takes no further job and has ended those before
    stands : In, an error that halts and is not cleared; rises with `refused` at the latest, a time-out's makes it halt
    starved : In, the time-out's error among them
    drained : In, no result waits
    halted : Out, from the cycle after its reason on
    """

    def __init__(self) -> None:
        super().__init__({name: In(1) for name in ("flush", "refused", "stands", "starved", "drained")}
                         | {"halted": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.d.sync += self.halted.eq(Mux(self.halted, stays_halted(self.flush, self.stands, self.drained),
                                       self.flush | self.starved | self.refused))
        return m


class Watchdog(wiring.Component):
    """Counts the cycles in which a job waits on a stream while no beat moves.

    Members
    -------
    limit : In, so many of them in a row are too many; 0: any number is right
    waits : In, a stream that the engine asks for has no beat, or a result is not taken
    moves : In, a beat moves on any stream
    left : Out, cycles until the limit
    starved : Out, this was the last one
    """

    def __init__(self) -> None:
        super().__init__({"limit": In(TIMEOUT_WIDTH), "waits": In(1), "moves": In(1), "left": Out(TIMEOUT_WIDTH),
                          "starved": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        quiet = Signal()
        m.d.comb += [quiet.eq(counts(self.waits, self.moves)), self.starved.eq(quiet & (self.left == 1))]
        m.d.sync += self.left.eq(Mux(quiet & (self.left != 0), self.left - 1, self.limit))
        return m


class Results(wiring.Component):
    """Ends of the packets of results, and the end of the one that a halt cuts off.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    per_token : In, a packet is a token of a column tile; else a job. Read when a beat passes
    halted : In, no result passes; a packet that was begun gets one more beat, with `last`, without `end`
    i : In(stream of output_layout), `last` of a token
    o : Out(stream of output_layout), `last` of a packet
    open : Out, a packet was begun
    """

    def __init__(self, params: EngineParams) -> None:
        beat = stream.Signature(output_layout(params))
        super().__init__({"per_token": In(1), "halted": In(1), "i": In(beat), "o": Out(beat), "open": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        i, o = self.i, self.o
        m.d.comb += [
            o.payload.eq(i.payload),
            o.payload.last.eq(Mux(self.per_token, i.payload.last, i.payload.end)),
            o.valid.eq(i.valid),
            i.ready.eq(o.ready),
        ]
        with m.If(self.halted):
            m.d.comb += [o.payload.eq(0), o.payload.keep.as_value().eq(-1), o.payload.last.eq(1),
                         o.valid.eq(owes_an_end(self.open)), i.ready.eq(0)]
        with m.If(o.valid & o.ready):
            m.d.sync += self.open.eq(~o.payload.last)
        return m
