"""Back of the engine: output coefficients of a complete pass are lifted back, biased and sent (docs/contract.md §4).

A pass fills one half of the output buffer, addressed by the coefficients' places, while the inverse lifting reads the
other. A super-tile is a rectangle of tokens, so a pass is one ordinary lifting job, after one of 0 levels for the sinks
of the first super-tile.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import job_layout, output_layout, word_layout
from rtl_gen.engine.loader import channel_layout
from rtl_gen.haar import common as haar_common
from rtl_gen.haar import finish as haar_finish
from rtl_gen.haar.finish import Finish
from rtl_gen.haar.inverse import HaarInverse
from rtl_gen.haar.layouts import tile_size
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.delay import delayed, history, late
from rtl_gen.lib.job_registers import JobRegisters
from rtl_gen.lib.queue import Queue
from stamp_hw.engine.params import BIAS_WIDTH, PARAMETER_SETS, EngineParams


def liftings_under_way(params: EngineParams) -> int:
    """Inverse jobs between their acceptance and their last beat, at most. A job outlasts the unit's latency: the next
    one can join it and no third, and not even that where the last slot is quiet for as long behind its beats.
    """
    unit = params.inverse
    return 1 + (unit.latency - 1 > unit.min_slot_cycles - unit.max_beats)


def lifting_layout(params: EngineParams) -> data.StructLayout:
    """A job of the inverse unit: parameter `set`, its last column tile with `keep` lanes in a token's last beat, of the
    `sinks`, the engine's job `ends` with it."""
    return data.StructLayout({"set": range(PARAMETER_SETS), "last_column": 1, "keep": up_to(params.rescale_lanes),
                              "sinks": 1, "ends": 1})


def kept(lane: int, last: Value, lifting: data.View) -> Value:
    """Whether a lane holds an output channel: all but the last ones of the last column tile do."""
    return ~(lifting.last_column & last) | (lane < lifting.keep)


