"""The walk of a lifting unit through the slots of a job (`stamp_hw/haar_slots.py`).

A tile is never looked at as a whole: a position is an offset into the tile at hand or the one before it, and a token, a
butterfly or a coefficient exists iff certain positions lie on the grid. Of each tile it is known where its last token
on the grid is, so that no comparison is wider than a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.haar.layouts import job_layout, position_layout, walk_layout
from rtl_gen.lib.bits import following, up_to
from stamp_hw.params import HaarParams


def state(name: str, init: int = 0) -> Signal:
    """A bit of a job's state, set back by a reset."""
    return Signal(name=name, init=init)


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


def split(offset: Value, two_d: Value, axes: int) -> tuple[Value, Value]:
    """(row, column) inside a tile: in 2-D the odd and even bits of a Morton offset; a sequence has one row."""
    if axes == 1:
        return Value.cast(0), offset
    row, column = Cat(offset[1::2]), Cat(offset[0::2])
    return Mux(two_d, row, 0), Mux(two_d, column, offset)


def of_tiles(walk: data.View) -> list[str]:
    """What a walk knows of the tile at hand and of the one before it."""
    names = list(walk.shape().members)
    return [name for name in names if f"{name}_before" in names]


def position(value: Value, mask: Value, params: HaarParams) -> data.View:
    """−T…−1 lie in the tile before the one at hand, 0…T − 1 in it."""
    return data.View(position_layout(params), Cat(value[: len(mask)] & mask, value < 0))


@dataclass(frozen=True, slots=True)
class Place:
    """A position on the grid; meaningless coordinates where it does not exist. `place` in its super-tile, `before`
    whether it lies in the tile before the one at hand, `corner` whether it is the grid's last."""

    exists: Signal
    row: Value
    column: Value
    before: Value
    place: Value
    corner: Value


def locate(m: Module, name: str, at: data.View, walk: data.View, params: HaarParams) -> Place:
    """A position on the grid: whether it exists depends on its tile's edges alone, and no carry is needed for its
    coordinates, since a tile begins at multiples of its size."""
    exists = Signal(name=f"{name}_exists")
    tile = {name: Mux(at.before, walk[f"{name}_before"], walk[name]) for name in of_tiles(walk)}
    inner_row, inner_column = split(at.offset, walk.two_d if params.axes == 2 else C(0), params.axes)
    m.d.comb += exists.eq(~tile["empty"] & (inner_column <= tile["edge_column"])
                          & ((inner_row <= tile["edge_row"]) if params.axes == 2 else 1))
    # Morton order grows along both axes, so that the last token of all is the one in the far corner.
    corner = tile["is_last"] & (inner_column == tile["edge_column"])
    if params.axes == 2:
        corner = corner & (inner_row == tile["edge_row"])
    return Place(exists=exists, before=at.before, corner=corner,
                 row=(tile["row"] | inner_row) if "row" in tile else C(0),
                 column=(tile["column"] | inner_column) if "column" in tile else C(0),
                 place=tile["base"] + at.offset if params.places else C(0))


@dataclass(frozen=True, slots=True)
class Length:
    """Of the tile that is entered, along an axis: the `edge`, its last token on the grid; whether it is `empty`, beyond
    the grid; whether the grid `ends` with it."""

    edge: Value
    empty: Value
    ends: Value


def tile_edge(place: Value, last: Value) -> Value:
    """Of the last token's place, told from a tile's beginning, where the tile's own last token is."""
    bits = len(last)
    beyond = (place[:bits] & ~last).any()
    if len(place) > bits:  # none of no bits is a Verilog expression that synthesis refuses
        beyond = beyond | place[bits:].any()
    return (place[:bits] | beyond.replicate(bits)) & last


def first_edge(whole: Value, last: Value) -> Value:
    """The same of the first tile of a length of `whole` tokens."""
    bits = len(last)
    beyond = (whole[:bits] & ~last).any()
    if len(whole) > bits:
        beyond = beyond | whole[bits:].any()
    return (~following(~whole[:bits]) | beyond.replicate(bits)) & last


