"""Loader of the engine: weights and parameters of a pass, one pass ahead of the array (docs/contract.md §4)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import half_layout, job_layout, parameter_layout, steps_before_last, weight_layout
from rtl_gen.engine.unpack import Unpack
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.countdown import countdown
from rtl_gen.lib.countdown import is_last as is_last_step
from rtl_gen.lib.counter import go_round
from rtl_gen.lib.delay import late
from rtl_gen.lib.job_registers import JobRegisters
from stamp_hw.engine.params import PARAMETER_SETS, EngineParams


class State(enum.Enum, shape=unsigned(2)):  # type: ignore[call-arg]  # which Amaranth's metaclass takes
    """What the job at hand does: it waits for a free half of the weight buffer, loads a pass, or does not know yet
    whether another super-tile follows."""

    WAITS = 0
    LOADS = 1
    DECIDES = 2


def channel_layout(params: EngineParams) -> data.StructLayout:
    """Where an output channel's parameters are: `lane` of the memories, address (`chunk`, `set`)."""
    return data.StructLayout({"chunk": up_to(params.chunks - 1), "set": range(PARAMETER_SETS),
                              "lane": up_to(params.rescale_lanes - 1)})


def is_last(status: data.View) -> Value:
    """Whether a complete super-tile is its job's last."""
    return status.ends


class Loader(wiring.Component):
    """Fills one half of the weight buffer and one set of parameters a pass; both streams at once.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    w, p : In(streams of weight_layout, parameter_layout)
    start, registers : In, a job's registers; `room` : Out, it can take them
    halves : In, `half_layout` of the activation buffer: whether a super-tile is its job's last
    release : In, the array has read a half of the weight buffer for the last time
    loaded : Out, the oldest half that was not released is full
    weight_en, weight_at : Out, write of the weight buffer
    parameter_en, channel : Out, write of the parameter memories
    idle : Out, no job

    Throughput: a pass takes max(K, cols) cycles where the streams offer a beat a cycle, and two for the change.
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "w": In(stream.Signature(weight_layout(params))), "p": In(stream.Signature(parameter_layout(params))),
            "start": In(1), "registers": In(job_layout(params)), "room": Out(1),
            "halves": In(data.ArrayLayout(half_layout(params), 2)), "release": In(1), "loaded": Out(1),
            "weight_en": Out(1), "weight_at": Out(up_to(2 * params.max_k - 1)), "parameter_en": Out(1),
            "channel": Out(channel_layout(params)), "idle": Out(1),
            # What is written, and whether (u, z) came that are not legal.
            **({"step": Out(weight_layout(params)), "illegal": Out(1)} if params.packed_weights else {}),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.jobs = jobs = JobRegisters(job_layout(params))
        job = jobs.job
        column_tiles_left = countdown("column_tiles_left", 2 ** len(job.columns) - 1)
        last_column = Signal()
        state = Signal(State)
        half = Signal()
        number = Signal(range(PARAMETER_SETS))
        full = Signal(range(3))
        loading = Signal()
        done = Signal()
        status = Signal(half_layout(params))
        weights_in = self._weights(m, job, loading, number)
        parameters_in = self._parameters(m, loading, number)
        m.d.comb += [
            jobs.start.eq(self.start), jobs.registers.eq(self.registers), self.room.eq(jobs.room),
            self.idle.eq(jobs.idle),
            loading.eq(state == State.LOADS),
            done.eq(loading & weights_in & parameters_in),
            status.eq(Mux(half, self.halves[1].as_value(), self.halves[0].as_value())),
            last_column.eq(is_last_step(column_tiles_left)),
        ]
        filled = Signal.like(full)
        m.d.comb += filled.eq(full + done)
        m.d.sync += [full.eq(filled - self.release), self.loaded.eq(Mux(self.release, filled > 1, filled != 0))]

        # A pass after the other; after the last column tile the front must know whether another super-tile follows.
        with m.If(jobs.running & (state == State.WAITS) & (full != 2)):
            m.d.sync += state.eq(State.LOADS)
        with m.If(done):
            m.d.sync += [state.eq(Mux(last_column, State.DECIDES, State.WAITS)), number.eq(number + 1),
                         column_tiles_left.eq(column_tiles_left - 1)]
        with m.If(late(m, "begun", jobs.begins, control=True) | (done & last_column)):
            m.d.sync += column_tiles_left.eq(job.columns - 2)
        with m.If((state == State.DECIDES) & status.closed):
            m.d.sync += [state.eq(State.WAITS), half.eq(~half)]
            m.d.comb += jobs.ends.eq(is_last(status))
        return m

    def _weights(self, m: Module, job: data.View, loading: Signal, number: Signal) -> Signal:
        """K steps; returns whether all of a pass are there."""
        params = self.params
        complete = Signal(name="weights_in")
        left = countdown("steps_left", params.max_beats * params.lanes)
        address = Signal.like(self.weight_at)
        last = Signal()
        steps = self._unpacked(m, job, loading, last) if params.packed_weights else self.w
        m.d.comb += [
            steps.ready.eq(loading & ~complete),
            self.weight_en.eq(steps.valid & steps.ready),
            self.weight_at.eq(address),
            last.eq(is_last_step(left)),
        ]
        with m.If(~loading):
            m.d.sync += [complete.eq(0), address.eq(Mux(number[0], params.max_k, 0)),
                         left.eq(steps_before_last(job, params))]
        with m.If(self.weight_en):
            m.d.sync += [address.eq(address + 1), complete.eq(last), left.eq(left - 1)]
        return complete

    def _unpacked(self, m: Module, job: data.View, loading: Signal, last: Signal) -> stream.Interface:
        """The stream of k-steps that the beats of `w` make; in groups a pass takes a cycle more."""
        m.submodules.unpack = unpack = Unpack(self.params)
        wiring.connect(m, wiring.flipped(self.w), unpack.i)
        m.d.comb += [
            unpack.loading.eq(loading), unpack.last.eq(last), unpack.unpacks.eq(job.packed),
            unpack.group.eq(job.weight_group), self.step.eq(unpack.o.payload), self.illegal.eq(unpack.illegal),
        ]
        return unpack.o

    def _parameters(self, m: Module, loading: Signal, number: Signal) -> Signal:
        """`cols` words, channel by channel; returns whether all of a pass are there."""
        params, channel = self.params, self.channel
        complete = Signal(name="parameters_in")
        lane, chunk = Signal.like(channel.lane, name="lane_"), Signal.like(channel.chunk, name="chunk_")
        m.d.comb += [
            self.p.ready.eq(loading & ~complete),
            self.parameter_en.eq(self.p.valid & self.p.ready),
            channel.lane.eq(lane),
            channel.chunk.eq(chunk),
            channel.set.eq(number),
        ]
        with m.If(~loading):
            m.d.sync += complete.eq(0)
        chunk_ends = go_round(m, lane, params.rescale_lanes, self.parameter_en)
        with m.If(go_round(m, chunk, params.chunks, chunk_ends)):
            m.d.sync += complete.eq(1)
        return complete