@dataclass(frozen=True, slots=True)
class Edge:
    """The super-tile along one axis: its first token, its tokens, whether it is the axis's last."""

    start: Signal
    size: Signal
    is_last: Signal


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
        m.submodules.inverse = self._inverse = HaarInverse(params.inverse)
        m.submodules.finish = self._finish = Finish(params.finish)
        m.submodules.liftings = Queue(lifting_layout(params), liftings_under_way(params))
        m.submodules.jobs = self._jobs = jobs = JobRegisters(job_layout(params))
        m.d.comb += [jobs.start.eq(self.start), jobs.registers.eq(self.registers), self.room.eq(jobs.room)]

        number = Signal(range(PARAMETER_SETS))
        complete = Signal(2)
        free = Signal(2, init=3)
        accepted = self._lift(m, jobs, number, complete)
        freed = self._bias(m)
        filled = Mux(self.word.ends, Cat(~self.word.half, self.word.half), 0)
        m.d.comb += self.out_free.eq(free)
        m.d.sync += [complete.eq((complete | filled) & ~accepted), free.eq((free | freed) & ~self.out_claim)]
        self._buffer(m, number)
        m.d.comb += [self.inverse_events.eq(self._inverse.events), self.finish_events.eq(self._finish.events)]
        return m

    def _lift(self, m: Module, jobs: JobRegisters, number: Signal, complete: Signal) -> Value:
        """Jobs of the inverse unit, pass by pass; returns the half whose job was accepted."""
        params, job, into = self.params, jobs.job, self._inverse.job
        liftings = m.submodules.liftings
        column = Signal.like(job.columns, name="column")
        first = Signal()
        sinks = Signal()
        across = self._edge(m, "column", job.width, job.tile_width)
        down = self._edge(m, "row", job.height, job.tile_height) if params.axes == 2 else None
        last_column, last_super_tile, accepted, ends = (Signal(name=name) for name in (
            "last_column", "last_super_tile", "accepted", "ends"))
        m.d.comb += [
            last_column.eq(column + 1 == job.columns),
            last_super_tile.eq(across.is_last & (down.is_last if down is not None else 1)),
            into.valid.eq(jobs.running & complete.bit_select(number[0], 1)),
            into.payload.beats.eq(Mux(last_column, job.out_beats, params.chunks)),
            into.payload.levels.eq(Mux(sinks, 0, job.levels)),
            into.payload.width.eq(Mux(sinks, job.n_sink, across.size)),
            into.payload.base.eq(Mux(first & ~sinks, job.n_sink, 0)),
            accepted.eq(into.valid & into.ready),
            ends.eq(accepted & ~sinks & last_column),
            jobs.ends.eq(ends & last_super_tile),
            liftings.push.eq(accepted),
            liftings.value.set.eq(number),
            liftings.value.last_column.eq(last_column),
            liftings.value.keep.eq(job.out_keep),
            liftings.value.sinks.eq(sinks),
            liftings.value.ends.eq(ends & last_super_tile),
        ]
        if down is not None:
            m.d.comb += [into.payload.two_d.eq(job.two_d), into.payload.height.eq(down.size)]
        # The sinks' job comes before that of the first super-tile, in every pass of it.
        with m.If(accepted):
            m.d.sync += sinks.eq(Mux(sinks, 0, first & job.n_sink.any() & ~last_column))
            with m.If(~sinks):
                m.d.sync += [number.eq(number + 1), column.eq(column + 1)]
        with m.If(ends):
            m.d.sync += [column.eq(0), first.eq(0), across.start.eq(across.start + job.tile_width)]
            with m.If(across.is_last):
                m.d.sync += across.start.eq(0)
                if down is not None:
                    m.d.sync += down.start.eq(Mux(down.is_last, 0, down.start + job.tile_height))
        with m.If(jobs.begins):
            m.d.sync += [first.eq(1), sinks.eq(jobs.following.n_sink.any())]
        return Mux(accepted & ~sinks, Cat(~number[0], number[0]), 0)

    def _edge(self, m: Module, name: str, whole: Value, tile: Value) -> Edge:
        """The super-tile's place along an axis of `whole` tokens, `tile` a super-tile."""
        start = Signal(tile_size(self.params.inverse), name=f"{name}_start")
        left, size = Signal.like(whole, name=f"{name}s_left"), Signal.like(whole, name=f"{name}s")
        is_last = Signal(name=f"{name}_is_last")
        m.d.comb += [left.eq(whole - start), is_last.eq(left <= tile), size.eq(Mux(is_last, left, tile))]
        return Edge(start, size, is_last)

    def _buffer(self, m: Module, number: Signal) -> None:
        """Both halves of the output buffer; the inverse unit reads in step with its own line memories."""
        params, word, fetch = self.params, self.word, self._inverse.fetch
        half = late(m, "half", number[0], enable=self._inverse.job.valid & self._inverse.job.ready)
        second = late(m, "half_read", half, enable=fetch.en)
        words = []
        for index in range(2):
            store = m.submodules[f"half{index}"] = memory.Memory(
                shape=word.z.shape(), depth=params.out_slots << len(word.chunk), init=[])
            write, read = store.write_port(), store.read_port()
            m.d.comb += [write.addr.eq(Cat(word.chunk, word.place)), write.data.eq(word.z),
                         write.en.eq(word.valid & (word.half == index)),
                         read.addr.eq(Cat(fetch.index[: len(word.chunk)], fetch.place)), read.en.eq(fetch.en)]
            words.append(read.data)
        m.d.comb += self._inverse.i.valid.eq(1)
        for lane in range(params.rescale_lanes):
            m.d.comb += self._inverse.i.payload.c[lane].eq(Mux(second, words[1][lane], words[0][lane]))

    def _bias(self, m: Module) -> Value:
        """Bias and rounding, and the output; returns the half that nobody reads any more."""
        params, o, tokens, finish = self.params, self.o, self._inverse.o, self._finish
        lifting = m.submodules.liftings.head
        chunk, following = (Signal.like(self.channel.chunk, name=name) for name in ("chunk", "next_chunk"))
        taken = Signal()
        final = Signal()
        m.d.comb += [
            taken.eq(tokens.valid & finish.i.ready),
            final.eq(taken & tokens.payload.last & tokens.payload.final),
            following.eq(Mux(taken, Mux(tokens.payload.last, 0, chunk + 1), chunk)),
            finish.i.valid.eq(tokens.valid),
            tokens.ready.eq(finish.i.ready),
            finish.i.payload.v.eq(tokens.payload.x),
            finish.i.payload.last.eq(tokens.payload.last),
            m.submodules.liftings.pop.eq(final),
        ]
        m.d.sync += chunk.eq(following)
        # The next beat's biases are read while this one is taken; the next job's first beat comes later than its set.
        for lane in range(params.rescale_lanes):
            store = m.submodules[f"bias{lane}"] = memory.Memory(
                shape=BIAS_WIDTH, depth=PARAMETER_SETS << len(chunk), init=[])
            write, read = store.write_port(), store.read_port()
            m.d.comb += [write.en.eq(self.parameter_en & (self.channel.lane == lane)),
                         write.addr.eq(Cat(self.channel.chunk, self.channel.set)), write.data.eq(self.bias),
                         read.addr.eq(Cat(following, lifting.set)), read.en.eq(1),
                         finish.i.payload.bias[lane].eq(read.data)]
        keep = Cat(kept(lane, tokens.payload.last, lifting) for lane in range(params.rescale_lanes))
        marks = delayed(m, "marks_line", Cat(keep, lifting.ends & tokens.payload.last & tokens.payload.final),
                        params.finish.latency, enable=finish.i.ready)
        under_way = history(m, "under_way", tokens.valid, params.finish.latency, enable=finish.i.ready, control=True)
        m.d.comb += [
            # The inverse unit walks through the slots behind its last token before it takes another job.
            self.idle.eq(self._jobs.idle & ~m.submodules.liftings.valid & ~under_way.any()
                         & self._inverse.job.ready),
            self.internal.eq(m.submodules.liftings.broken),
            o.valid.eq(finish.o.valid),
            finish.o.ready.eq(o.ready),
            o.payload.y.eq(finish.o.payload.y),
            o.payload.last.eq(finish.o.payload.last),
            Cat(o.payload.keep.as_value(), o.payload.end).eq(marks),
        ]
        return Mux(final & ~lifting.sinks, Cat(~lifting.set[0], lifting.set[0]), 0)
