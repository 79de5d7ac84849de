"""Order of work of the MAC array: which step is issued when (docs/contract.md §4).

The first step of an array tile waits for its rows and for its pass's weights. Its last step waits until the array is
certain to take it, that is `min_tile_cycles` after the last step before, and in a pass's first tile for a half of the
output buffer. So nothing waits behind the issue, and a step reaches the array exactly `feed_cycles` later.

With blocks it is each block of a tile that the array must be certain to take, and a tile's last step is
`min_read_cycles` after the one before as well, so that the combine unit has a bank for it.

Whether a step is issued decides about every register of the stage in the same cycle. So what it depends on is known a
cycle before: the tile (`rtl_gen/engine/order.py`), and of every count whether it is over, which is its sign.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import block_layout, half_layout, job_layout, steps_before_last, tile_layout
from rtl_gen.engine.order import Order, order_layout
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.countdown import countdown, is_last
from rtl_gen.lib.delay import delayed
from rtl_gen.lib.job_registers import JobRegisters
from stamp_hw.engine.params import EngineParams


def step_layout(params: EngineParams) -> data.StructLayout:
    """A step on its way to the array: `last` of its tile, `rows` of it that hold a token."""
    return data.StructLayout({"valid": 1, "last": 1, "rows": params.rows})


def may_end(apart: Value, out_free: Value) -> Value:
    """Whether the array takes a tile's last step: the tile before is far enough on its way, and its pass has a half of
    the output buffer."""
    return apart & out_free


def opens_word(issues: Value, lane: Value) -> Value:
    """Whether a step needs a word of the activation banks that is not read yet: `lanes` steps share one."""
    return issues & (lane == 0)


def ends_block(last: Value, block_is_full: Value) -> Value:
    """Whether a step is its block's last: of a whole block, or of its tile."""
    return last | block_is_full


def block_steps(params: EngineParams) -> int:
    """Steps of a whole block."""
    return params.block_beats * params.lanes


def block_gap(params: EngineParams) -> int:
    """Cycles from a block's last step to the next one's, at least: what the array needs for a tile."""
    return params.mac.min_tile_cycles


def tile_gap(params: EngineParams) -> int:
    """Cycles from an array tile's last step to the next one's, at least, so that the combine unit has a bank for it."""
    return params.min_read_cycles


