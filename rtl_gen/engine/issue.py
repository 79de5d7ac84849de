"""Order of work of the MAC array: which step is issued when (docs/contract.md §4).

A *pass* is one column tile of one super-tile: all its array tiles, in the order of their rows. The first step of a tile
waits for its rows and for the pass's weights. Its last step waits until the array is certain to take it, that is
`min_tile_cycles` after the last step before, and in a pass's first tile for a half of the output buffer. So nothing
waits behind the issue, and a step reaches the array exactly `feed_cycles` later.

With blocks it is each block of a tile that the array must be certain to take, and a tile's last step is
`min_read_cycles` after the one before as well, so that the combine unit has a bank for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import block_layout, half_layout, job_layout, tile_layout
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.counter import go_round
from rtl_gen.lib.delay import delayed
from rtl_gen.lib.job_registers import JobRegisters
from stamp_hw.engine.params import PARAMETER_SETS, EngineParams


def step_layout(params: EngineParams) -> data.StructLayout:
    """A step on its way to the array: `last` of its tile, `rows` of it that hold a token."""
    return data.StructLayout({"valid": 1, "last": 1, "rows": params.rows})


def rows_are_complete(tile: Value, status: data.View) -> Value:
    """Whether no row of an array tile still waits for a token."""
    return (tile < status.full) | status.closed


def may_end(gap: Value, tile: Value, out_free: Value) -> Value:
    """Whether the array takes a tile's last step: the tile before is far enough on its way, and the first tile of a
    pass finds a half of the output buffer."""
    return (gap == 0) & ((tile != 0) | out_free)


def opens_word(issues: Value, lane: Value) -> Value:
    """Whether a step needs a word of the activation banks that is not read yet: `lanes` steps share one."""
    return issues & (lane == 0)


def ends_block(last: Value, lane: Value, beat: Value, params: EngineParams) -> Value:
    """Whether a step is its block's last: of a whole block, or of its tile."""
    return last | ((lane == params.lanes - 1) & (beat == params.block_beats - 1))


def block_gap(params: EngineParams) -> int:
    """Cycles from a block's last step to the next one's, at least: what the array needs for a tile."""
    return params.mac.min_tile_cycles


def tile_gap(params: EngineParams) -> int:
    """Cycles from an array tile's last step to the next one's, at least, so that the combine unit has a bank for it."""
    return params.min_read_cycles


def is_symmetric(jobs: JobRegisters) -> Value:
    """Scale mode of the tiles that are issued: the job's at hand."""
    return jobs.job.symmetric


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the work stands: `half` of the super-tile, `number` of the pass modulo the sets of parameters, its `column`
    tile, its array `tile`, and the step in it."""

    half: Signal
    number: Signal
    column: Signal
    tile: Signal
    beat: Signal
    lane: Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The step at hand: whether it is issued now, ends its block (without blocks, its tile), is its tile's last,
    belongs to the pass's last tile and to the super-tile's last column tile."""

    issues: Signal
    ends: Signal
    last: Signal
    last_tile: Signal
    last_column: Signal


