"""What the forward and the inverse lifting unit share: layouts, the floor shift, registers of a rank, the walk through
the slots.

The rules of the walk are in `stamp_hw/haar_slots.py`. A tile is never looked at as a whole: a position is an offset
into the tile at hand or the one before it, and a token, a butterfly or a coefficient exists iff certain positions lie
on the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from stamp_hw.params import HaarParams


def floor_half(d: Value) -> Value:
    """d >> 1, the arithmetic shift of the lifting step."""
    return d >> 1


def may_advance(valid: Value, ready: Value) -> Value:
    """The one enable of the pipeline: the output register is empty or is being taken."""
    return ~valid | ready


def slot_cycles(beats: Value, least: int) -> Value:
    """Cycles of a busy slot: what it writes is there when the next slot reads."""
    return Mux(beats < least, least, beats)


def up_to(limit: int) -> range:
    """Values 0…limit, in at least one bit."""
    return range(max(limit, 1) + 1)


def words(params: HaarParams, width: int) -> data.ArrayLayout:
    """`lanes` signed values of `width` bits."""
    return data.ArrayLayout(signed(width), params.lanes)


def job_layout(params: HaarParams) -> data.StructLayout:
    """Registers of a job.

    `levels` of lifting (2-D: each of both axes), `beats` a token, `width` tokens a row (a sequence is one row); in 2-D
    builds `height` rows (1 for a sequence) and `two_d`.
    """
    layout: dict[str, Any] = {"levels": up_to(params.max_levels), "beats": up_to(params.max_beats),
                              "width": up_to(params.max_tokens)}
    if params.axes == 2:
        layout |= {"height": up_to(params.max_tokens), "two_d": 1}
    return data.StructLayout(layout)


def event_layout() -> data.StructLayout:
    """Increments of a cycle, in beats, counted at issue: `butterflies`, `line_reads`, `line_writes`;
    `cross_butterflies`, always 0 in 1-D builds. A node without a partner passes: no butterfly, but its line is read and
    written.
    """
    return data.StructLayout({"butterflies": 1, "cross_butterflies": 1, "line_reads": 2, "line_writes": 2})


def walk_layout(params: HaarParams) -> data.StructLayout:
    """Where the slot stands that is planned next.

    `offset` of the slot in its tile, `mask` = tokens a tile − 1, (`row`, `column`) of the tile and of the one before it
    (`row_before`, `column_before`), the job's shape. A tile that does not exist stands outside of the grid.
    """
    offset, shape = up_to(2**params.max_levels - 1), up_to(params.max_tokens)
    place = range(params.max_tokens + 2 * 2**params.max_levels)
    layout: dict[str, Any] = {"offset": offset, "mask": offset, "levels": up_to(params.max_levels),
                              "column": place, "column_before": place, "width": shape}
    if params.axes == 2:
        layout |= {"row": place, "row_before": place, "height": shape, "two_d": 1}
    return data.StructLayout(layout)


@dataclass(frozen=True, slots=True)
class Ranks:
    """Registers of one pipeline: all of them move with `advance`. Ranks are counted from a beat's issue (rank 0)."""

    m: Module
    advance: Value

    def register(self, name: str, value: ValueLike, shape: object = None, *, control: bool = False) -> Signal:
        """One rank; only `control` is reset."""
        shape = Value.cast(value).shape() if shape is None else shape
        result = Signal(shape, name=name, reset_less=not control)
        with self.m.If(self.advance):
            self.m.d.sync += result.eq(value)
        return result

    def delay(self, name: str, value: ValueLike, ranks: int, shape: object = None, *,
              control: bool = False) -> ValueLike:
        """`ranks` ranks later."""
        for rank in range(1, ranks + 1):
            value = self.register(f"{name}_{rank}", value, shape, control=control)
        return value

    def line(self, name: str, shape: data.ArrayLayout, depth: int, stages: int) -> Line:
        """A memory whose data come `stages` ranks after the address."""
        store = self.m.submodules[name] = memory.Memory(shape=shape, depth=max(depth, 2), init=[])
        read, write = store.read_port(), store.write_port()
        late = self.delay(f"{name}_data", read.data, stages - 1, shape)
        return Line(self, read, write, late)


@dataclass(frozen=True, slots=True)
class Line:
    """One read and one write port; `data` is what was read."""

    ranks: Ranks
    read_port: memory.ReadPort
    write_port: memory.WritePort
    data: ValueLike

    def read(self, enable: Value, address: Value) -> None:
        self.ranks.m.d.comb += [self.read_port.en.eq(enable & self.ranks.advance), self.read_port.addr.eq(address)]

    def write(self, enable: Value, address: Value, values: list[Value]) -> None:
        self.ranks.m.d.comb += [self.write_port.en.eq(enable & self.ranks.advance), self.write_port.addr.eq(address)]
        self.ranks.m.d.comb += [self.write_port.data[lane].eq(value) for lane, value in enumerate(values)]


def lowest_bit(value: Value) -> Value:
    """The lowest one of `value` alone."""
    return value & (~value + 1)[: len(value)]


def split(offset: Value, walk: data.View, axes: int) -> tuple[Value, Value]:
    """(row, column) inside a tile: in 2-D the odd and even bits of a Morton offset; a sequence has one row."""
    if axes == 1:
        return Value.cast(0), offset
    row, column = Cat(offset[1::2]), Cat(offset[0::2])
    return Mux(walk.two_d, row, 0), Mux(walk.two_d, column, offset)


@dataclass(frozen=True, slots=True)
class Place:
    """A position on the grid; meaningless coordinates where it does not exist."""

    exists: Signal
    row: Signal
    column: Signal