def keep_apart(m: Module, name: str, ends: Value, cycles: int) -> tuple[Value, Value]:
    """Whether `cycles` cycles, two at least, have passed since `ends`: now, and in the next cycle if it does not end
    now."""
    gap = countdown(name, cycles)
    with m.If(ends):
        m.d.sync += gap.eq(cycles - 2)
    with m.Elif(~is_last(gap)):
        m.d.sync += gap.eq(gap - 1)
    return is_last(gap), is_last(gap) | (gap == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The step at hand: whether it is issued now, is its tile's last, ends its block (without blocks, its tile)."""

    issues: Signal
    last: Signal
    ends: Signal


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

    Latency: a tile's first step is issued `params.order_cycles` after its rows are complete at the earliest.
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
        m.submodules.order = order = Order(params)
        # A step of a tile at hand: its first one, a later one; and whether it may be issued, as far as is known of it a
        # cycle before. `none`: there is no tile.
        opens, inside, none = Signal(name="tile_opens"), Signal(name="tile_inside"), Signal(name="tile_none", init=1)
        starts, goes = Signal(name="step_starts"), Signal(name="step_goes")
        tile = Signal(order_layout(params), name="tile_held", reset_less=True)
        take = Signal()
        step = Step(issues=Signal(name="issues_"), last=(last := Signal(name="last_")),
                    ends=Signal(name="ends_") if params.block else last)
        tile_ends = Signal()
        takes = Signal()
        ends = Signal(name="block_issued")
        if params.block:
            m.d.comb += ends.eq(step.issues & step.ends)
            block_may_end, apart = self._blocks(m, step, tile, take, ends, tile_ends)
        else:
            m.d.comb += ends.eq(tile_ends)
            block_may_end, (_, apart) = Const(1), keep_apart(m, "gap", ends, block_gap(params))
        m.d.comb += [
            jobs.start.eq(self.start), jobs.registers.eq(self.registers), self.room.eq(jobs.room),
            self.idle.eq(jobs.idle),
            order.begins.eq(jobs.begins), order.following.eq(jobs.following), order.running.eq(jobs.running),
            order.job.eq(jobs.job), order.halves.eq(self.halves),
            take.eq(none | tile_ends),
            takes.eq(take & order.valid), order.taken.eq(takes), order.held.eq(tile),
            step.issues.eq((goes | (starts & self.loaded)) & block_may_end),
            tile_ends.eq(step.issues & last),
            jobs.ends.eq(tile_ends & tile.job_ends),
            self.release.eq(tile_ends & tile.pass_ends),
            self.leave.eq(Mux(tile_ends & tile.super_tile_ends, Cat(~tile.half, tile.half), 0)),
            self.out_claim.eq(Mux(tile_ends & tile.opens, Cat(~tile.set[0], tile.set[0]), 0)),
            self.tile_en.eq(ends),
        ]
        m.d.comb += [self.tile[name].eq(tile[name]) for name in tile_layout(params).members]
        with m.If(take):
            m.d.sync += tile.eq(order.tile)
        single, left = self._steps(m, step, jobs, order, none)
        # Whether a tile may end is known a cycle before: it finds a half of the output buffer, or its pass has one. All
        # is worked out for both, that a step is issued and that none is, which is known last.
        finds, finds_next, new = self._finds_half(tile), self._finds_half(order.tile), order.valid
        may_start = ~single | may_end(apart, finds_next)
        m.d.sync += [
            opens.eq(Mux(step.issues, last & new, Mux(none, new, opens))),
            inside.eq(Mux(step.issues, ~last, ~none & inside)),
            none.eq(Mux(step.issues, last, none) & ~new),
            starts.eq(Mux(step.issues, last & new & (~single | may_end(Const(0), finds_next)),
                          Mux(none, new & may_start, opens & (~last | may_end(apart, finds))))),
            goes.eq(Mux(step.issues, ~last & ((left != 0) | may_end(apart, finds)),
                        ~none & inside & (~last | may_end(apart, finds)))),
        ]
        self._feed(m, step, tile.occupied)
        return m

    def _finds_half(self, tile: data.View) -> Value:
        """Whether a tile's half of the output buffer is free, or its pass has begun."""
        return ~tile.opens | self.out_free.bit_select(tile.set[0], 1)

    def _steps(self, m: Module, step: Step, jobs: JobRegisters, order: Order, none: Value) -> tuple[Value, Value]:
        """The steps of a tile, and the words of the buffers that they need; whether the job's tiles have a single step,
        and how many are left of the one at hand, less than 0 with its last."""
        params, most = self.params, self.params.max_beats * self.params.lanes
        left = countdown("steps_left", most)
        before = countdown("steps_before_last", most)  # of the job's tiles, in their first step
        with m.If(jobs.begins):
            m.d.sync += before.eq(steps_before_last(jobs.following, params))
        beat_ends = self.lane == params.lanes - 1
        m.d.comb += step.last.eq(is_last(left))
        with m.If(step.issues | none):
            with m.If(step.last | none):
                m.d.sync += [left.eq(before), self.lane.eq(0), self.act_at.eq(order.tile.base),
                             self.weight_at.eq(Mux(order.tile.set[0], params.max_k, 0))]
            with m.Else():
                m.d.sync += [left.eq(left - 1), self.weight_at.eq(self.weight_at + 1),
                             self.lane.eq(Mux(beat_ends, 0, self.lane + 1)), self.act_at.eq(self.act_at + beat_ends)]
        return is_last(before), left

    def _blocks(self, m: Module, step: Step, tile: data.View, take: Value, ends: Value, tile_ends: Value
                ) -> tuple[Value, Value]:
        """Where the work stands in a tile's blocks; returns whether a step may be issued, were it not its tile's last,
        and whether it may in the next cycle, were it that, as far as array and combine unit go."""
        params, steps = self.params, block_steps(self.params)
        group = Signal(up_to(params.max_blocks - 1), name="group")
        left = countdown("block_left", steps)
        m.d.comb += [
            step.ends.eq(ends_block(step.last, is_last(left))),
            self.tile.group.eq(group), self.tile.first.eq(group == 0), self.tile.last.eq(step.last),
            self.tile.blocks.eq(tile.blocks),
        ]
        with m.If(step.issues):
            m.d.sync += left.eq(left - 1)
        with m.If(ends):
            m.d.sync += [left.eq(steps - 2), group.eq(group + 1)]
        with m.If(take):
            m.d.sync += [left.eq(steps - 2), group.eq(0)]
        apart, _ = keep_apart(m, "gap", ends, block_gap(params))
        _, tiles_apart = keep_apart(m, "read_gap", tile_ends, tile_gap(params))
        return ~step.ends | apart, tiles_apart

    def _feed(self, m: Module, step: Step, occupied: Value) -> None:
        """Reads of the buffers, and the step's own bits through as many registers as the buffers have."""
        issued = Signal(step_layout(self.params))
        m.d.comb += [
            self.weight_en.eq(step.issues),
            self.act_en.eq(Mux(opens_word(step.issues, self.lane), occupied, 0)),
            issued.valid.eq(step.issues),
            issued.last.eq(step.ends),
            issued.rows.eq(occupied),
            self.step.eq(delayed(m, "steps", issued, self.params.feed_cycles, control=True)),
        ]
