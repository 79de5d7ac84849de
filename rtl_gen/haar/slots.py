"""The walk of a lifting unit through the slots of a job (`stamp_hw/haar_slots.py`).

A tile is never looked at as a whole: a position is an offset into the tile at hand or the one before it, and a token, a
butterfly or a coefficient exists iff certain positions lie on the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.haar.layouts import job_layout, walk_layout
from rtl_gen.lib.bits import up_to
from stamp_hw.params import HaarParams


def state(name: str) -> Signal:
    """A bit of a job's state, cleared by a reset."""
    return Signal(name=name)


def slot_cycles(beats: Value, least: int, most: int) -> Value:
    """Cycles of a busy slot of `beats` ≤ `most`: what it writes is there when the next slot reads."""
    return Mux(beats < least, least, beats) if most > least else C(least)


def job_mask(job: data.View, params: HaarParams) -> Value:
    """T − 1, of a job's tiles of T tokens."""
    chain = job.levels
    if params.axes == 2:
        chain = Mux(job.two_d, job.levels << 1, job.levels)
    return Cat(chain > level for level in range(params.max_levels))


def tile_tokens(mask: Value) -> Value:
    """T, the only bit above the ones of `mask` = T − 1; no carry is needed to know it."""
    return Cat(1, mask) & ~Cat(mask, 0)


def split(offset: Value, walk: data.View, axes: int) -> tuple[Value, Value]:
    """(row, column) inside a tile: in 2-D the odd and even bits of a Morton offset; a sequence has one row."""
    if axes == 1:
        return Value.cast(0), offset
    row, column = Cat(offset[1::2]), Cat(offset[0::2])
    return Mux(walk.two_d, row, 0), Mux(walk.two_d, column, offset)


@dataclass(frozen=True, slots=True)
class Place:
    """A position on the grid; meaningless coordinates where it does not exist. `place` in its super-tile, `before`
    whether it lies in the tile before the one at hand."""

    exists: Signal
    row: Signal
    column: Signal
    before: Value
    place: Value


def locate(m: Module, name: str, position: Value, walk: data.View, params: HaarParams) -> Place:
    """Grid coordinates of a position relative to the tile at hand: −T…−1 lie in the tile before it, 0…T − 1 in it."""
    back = position.shape().signed  # else never in the tile before
    before = Signal(name=f"{name}_before") if back else C(0)
    offset, exists = Signal.like(walk.offset, name=f"{name}_offset"), Signal(name=f"{name}_exists")
    row, column = (Signal.like(walk.column, name=f"{name}_{axis}") for axis in ("row", "column"))
    if back:
        m.d.comb += before.eq(position < 0)

    def of_its_tile(there: Value, here: Value) -> Value:
        return Mux(before, there, here) if back else here

    m.d.comb += [offset.eq(position[: len(offset)] & walk.mask)]
    inner_row, inner_column = split(offset, walk, params.axes)
    m.d.comb += column.eq(of_its_tile(walk.column_before, walk.column) + inner_column)
    if params.axes == 1:
        m.d.comb += exists.eq(column < walk.width)
    else:
        m.d.comb += [row.eq(of_its_tile(walk.row_before, walk.row) + inner_row),
                     exists.eq((column < walk.width) & (row < walk.height))]
    place = of_its_tile(walk.base_before, walk.base) + offset if params.places else Value.cast(0)
    return Place(exists, row, column, before, place)