def locate(m: Module, name: str, position: Value, walk: data.View, params: HaarParams) -> Place:
    """Grid coordinates of a position relative to the tile at hand: −T…−1 lie in the tile before it, 0…T − 1 in it."""
    before = Signal(name=f"{name}_before")
    offset, exists = Signal.like(walk.offset, name=f"{name}_offset"), Signal(name=f"{name}_exists")
    row, column = (Signal.like(walk.column, name=f"{name}_{axis}") for axis in ("row", "column"))
    m.d.comb += [before.eq(position < 0), offset.eq(position[: len(offset)] & walk.mask)]
    inner_row, inner_column = split(offset, walk, params.axes)
    m.d.comb += column.eq(Mux(before, walk.column_before, walk.column) + inner_column)
    if params.axes == 1:
        m.d.comb += exists.eq(column < walk.width)
    else:
        m.d.comb += [row.eq(Mux(before, walk.row_before, walk.row) + inner_row),
                     exists.eq((column < walk.width) & (row < walk.height))]
    return Place(exists, row, column)


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
    beat, last : Out, its index, and whether it is the token's last

    A busy slot takes max(beats, `min_slot_cycles`) cycles, another one cycle, a job `job_cycles` before its first slot.
    The last slot is the one before the end of the tile that follows the last tile.
    """

    def __init__(self, params: HaarParams) -> None:
        self.params = params
        cycles = max(params.max_beats, params.min_slot_cycles)
        super().__init__({
            "job": In(stream.Signature(job_layout(params))),
            "advance": In(1), "busy": In(1), "takes": In(1), "offered": In(1),
            "walk": Out(walk_layout(params)),
            "plan": Out(1), "take": Out(1), "issue": Out(1), "beat": Out(range(cycles)), "last": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        final = Signal(reset_less=True)
        self._beats(m, final)
        self._tiles(m, final)
        return m

    def _beats(self, m: Module, final: Signal) -> None:
        """The beats of the slot at hand, and the states of a job."""
        params, job = self.params, self.job
        first = Signal()
        running = Signal()
        beats = Signal.like(job.payload.beats, name="beats", reset_less=True)
        last_cycle = Signal.like(self.beat, name="last_cycle", reset_less=True)
        active = Signal()
        slot_end = Signal()
        m.d.comb += [
            job.ready.eq(self.advance & ~first & ~running),
            active.eq(running & self.busy & (self.beat < beats)),
            self.take.eq(active & self.takes),
            self.issue.eq(active & self.advance & (self.offered | ~self.takes)),
            self.last.eq(self.beat + 1 == beats),
            slot_end.eq(running & self.advance & (self.issue | ~active) & (~self.busy | (self.beat == last_cycle))),
            self.plan.eq((first & self.advance) | (slot_end & ~final)),
        ]
        with m.If(job.valid & job.ready):
            m.d.sync += [
                first.eq(1),
                beats.eq(job.payload.beats),
                last_cycle.eq(slot_cycles(job.payload.beats, params.min_slot_cycles) - 1),
            ]
        with m.If(self.plan):
            m.d.sync += [first.eq(0), running.eq(1)]
        with m.If(slot_end):
            m.d.sync += self.beat.eq(0)
            with m.If(final):
                m.d.sync += running.eq(0)
        with m.Elif(self.issue | (running & self.advance & ~active)):
            m.d.sync += self.beat.eq(self.beat + 1)

    def _tiles(self, m: Module, final: Signal) -> None:
        """The slot to plan: its offset, its tile, the tile before."""
        params, walk, job = self.params, self.walk, self.job
        chain = job.payload.levels
        if params.axes == 2:
            chain = Mux(job.payload.two_d, job.payload.levels << 1, job.payload.levels)
        inner_row, inner_column = split(walk.mask, walk, params.axes)
        next_column = Signal(walk.column.shape())
        tile_is_last = Signal()
        before_is_last = Signal(reset_less=True)
        m.d.comb += next_column.eq(walk.column + inner_column + 1)
        row_ends = next_column >= walk.width
        if params.axes == 2:
            next_row = Signal(walk.row.shape())
            m.d.comb += [next_row.eq(walk.row + inner_row + 1), tile_is_last.eq(row_ends & (next_row >= walk.height))]
        else:
            m.d.comb += tile_is_last.eq(row_ends)
        one_slot_tiles = walk.mask == 0
        with m.If(job.valid & job.ready):
            m.d.sync += [
                walk.offset.eq(0), walk.mask.eq(Cat(chain > level for level in range(params.max_levels))),
                walk.levels.eq(job.payload.levels), walk.width.eq(job.payload.width),
                walk.column.eq(0), walk.column_before.eq(job.payload.width), before_is_last.eq(0),
            ]
            if params.axes == 2:
                m.d.sync += [walk.height.eq(job.payload.height), walk.two_d.eq(job.payload.two_d),
                             walk.row.eq(0), walk.row_before.eq(0)]
        with m.If(self.plan):
            m.d.sync += [
                walk.offset.eq((walk.offset + 1) & walk.mask),
                final.eq((((walk.offset + 2) & walk.mask) == 0) & Mux(one_slot_tiles, tile_is_last, before_is_last)),
            ]
            with m.If(walk.offset == walk.mask):
                m.d.sync += [walk.column_before.eq(walk.column), walk.column.eq(next_column),
                             before_is_last.eq(tile_is_last)]
                if params.axes == 2:
                    m.d.sync += walk.row_before.eq(walk.row)
                    with m.If(row_ends):
                        m.d.sync += [walk.column.eq(0), walk.row.eq(next_row)]