class Slots(wiring.Component):
    """Walks through the slots of a job, and through the beats of a slot.

    Members
    -------
    job : In(job_layout), registers; begins : In, they are a job's, taken now, which is while it is idle
    advance : In, the pipeline moves
    busy, takes : In, the slot to plan takes a beat train; each of its beats needs an input beat
    offered : In, an input beat is there
    walk : Out(walk_layout), the slot to plan
    idle : Out, there is no job: the walk is that of the job that may come
    plan : Out, that slot's plan is to be loaded now; loads : Out, and the next slot, or without a job the first one
    take : Out, an input beat is wanted
    starts : Out, a beat enters the pipeline if that moves
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
            "job": In(job_layout(params)), "begins": In(1),
            "advance": In(1), "busy": In(1), "takes": In(1), "offered": In(1),
            "walk": Out(walk_layout(params)), "idle": Out(1),
            "plan": Out(1), "loads": Out(1), "take": Out(1), "starts": Out(1),
            "index": Out(up_to(params.max_beats - 1)), "last": Out(1),
        }
        super().__init__(members | ({"final": Out(1), "splits": Out(1)} if self._super_tile else {}))

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        self._tiles(m, *self._beats(m))
        return m

    def _beats(self, m: Module) -> tuple[Signal, Signal, Value]:
        """The beats of the slot at hand, and the states of a job. What the cycle at hand is, is known a cycle before;
        whether it is over hangs on the pipeline and on an input beat alone, which may be known late. Returns whether
        the slot to plan is the job's last and whether that behind it is its tile's last, both to be driven; and whether
        another tile is entered."""
        params, job = self.params, self.job
        idle = state("idle_", init=1)
        cycle = Signal(range(max(params.max_beats, params.min_slot_cycles)))
        beats_before_last, cycle_before_last = (Signal.like(cycle, name=name, reset_less=True) for name in (
            "beats_before_last", "cycle_before_last"))
        single = Signal(reset_less=True)  # a token has one beat
        active = state("active")  # there is a beat in it
        wants = state("wants")  # which needs an input beat
        with_last = Signal(reset_less=True)  # the token's last
        final = Signal(name="slot_is_final", reset_less=True)  # the slot is the job's last
        plans = state("plans")  # the slot is over with it, or there is none yet, and another one follows
        # So that one gate says whether the walk goes on, and whether another tile is entered. Without a job both do.
        loads = state("loads_", init=1)
        leaves = state("leaves", init=1)  # the slot to plan is its tile's last
        stops = state("stops")  # the job is over with it
        final_next, tile_ends_next = Signal(), Signal()
        tile_ends = Signal(reset_less=True)  # the slot to plan is its tile's last
        over = Signal()
        here = Signal()
        m.d.comb += [
            here.eq(self.offered | ~wants),
            self.idle.eq(idle),
            self.take.eq(wants),
            self.starts.eq(active & here),
            self.index.eq(cycle),
            self.last.eq(with_last),
            self.plan.eq(self.advance & here & plans),
            over.eq(cycle == cycle_before_last),  # with the next cycle
        ]
        if self._super_tile:
            m.d.comb += self.final.eq(final)
        with m.If(idle):
            whole = slot_cycles(job.beats, params.min_slot_cycles, params.max_beats)
            m.d.sync += [beats_before_last.eq(job.beats - 2), single.eq(job.beats == 1),
                         cycle_before_last.eq(whole - 2), cycle.eq(0), idle.eq(~self.begins),
                         plans.eq(self.begins), leaves.eq(~self.begins | tile_ends_next), tile_ends.eq(tile_ends_next)]
        with m.Elif(self.advance & here):
            m.d.sync += [cycle.eq(cycle + 1), active.eq(active & ~with_last), wants.eq(wants & ~with_last),
                         with_last.eq(cycle == beats_before_last), plans.eq(over & ~final),
                         loads.eq(over & ~final), leaves.eq(over & ~final & tile_ends), stops.eq(over & final)]
            with m.If(plans):  # a busy slot has more cycles than one
                goes_on = ~self.busy & ~final_next
                m.d.sync += [cycle.eq(0), active.eq(self.busy), wants.eq(self.takes), with_last.eq(single),
                             final.eq(final_next), plans.eq(goes_on), loads.eq(goes_on), tile_ends.eq(tile_ends_next),
                             leaves.eq(goes_on & tile_ends_next), stops.eq(~self.busy & final_next)]
            with m.If(stops):
                m.d.sync += [idle.eq(1), active.eq(0), wants.eq(0), plans.eq(0), loads.eq(1), leaves.eq(1), stops.eq(0)]
        m.d.comb += self.loads.eq(self.advance & here & loads)
        return final_next, tile_ends_next, self.advance & here & leaves

    def _tiles(self, m: Module, final_next: Signal, tile_ends_next: Signal, enters: Value) -> None:
        """The slot to plan: its offset, its tile, the tile before."""
        params, walk, job, idle = self.params, self.walk, self.job, self.idle
        mask = Signal.like(walk.mask, name="first_mask")
        offset = Signal.like(walk.offset, name="next_offset")
        # What a walk begins with is there before it does: only enables hang on whether a slot is over.
        m.d.comb += [mask.eq(job_mask(job, params)), offset.eq(following(walk.offset) & walk.mask),
                     tile_ends_next.eq(Mux(idle, ~mask[0], offset == walk.mask))]
        # (row, column) of a tile's last place, of the job that may come and of the one at hand
        last_rows, last_columns = zip(*(split(mask, two_d, params.axes) for mask, two_d in (
            (mask, job.two_d if params.axes == 2 else C(0)), (walk.mask, walk.two_d if params.axes == 2 else C(0)))),
                                      strict=True)
        ahead = self._ahead("columns_ahead")
        columns_end = ahead[-1]  # the tile is its row's last
        columns = self._length(m, ahead, job.width, enters, last_columns, columns_end if params.axes == 2 else None)
        m.d.comb += final_next.eq((walk.offset == Cat(C(0, 1), walk.mask[1:]))
                                  & Mux(walk.mask[0], walk.is_last_before, walk.is_last))
        with m.If(idle):
            m.d.sync += walk.mask.eq(mask)
            if params.direction == "forward":
                m.d.sync += walk.levels.eq(job.levels)
            if params.axes == 2:
                m.d.sync += walk.two_d.eq(job.two_d)
        with m.If(self.loads):
            m.d.sync += walk.offset.eq(Mux(idle, 0, offset))
        down, outer, is_last = enters, columns, columns.ends
        if params.axes == 2:
            down = enters & (idle | columns_end)
            ahead = self._ahead("rows_ahead")
            outer = self._length(m, ahead, job.height, down, last_rows)
            is_last = columns.ends & Mux(idle | columns_end, outer.ends, ahead[-1])
        with m.If(enters):
            m.d.sync += [walk[f"{name}_before"].eq(walk[name]) for name in of_tiles(walk)]
            m.d.sync += [walk.edge_column.eq(columns.edge), walk.is_last.eq(is_last)]
            if params.direction == "forward":
                across = (walk.column | last_columns[1]) + 1
                m.d.sync += walk.column.eq(Mux(idle | (columns_end if params.axes == 2 else 0), 0, across))
        with m.If(down):
            m.d.sync += walk.empty.eq(outer.empty)
            if params.axes == 2:
                m.d.sync += walk.edge_row.eq(outer.edge)
                if params.direction == "forward":
                    m.d.sync += walk.row.eq(Mux(idle, 0, (walk.row | last_rows[1]) + 1))
        with m.If(idle):
            m.d.sync += [walk.empty_before.eq(1), walk.is_last_before.eq(0)]
        if params.places:
            self._super_tiles(m, enters, down, columns_end, last_columns, last_rows)

    def _ahead(self, name: str) -> Signal:
        """Of a length in tiles the place of its last token in the tile behind the one to plan; its sign says whether
        it ends with that."""
        reach = range(-2 << self.params.max_levels, self.params.max_tokens + 2**self.params.max_levels + 1)
        return Signal(reach, name=name, reset_less=True)

    def _length(self, m: Module, ahead: Signal, whole: Value, enters: Value, lasts: Sequence[Value],
                again: Value | None = None) -> Length:
        """A length of `whole` tokens, told anew with each tile that is entered; it begins again behind one with
        `again`. `lasts`: a tile's last place, of the job that may come and of the one at hand."""
        # Where it begins it is told by its tokens, one more than that place.
        idle, (first, last), bits = self.idle, lasts, len(lasts[0])
        count, rest = (Signal.like(ahead, name=f"{ahead.name}_{part}") for part in ("count", "rest"))
        less: Value = Cat(~last, 1)  # a tile, and where it begins one more
        held: Value = ahead
        edge = tile_edge(ahead, last)
        if again is not None:
            kept = Signal.like(whole, name=f"{ahead.name}_whole", reset_less=True)
            with m.If(idle):
                m.d.sync += kept.eq(whole)
            held = Mux(again, kept, ahead)
            less, edge = Mux(again, ~tile_tokens(last), less), Mux(again, first_edge(kept, last), edge)
        m.d.comb += count.eq(Mux(idle, whole, held))
        m.d.comb += rest.eq(count + Cat(Mux(idle, ~tile_tokens(first), less), 1).as_signed())
        with m.If(enters):
            m.d.sync += ahead.eq(rest)
        return Length(edge=Mux(idle, first_edge(whole, first), edge)[:bits], empty=~idle & ahead[-1], ends=rest[-1])

    def _super_tiles(self, m: Module, enters: Value, down: Value, columns_end: Value, last_column: Sequence[Value],
                     last_row: Sequence[Value]) -> None:
        """With a job or a tile, places count through a super-tile; in the forward unit a tile beyond its edge begins
        the next one."""
        walk, job, idle, splits = self.walk, self.job, self.idle, C(0)
        if self._super_tile:
            across = self._ahead("across_ahead")
            again, below = across[-1], C(0)
            if self.params.axes == 2:
                height = self._ahead("down_ahead")
                again, below = across[-1] | columns_end, height[-1]
                self._length(m, height, job.tile_height, down, last_row, below)
            self._length(m, across, job.tile_width, enters, last_column, again)
            m.d.comb += self.splits.eq(Mux(columns_end, below, across[-1]))
            splits = self.splits
            with m.If(enters):
                m.d.sync += [walk.begins.eq(Mux(idle, job.begins, splits)),
                             walk.half.eq(Mux(idle, job.half, walk.half ^ splits))]
            with m.If(idle):
                m.d.sync += walk.sink.eq(job.sink)
        with m.If(enters):
            m.d.sync += walk.base.eq(Mux(idle, job.base, Mux(splits, 0, walk.base + walk.mask + 1)))
