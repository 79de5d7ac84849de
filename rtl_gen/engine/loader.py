"""Loader of the engine: weights and parameters of a pass, one pass ahead of the array (docs/contract.md §4)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import half_layout, job_layout, parameter_layout, weight_layout
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.counter import go_round
from stamp_hw.engine.params import PARAMETER_SETS, EngineParams


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
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        waiting, running, loading, decide = (Signal(name=name) for name in ("waiting", "running", "loading", "decide"))
        following = Signal(job_layout(params), reset_less=True)
        job = Signal(job_layout(params), name="job", reset_less=True)
        half, number, full = Signal(), Signal(range(PARAMETER_SETS)), Signal(range(3))
        column = Signal.like(job.columns)
        done = Signal()
        m.d.comb += [self.room.eq(~waiting), self.idle.eq(~waiting & ~running), self.loaded.eq(full != 0)]
        with m.If(self.start):
            m.d.sync += [waiting.eq(1), following.eq(self.registers)]
        with m.If(waiting & ~running):
            m.d.sync += [waiting.eq(0), running.eq(1), job.eq(following), column.eq(0)]

        # A pass after the other; after the last column tile the front must know whether another super-tile follows.
        status = Signal(half_layout(params))
        m.d.comb += status.eq(Mux(half, self.halves[1].as_value(), self.halves[0].as_value()))
        m.d.sync += full.eq(full + done - self.release)
        with m.If(running & ~loading & ~decide & (full != 2)):
            m.d.sync += loading.eq(1)
        with m.If(done):
            m.d.sync += [loading.eq(0), number.eq(number + 1), column.eq(column + 1)]
            with m.If(column + 1 == job.columns):
                m.d.sync += [column.eq(0), decide.eq(1)]
        with m.If(decide & status.closed):
            m.d.sync += [decide.eq(0), half.eq(~half), running.eq(~is_last(status))]

        self._weights(m, job, loading, number)
        self._parameters(m, loading, number)
        m.d.comb += done.eq(loading & self._weights_in & self._parameters_in)
        return m

    def _weights(self, m: Module, job: data.View, loading: Signal, number: Signal) -> None:
        """K beats: `lanes` for each beat of a token, `tail` for its last."""
        params = self.params
        complete = self._weights_in = Signal(name="weights_in")
        beat, lane = Signal(up_to(params.max_beats - 1)), Signal(up_to(params.lanes - 1))
        address = Signal.like(self.weight_at)
        last = Signal()
        m.d.comb += [
            self.w.ready.eq(loading & ~complete),
            self.weight_en.eq(self.w.valid & self.w.ready),
            self.weight_at.eq(address),
            last.eq((beat + 1 == job.beats) & (lane + 1 == job.tail)),
        ]
        with m.If(~loading):
            m.d.sync += [complete.eq(0), address.eq(Mux(number[0], params.max_k, 0))]
        with m.If(go_round(m, lane, params.lanes, self.weight_en)):
            m.d.sync += beat.eq(beat + 1)
        with m.If(self.weight_en):
            m.d.sync += [address.eq(address + 1), complete.eq(last)]
            with m.If(last):
                m.d.sync += [lane.eq(0), beat.eq(0)]

    def _parameters(self, m: Module, loading: Signal, number: Signal) -> None:
        """`cols` words, channel by channel."""
        params, channel = self.params, self.channel
        complete = self._parameters_in = Signal(name="parameters_in")
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