class Slots(wiring.Component):
    """Walks through the slots of a job, and through the beats of a slot.

    Members
    -------
    job : In(stream of job_layout), accepted between jobs
    advance : In, the pipeline moves
    busy, takes : In, the slot at hand (planned last) takes a beat train; each of its beats needs an input beat
    offered : In, an input beat is there
    walk : Out(walk_layout), the slot to plan
    plan : Out, that slot's plan is to be loaded now
    take : Out, an input beat is wanted
    issue : Out, a beat enters the pipeline
    index, last : Out, its index in its token, and whether it is the token's last
    In the engine's forward unit only:
    final : Out, the slot at hand is the job's last
    splits : Out, the tile after the one to plan begins a super-tile

    A busy slot takes max(beats, `min_slot_cycles`) cycles, another one cycle, a job `job_cycles` before its first slot.
    The last slot is the one before the end of the tile that follows the last tile.
    """

    def __init__(self, params: HaarParams) -> None:
        self.params = params
        self._super_tile = bool(params.places) and params.direction == "forward"
        members: dict[str, Any] = {
            "job": In(stream.Signature(job_layout(params))),
            "advance": In(1), "busy": In(1), "takes": In(1), "offered": In(1),
            "walk": Out(walk_layout(params)),
            "plan": Out(1), "take": Out(1), "issue": Out(1), "index": Out(up_to(params.max_beats - 1)), "last": Out(1),
        }
        super().__init__(members | ({"final": Out(1), "splits": Out(1)} if self._super_tile else {}))

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        final = Signal(reset_less=True)
        self._beats(m, final)
        self._tiles(m, final)
        return m

    def _beats(self, m: Module, final: Signal) -> None:
        """The beats of the slot at hand, and the states of a job."""
        params, job = self.params, self.job
        # A bit for each state, never both: `running` enables every beat, so it is not decoded.
        first, running = state("first"), state("running")
        beats = Signal.like(job.payload.beats, name="beats", reset_less=True)
        cycle = Signal(range(max(params.max_beats, params.min_slot_cycles)))
        last_cycle = Signal.like(cycle, name="last_cycle", reset_less=True)
        # What the cycle at hand is, is known a cycle before.
        within = Signal()  # there is a beat in it
        with_last = Signal()  # the last one
        slot_last = Signal()  # it is the slot's last
        active = Signal()
        goes_on = Signal()  # the slot ends if the pipeline moves, which may be known late
        slot_end = Signal()
        m.d.comb += [
            job.ready.eq(self.advance & ~first & ~running),
            active.eq(running & self.busy & within),
            self.take.eq(active & self.takes),
            self.issue.eq(active & self.advance & (self.offered | ~self.takes)),
            self.index.eq(cycle),
            self.last.eq(with_last),
            goes_on.eq(running & (self.offered | ~self.takes | ~within) & (~self.busy | slot_last)),
            slot_end.eq(self.advance & goes_on),
            self.plan.eq(self.advance & (first | (goes_on & ~final))),
        ]
        if self._super_tile:
            m.d.comb += self.final.eq(final)
        with m.If(job.valid & job.ready):
            m.d.sync += [
                first.eq(1),
                beats.eq(job.payload.beats),
                last_cycle.eq(whole := slot_cycles(job.payload.beats, params.min_slot_cycles, params.max_beats) - 1),
                within.eq(job.payload.beats != 0), with_last.eq(job.payload.beats == 1), slot_last.eq(whole == 0),
            ]
        with m.If(self.plan):
            m.d.sync += [first.eq(0), running.eq(1)]
        with m.If(slot_end):
            m.d.sync += [cycle.eq(0), within.eq(beats != 0), with_last.eq(beats == 1), slot_last.eq(last_cycle == 0)]
            with m.If(final):
                m.d.sync += running.eq(0)
        with m.Elif(self.issue | (running & self.advance & ~active)):
            m.d.sync += [cycle.eq(cycle + 1), within.eq(within & ~with_last), with_last.eq(cycle + 2 == beats),
                         slot_last.eq(cycle + 1 == last_cycle)]

    def _tiles(self, m: Module, final: Signal) -> None:
        """The slot to plan: its offset, its tile, the tile before."""
        params, walk, job = self.params, self.walk, self.job
        last_row, last_column = split(walk.mask, walk, params.axes)
        next_column = Signal.like(walk.column, reset_less=True)  # of the tile behind this one
        row_ends = Signal()
        tile_is_last = Signal()
        before_is_last = Signal(reset_less=True)
        m.d.comb += [
            row_ends.eq(next_column >= walk.width),
            tile_is_last.eq(row_ends),
        ]
        if params.axes == 2:
            next_row = Signal.like(walk.row)
            m.d.comb += [next_row.eq(walk.row + last_row + 1), tile_is_last.eq(row_ends & (next_row >= walk.height))]

        # What a walk begins with stands beside what it goes on with: whether the slot is over is known late.
        begins = Signal()
        tile_ends = Signal(reset_less=True)  # the slot to plan is its tile's last
        mask = Signal.like(walk.mask, name="first_mask")
        following = Signal.like(walk.offset, name="next_offset")
        m.d.comb += [begins.eq(job.valid & job.ready), mask.eq(job_mask(job.payload, params)),
                     following.eq(Mux(begins, 0, (walk.offset + 1) & walk.mask))]
        with m.If(begins):
            m.d.sync += [walk.mask.eq(mask), walk.width.eq(job.payload.width)]
            if params.direction == "forward":
                m.d.sync += walk.levels.eq(job.payload.levels)
            if params.axes == 2:
                m.d.sync += [walk.height.eq(job.payload.height), walk.two_d.eq(job.payload.two_d)]
        with m.If(self.plan):
            ends = ((walk.offset + 2) & walk.mask) == 0
            m.d.sync += final.eq(ends & Mux(walk.mask.any(), before_is_last, tile_is_last))
        with m.If(begins | self.plan):
            m.d.sync += [walk.offset.eq(following), tile_ends.eq(following == Mux(begins, mask, walk.mask))]
        with m.If(begins | (self.plan & tile_ends)):
            column = Mux(row_ends, 0, next_column) if params.axes == 2 else next_column
            first_column = mask
            if params.axes == 2:
                first_column = Mux(job.payload.two_d, Cat(mask[0::2]), mask)
            m.d.sync += [
                next_column.eq(Mux(begins, first_column, last_column) + Mux(begins, 0, column) + 1),
                walk.column_before.eq(Mux(begins, job.payload.width, walk.column)),
                walk.column.eq(Mux(begins, 0, column)),
                before_is_last.eq(~begins & tile_is_last),
            ]
            if params.axes == 2:
                m.d.sync += [walk.row_before.eq(Mux(begins, 0, walk.row)),
                             walk.row.eq(Mux(begins, 0, Mux(row_ends, next_row, walk.row)))]
            if params.places:
                self._super_tiles(m, begins, row_ends, next_column, next_row if params.axes == 2 else None)

    def _super_tiles(self, m: Module, begins: Value, row_ends: Value, next_column: Value, next_row: Value | None
                     ) -> None:
        """With a job or a tile, places count through a super-tile; in the forward unit a tile beyond its edge begins
        the next one."""
        walk, job = self.walk, self.job.payload
        base: Value = walk.base + walk.mask + 1
        if self._super_tile:
            below = Mux(row_ends, next_row >= walk.end_row, 0) if next_row is not None else 0
            m.d.comb += self.splits.eq(Mux(row_ends, below, next_column >= walk.end_column))
            base = Mux(self.splits, 0, base)
            end = Mux(self.splits, Mux(row_ends, 0, next_column) + walk.tile_width, walk.end_column)
            m.d.sync += [
                walk.begins.eq(Mux(begins, job.begins, self.splits)),
                walk.half.eq(Mux(begins, job.half, walk.half ^ self.splits)),
                walk.half_before.eq(Mux(begins, job.half, walk.half)),
                walk.end_column.eq(Mux(begins, job.tile_width, end)),
            ]
            if next_row is not None:
                below_end = Mux(self.splits & row_ends, next_row + walk.tile_height, walk.end_row)
                m.d.sync += walk.end_row.eq(Mux(begins, job.tile_height, below_end))
            with m.If(begins):
                m.d.sync += [walk.sink.eq(job.sink), walk.tile_width.eq(job.tile_width)]
                if next_row is not None:
                    m.d.sync += walk.tile_height.eq(job.tile_height)
        m.d.sync += [walk.base_before.eq(Mux(begins, job.base, walk.base)), walk.base.eq(Mux(begins, job.base, base))]