class Issue(wiring.Component):
    """Issues the steps of all passes.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    start, registers : In, a job's registers; `room` : Out, it can take them
    halves : In, `half_layout` of both halves of the activation buffer
    leave : Out(2), the last step of this half's super-tile is issued
    loaded : In, the pass's weights are there; `release` : Out, they are not needed any more
    out_free : In(2), free halves of the output buffer; `out_claim` : Out(2), taken now
    act_at, lane, weight_at : Out, addresses of the step that is issued
    act_en, weight_en : Out, words that are read: of the rows with a token with a beat's first step, of weights with
        every one
    step : Out, `step_layout`, `params.feed_cycles` after the issue
    tile, tile_en : Out, `tile_layout` of a tile whose last step is issued now; with blocks `block_layout` of a block
    idle : Out, no job
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "start": In(1), "registers": In(job_layout(params)), "room": Out(1),
            "halves": In(data.ArrayLayout(half_layout(params), 2)), "leave": Out(2), "loaded": In(1),
            "release": Out(1), "out_free": In(2), "out_claim": Out(2),
            "act_at": Out(up_to(2 * params.act_tiles * params.max_beats - 1)), "lane": Out(up_to(params.lanes - 1)),
            "weight_at": Out(up_to(2 * params.max_k - 1)), "act_en": Out(params.rows),
            "weight_en": Out(1), "step": Out(step_layout(params)),
            "tile": Out(block_layout(params) if params.block else tile_layout(params)), "tile_en": Out(1),
            "idle": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.jobs = jobs = JobRegisters(job_layout(params))
        job = jobs.job
        place = Place(half=Signal(name="half"), number=Signal(range(PARAMETER_SETS), name="number"),
                      column=Signal.like(job.columns, name="column"), tile=Signal(up_to(params.act_tiles), name="tile"),
                      beat=Signal(up_to(params.max_beats - 1), name="beat"),
                      lane=Signal(up_to(params.lanes - 1), name="lane"))
        step = Step(issues=Signal(name="issues_"), last=(last := Signal(name="last_")),
                    ends=Signal(name="ends_") if params.block else last,
                    last_tile=Signal(name="last_tile_"), last_column=Signal(name="last_column_"))
        status = Signal(half_layout(params))
        first = Signal(name="first_")
        gap = Signal(range(block_gap(params)))
        tile_ends = Signal()
        pass_ends = Signal()
        super_tile_ends = Signal()
        out_free = self.out_free.bit_select(place.number[0], 1)
        if params.block:
            takes = self._blocks(m, place, step, jobs, gap, out_free)
        else:
            takes = ~step.last | may_end(gap, place.tile, out_free)
            m.d.comb += self.tile_en.eq(tile_ends)
        m.d.comb += [
            jobs.start.eq(self.start), jobs.registers.eq(self.registers), self.room.eq(jobs.room),
            self.idle.eq(jobs.idle),
            status.eq(Mux(place.half, self.halves[1].as_value(), self.halves[0].as_value())),
            first.eq((place.beat == 0) & (place.lane == 0)),
            step.last.eq((place.beat + 1 == job.beats) & (place.lane + 1 == job.tail)),
            # Beyond the last one only where an overflow dropped the tokens that a further tile was waited for.
            step.last_tile.eq(status.closed & (place.tile >= status.last)),
            step.last_column.eq(place.column + 1 == job.columns),
            step.issues.eq(jobs.running & (~first | (self.loaded & rows_are_complete(place.tile, status))) & takes),
            tile_ends.eq(step.issues & step.last),
            pass_ends.eq(tile_ends & step.last_tile),
            super_tile_ends.eq(pass_ends & step.last_column),
            jobs.ends.eq(super_tile_ends & status.ends),
            self.release.eq(pass_ends),
            self.leave.eq(Mux(super_tile_ends, Cat(~place.half, place.half), 0)),
            self.out_claim.eq(Mux(tile_ends & (place.tile == 0), Cat(~place.number[0], place.number[0]), 0)),
        ]
        with m.If(step.issues & step.ends if params.block else tile_ends):
            m.d.sync += gap.eq(block_gap(params) - 1)
        with m.Elif(gap != 0):
            m.d.sync += gap.eq(gap - 1)

        # The step behind the one that is issued.
        base = self._addresses(m, place, step)
        with m.If(go_round(m, place.lane, params.lanes, step.issues)):
            m.d.sync += place.beat.eq(place.beat + 1)
        with m.If(tile_ends):
            m.d.sync += [place.lane.eq(0), place.beat.eq(0), place.tile.eq(place.tile + 1),
                         base.eq(base + params.max_beats)]
        with m.If(pass_ends):
            m.d.sync += [place.tile.eq(0), place.column.eq(place.column + 1), place.number.eq(place.number + 1),
                         base.eq(self._start(place.half))]
        with m.If(super_tile_ends):
            m.d.sync += [place.column.eq(0), place.half.eq(~place.half), base.eq(self._start(~place.half))]

        self._describe(m, place, step, status, is_symmetric(jobs))
        self._feed(m, step)
        return m

    def _blocks(self, m: Module, place: Place, step: Step, jobs: JobRegisters, gap: Signal, out_free: Value) -> Value:
        """Where the work stands in a tile's blocks; returns whether a step may be issued as far as the array goes."""
        params = self.params
        group = Signal(up_to(params.max_blocks - 1), name="group")
        beat = Signal(up_to(params.block_beats - 1), name="block_beat")
        read_gap = Signal(range(tile_gap(params)))
        issued = Signal(name="block_issued")
        m.d.comb += [
            step.ends.eq(ends_block(step.last, place.lane, beat, params)),
            issued.eq(step.issues & step.ends),
            self.tile_en.eq(issued),
            self.tile.group.eq(group), self.tile.first.eq(group == 0), self.tile.last.eq(step.last),
            self.tile.blocks.eq(jobs.job.blocks),
        ]
        with m.If(step.issues & (place.lane == params.lanes - 1)):
            m.d.sync += beat.eq(beat + 1)
        with m.If(issued):
            m.d.sync += [beat.eq(0), group.eq(Mux(step.last, 0, group + 1))]
        with m.If(issued & step.last):
            m.d.sync += read_gap.eq(tile_gap(params) - 1)
        with m.Elif(read_gap != 0):
            m.d.sync += read_gap.eq(read_gap - 1)
        return (~step.ends | (gap == 0)) & (~step.last | may_end(read_gap, place.tile, out_free))

    def _start(self, half: Value) -> Value:
        """The first word of a half in every bank."""
        return Mux(half, self.params.act_tiles * self.params.max_beats, 0)

    def _addresses(self, m: Module, place: Place, step: Step) -> Signal:
        """Words of the buffers; returns the register of the tile's first word in the banks."""
        params = self.params
        base = Signal.like(self.act_at, name="base")
        offset = Signal(up_to(params.max_k - 1))
        m.d.comb += [self.act_at.eq(base + place.beat), self.lane.eq(place.lane), self.weight_en.eq(step.issues),
                     self.act_en.eq(Mux(opens_word(step.issues, place.lane), self._occupied(), 0)),
                     self.weight_at.eq(Mux(place.number[0], params.max_k, 0) + offset)]
        with m.If(step.issues):
            m.d.sync += offset.eq(Mux(step.last, 0, offset + 1))
        return base

    def _describe(self, m: Module, place: Place, step: Step, status: data.View, symmetric: Value) -> None:
        """What the drain has to know of the tile."""
        params = self.params
        m.d.comb += [
            self.tile.half.eq(place.half),
            self.tile.tile.eq(place.tile),
            self.tile.rows.eq(Mux(step.last_tile, status.rows, params.rows)),
            self.tile.odd.eq(status.odd & (status.odd_tile == place.tile)),
            self.tile.odd_row.eq(status.odd_row),
            self.tile.set.eq(place.number),
            self.tile.symmetric.eq(symmetric),
            self.tile.pass_ends.eq(step.last_tile),
            self.tile.super_tile_ends.eq(step.last_tile & step.last_column),
        ]

    def _occupied(self) -> Value:
        """The rows of the tile that hold a token."""
        return Cat(self.tile.rows > row for row in range(self.params.rows))

    def _feed(self, m: Module, step: Step) -> None:
        """The step's own bits beside its operands, through as many registers as the buffers have."""
        issued = Signal(step_layout(self.params))
        m.d.comb += [
            issued.valid.eq(step.issues),
            issued.last.eq(step.ends),
            issued.rows.eq(self._occupied()),
            self.step.eq(delayed(m, "steps", issued, self.params.feed_cycles, control=True)),
        ]
