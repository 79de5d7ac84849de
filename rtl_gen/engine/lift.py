"""Order of work of the inverse lifting: which job of it runs when (docs/contract.md §4).

A super-tile is a rectangle of tokens, so a pass is one ordinary lifting job, after one of 0 levels for the sinks of the
first super-tile. A job starts once its pass is complete, whose coefficients are then read from its half of the output
buffer.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import job_layout, lifting_layout
from rtl_gen.haar import layouts as haar_layouts
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.countdown import countdown, is_last
from rtl_gen.lib.delay import late
from rtl_gen.lib.job_registers import JobRegisters
from stamp_hw.engine.params import PARAMETER_SETS, EngineParams


@dataclass(frozen=True, slots=True)
class Edge:
    """The super-tile along one axis: what is left of the axis from its first token on, its tokens, whether it is the
    axis's last."""

    left: Signal
    size: Signal
    is_last: Signal


def tile_height(job: data.View) -> Value:
    """Tokens of a full super-tile from top to bottom."""
    return job.tile_height


def lanes_kept(jobs: JobRegisters) -> Value:
    """Output channels in the last beat of a token of the last column tile."""
    return jobs.job.out_keep


class Lift(wiring.Component):
    """Jobs of the inverse unit, pass by pass.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    start, registers : In, a job's registers; `room` : Out, it can take them
    complete, completes : In(2), halves of the output buffer whose pass has been written, or is from the next cycle on
    job : Out(stream of the inverse unit's job_layout)
    lifting, begins : Out(lifting_layout), a job that was taken in the cycle before; it reads half `lifting.set[0]`
    taken : Out(2), the half whose pass it is, the sinks' job aside
    idle : Out, no job
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "start": In(1), "registers": In(job_layout(params)), "room": Out(1), "complete": In(2),
            "completes": In(2),
            "job": Out(stream.Signature(haar_layouts.job_layout(params.inverse))),
            "lifting": Out(lifting_layout(params)), "begins": Out(1), "taken": Out(2), "idle": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, into = self.params, self.job
        m.submodules.jobs = jobs = JobRegisters(job_layout(params))
        job = jobs.job
        across = self._edge(m, "column", job.tile_width)
        down = self._edge(m, "row", tile_height(job)) if params.axes == 2 else None

        # Where the work stands: the pass and its column tile; in the first super-tile; with the sinks.
        number = Signal(range(PARAMETER_SETS))
        column_tiles_left = countdown("column_tiles_left", 2 ** len(job.columns) - 1)
        first = Signal()
        sinks = Signal()
        last_column = Signal()
        last_super_tile = Signal()
        # The counts move a cycle behind a job's acceptance, when the unit is not ready for some more, and the edges of
        # super-tiles are known a cycle behind the counts and the job's registers.
        accepted = Signal()
        moves = late(m, "moves", accepted, control=True)
        ends = late(m, "super_tile_ends", accepted & ~sinks & last_column, control=True)
        coming = (self.complete | self.completes).bit_select(number[0], 1)
        offered = late(m, "offered", jobs.running & coming & ~accepted & ~moves, control=True)
        m.d.comb += [
            jobs.start.eq(self.start), jobs.registers.eq(self.registers), self.room.eq(jobs.room),
            self.idle.eq(jobs.idle),
            last_super_tile.eq(across.is_last & (down.is_last if down is not None else 1)),
            last_column.eq(is_last(column_tiles_left)),
            into.valid.eq(offered),
            into.payload.beats.eq(Mux(last_column, job.out_beats, params.chunks)),
            into.payload.levels.eq(Mux(sinks, 0, job.levels)),
            into.payload.width.eq(Mux(sinks, job.n_sink, across.size)),
            into.payload.base.eq(Mux(first & ~sinks, job.n_sink, 0)),
            accepted.eq(into.valid & into.ready),
            self.begins.eq(moves),
            self.taken.eq(Mux(accepted & ~sinks, Cat(~number[0], number[0]), 0)),
            jobs.ends.eq(ends & last_super_tile),
            self.lifting.set.eq(number),
            self.lifting.last_column.eq(last_column),
            self.lifting.keep.eq(lanes_kept(jobs)),
            self.lifting.sinks.eq(sinks),
            self.lifting.ends.eq(~sinks & last_column & last_super_tile),
        ]
        if down is not None:
            m.d.comb += [into.payload.two_d.eq(job.two_d), into.payload.height.eq(down.size)]
        # The sinks' job comes before that of the first super-tile, in every pass of it.
        with m.If(moves):
            m.d.sync += sinks.eq(Mux(sinks, 0, first & job.n_sink.any() & ~last_column))
            with m.If(~sinks):
                m.d.sync += [number.eq(number + 1), column_tiles_left.eq(column_tiles_left - 1)]
        with m.If(ends):
            m.d.sync += [column_tiles_left.eq(job.columns - 2), first.eq(0),
                         across.left.eq(across.left - job.tile_width)]
            with m.If(across.is_last):
                m.d.sync += across.left.eq(job.width)
                if down is not None:  # behind the last one it does not matter
                    m.d.sync += down.left.eq(down.left - tile_height(job))
        with m.If(jobs.begins):
            following = jobs.following
            m.d.sync += [first.eq(1), sinks.eq(following.n_sink.any()), column_tiles_left.eq(following.columns - 2),
                         across.left.eq(following.width)]
            if down is not None:
                m.d.sync += down.left.eq(following.height)
        return m

    def _edge(self, m: Module, name: str, tile: Value) -> Edge:
        """The super-tile's place along an axis, `tile` tokens a super-tile."""
        left, size = (Signal(up_to(self.params.max_tokens), name=f"{name}s{end}") for end in ("_left", ""))
        is_last = Signal(name=f"{name}_is_last")
        ends = ~(left > tile)  # no more than the carry of a difference
        m.d.sync += [is_last.eq(ends), size.eq(Mux(ends, left, tile))]
        return Edge(left, size, is_last)
