"""Order of the array tiles: which one comes next, and all that is to be known of it before its first step is issued
(docs/contract.md §4).

A *pass* is one column tile of one super-tile: all its array tiles, in the order of their rows. The tile behind the one
at hand is looked at while that is issued, and is told in registers once its rows are complete: nothing of a tile
changes any more from then on, so that the issue of a step depends on a few bits alone.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import half_layout, job_layout, tile_layout
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.countdown import countdown, is_last
from rtl_gen.lib.delay import late
from stamp_hw.engine.params import PARAMETER_SETS, EngineParams


def order_layout(params: EngineParams) -> data.StructLayout:
    """An array tile that can be issued: what the drain has to know of it, its `occupied` rows, whether it `opens` its
    pass and whether the job ends with it; its first word in the activation banks."""
    return data.StructLayout({**tile_layout(params).members, "occupied": params.rows, "opens": 1, "job_ends": 1,
                              "base": up_to(2 * params.act_tiles * params.max_beats - 1),
                              **({"blocks": 1} if params.block else {})})


def rows_are_complete(tile: Value, status: data.View) -> Value:
    """Whether no row of an array tile still waits for a token."""
    return (tile < status.full) | status.closed


def first_word(half: Value, params: EngineParams) -> Value:
    """The first word of a half in every bank."""
    return Mux(half, params.act_tiles * params.max_beats, 0)


class Order(wiring.Component):
    """Array tiles one after the other, as their rows are complete.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    begins, following, running, job : In, the stage's job as in `JobRegisters`: it begins in the next cycle, with which
        registers; there is one, its registers
    halves : In, `half_layout` of both halves of the activation buffer
    tile, valid : Out, `order_layout` of the next tile, and whether it can be issued
    taken : In, it is, from the next cycle on; held : In, the tile that was taken last

    Latency: a tile is there a cycle after its rows are complete. Throughput: a tile every three cycles, which is what
    the array needs for one at least, so that its last step never waits for this.
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "begins": In(1), "following": In(job_layout(params)), "running": In(1), "job": In(job_layout(params)),
            "halves": In(data.ArrayLayout(half_layout(params), 2)), "tile": Out(order_layout(params)),
            "valid": Out(1), "taken": In(1), "held": In(order_layout(params)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, job, held = self.params, self.job, self.held
        half = Signal()
        number = Signal(range(PARAMETER_SETS))  # of the pass, modulo the sets of parameters
        column_tiles_left = countdown("column_tiles_left", 2 ** len(job.columns) - 1)
        tile = Signal.like(held.tile, name="tile_")
        opens = Signal(init=1)  # it is its pass's first
        base = Signal.like(held.base, name="base")
        over = Signal()  # the job's last tile has been taken
        moves = late(m, "moves", self.taken, control=True)
        status = Signal(half_layout(params))
        found = Signal(order_layout(params))
        last_tile = Signal()
        last_column = Signal()
        m.d.comb += [
            status.eq(Mux(half, self.halves[1].as_value(), self.halves[0].as_value())),
            # Beyond the last one only where an overflow dropped the tokens that a further tile was waited for.
            last_tile.eq(status.closed & (tile >= status.last)),
            last_column.eq(is_last(column_tiles_left)),
            found.half.eq(half),
            found.tile.eq(tile),
            found.rows.eq(Mux(last_tile, status.rows, params.rows)),
            found.occupied.eq(Cat(~last_tile | (status.rows > row) for row in range(params.rows))),
            found.odd.eq(status.odd & (status.odd_tile == tile)),
            found.odd_row.eq(status.odd_row),
            found.set.eq(number),
            found.symmetric.eq(job.symmetric),
            found.pass_ends.eq(last_tile),
            found.super_tile_ends.eq(last_tile & last_column),
            found.opens.eq(opens),
            found.job_ends.eq(last_tile & last_column & status.ends),
            found.base.eq(base),
        ]
        if params.block:
            m.d.comb += found.blocks.eq(job.blocks)
        m.d.sync += [
            self.tile.eq(found),
            self.valid.eq(~self.taken & (self.running & ~over & rows_are_complete(tile, status) & ~moves)),
        ]

        # The tile behind the one that was taken.
        with m.If(moves):
            m.d.sync += [tile.eq(tile + 1), base.eq(base + params.max_beats), opens.eq(held.pass_ends)]
        with m.If(moves & held.pass_ends):
            m.d.sync += [tile.eq(0), column_tiles_left.eq(column_tiles_left - 1), number.eq(number + 1),
                         base.eq(first_word(half, params))]
        with m.If(moves & held.super_tile_ends):
            m.d.sync += [column_tiles_left.eq(job.columns - 2), half.eq(~half), base.eq(first_word(~half, params)),
                         over.eq(held.job_ends)]
        with m.If(self.begins):
            m.d.sync += [column_tiles_left.eq(self.following.columns - 2), over.eq(0)]
        return m
