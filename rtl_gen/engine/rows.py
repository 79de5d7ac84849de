"""Rows of the activation buffer: which row slot a token gets, and when an array tile is complete (docs/contract.md §4).

Rows are handed out in the order in which tokens arrive. An 8-bit token takes the next row; a 4-bit token takes the row
that another one left half open, else the next row, and leaves it half open. So n8 + ceil(n4 / 2) rows are used,
whatever the order, and no count has to be known beforehand. Array tile t is rows t·R…t·R + R − 1: all tiles below the
half open row, or below the next one where none is open, are full.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import code_layout, half_layout
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.counter import go_round
from rtl_gen.lib.delay import late
from stamp_hw.engine.params import EngineParams


def slot_layout(params: EngineParams) -> data.StructLayout:
    """A row slot: `row` of array tile `tile`, and `base`, the tile's first word in every bank."""
    return data.StructLayout({"row": up_to(params.rows - 1), "tile": up_to(params.act_tiles),
                              "base": up_to(2 * (params.act_tiles + 1) * params.max_beats)})


def scale_layout(params: EngineParams) -> data.StructLayout:
    """What the rescale unit has to know of a token, and where its outputs go."""
    members = code_layout(params).members
    return data.StructLayout({name: members[name] for name in ("lo", "span", "hi", "sink_shift", "place")})


def scale_address(params: EngineParams) -> data.StructLayout:
    """Address of a token in its half of the scale buffer."""
    return data.StructLayout({"second": 1, "row": up_to(params.rows - 1), "tile": up_to(params.act_tiles - 1)})


@dataclass(frozen=True, slots=True)
class Half:
    """Registers of one half of the activation buffer; `room`, there is a slot for the `next` row."""

    next: data.View
    room: Signal
    open_slot: data.View
    open: Signal
    closed: Signal
    ends: Signal
    free: Signal
    last: Signal


def stays_open(hi: Value, second: Value, is_open: Value) -> Value:
    """Whether a half open row is left behind: by a first 4-bit token, or by an older one that an 8-bit one passed."""
    return Mux(hi, is_open, ~second)


class Rows(wiring.Component):
    """Codes in, writes to the buffers out.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    code, valid : In(code_layout), a beat of codes; `late`, `valid_late` Out, a cycle later, with what is written of it
    claim : In(2), a super-tile begins in this half
    leave : In(2), the array has issued the last step of this half's super-tile: its state begins anew
    retire : In(2), and the last of its sums has drained: the half is free
    free : Out(2), no super-tile is in this half
    halves : Out, `half_layout` of both
    address : Out, word of the banks for this beat
    low, high : Out(rows), the banks whose low and high nibbles are written
    scale_en : Out(2), the half of the scale buffer that is written, on a token's last beat
    scale_at, scale : Out, address and word
    span_en, group : Out, with blocks: the half of the span buffer that is written, on a block's last beat; the block's
        number in its token
    overflow : Out, the super-tile has more rows or positions than the buffers: the beat is dropped
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "code": In(code_layout(params)), "valid": In(1), "late": Out(code_layout(params)), "valid_late": Out(1),
            "claim": In(2), "leave": In(2),
            "retire": In(2), "free": Out(2),
            "halves": Out(data.ArrayLayout(half_layout(params), 2)),
            "address": Out(up_to(2 * params.act_tiles * params.max_beats - 1)), "low": Out(params.rows),
            "high": Out(params.rows), "scale_en": Out(2), "scale_at": Out(scale_address(params)),
            "scale": Out(scale_layout(params)), "overflow": Out(1),
            **({"span_en": Out(2), "group": Out(up_to(params.max_blocks - 1))} if params.block else {}),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, code, halves = self.params, self.late, [self._half(m, number) for number in range(2)]
        m.d.comb += [code.eq(late(m, "code_late", self.code)),
                     self.valid_late.eq(late(m, "code_valid", self.valid, control=True))]
        has_place = self.code.place < params.out_slots
        fits_place = late(m, "fits_place", has_place)
        # Of each half: a beat with a place in it comes; a token of it ends; one with a place does, of 4 bits, of 8. The
        # words of the buffers have the token's precision from elsewhere.
        narrow = late(m, "narrow", ~self.code.hi)
        last_of_place = self.code.last & has_place
        comes, ends, ends_narrow, ends_wide = (
            [late(m, f"{name}_in{number}", self.valid & which & (self.code.half == number), control=True)
             for number in range(2)] for name, which in (
                ("comes", has_place), ("ends", self.code.last), ("ends_narrow", last_of_place & ~self.code.hi),
                ("ends_wide", last_of_place & self.code.hi)))

        # The token's slot: the open row's second half, or the next row.
        second = Signal()
        fits = Signal()
        last = Signal()
        slot = Signal(slot_layout(params))
        beat = Signal(up_to(params.max_beats - 1))
        pick = [Mux(half.open & narrow, half.open_slot.as_value(), half.next.as_value()) for half in halves]
        m.d.comb += [
            second.eq(narrow & Mux(code.half, halves[1].open, halves[0].open)),
            slot.as_value().eq(Mux(code.half, pick[1], pick[0])),
            fits.eq((second | Mux(code.half, halves[1].room, halves[0].room)) & fits_place),
            last.eq(self.valid_late & code.last),
            self.overflow.eq(last & ~fits),
            self.address.eq(slot.base + beat),
            self.scale_en.eq(Mux(last & fits, Cat(~code.half, code.half), 0)),
            self.scale_at.second.eq(second),
            self.scale_at.row.eq(slot.row),
            self.scale_at.tile.eq(slot.tile),
        ]
        m.d.comb += [self.scale[name].eq(code[name]) for name in ("lo", "span", "hi", "sink_shift", "place")]
        opens = [comes[n] & ~(narrow & half.open) & half.room for n, half in enumerate(halves)]  # its next row
        fills = [comes[n] & narrow & half.open for n, half in enumerate(halves)]  # its open one's second half
        for row in range(params.rows):
            in_next = Cat(opens[n] & (half.next.row == row) for n, half in enumerate(halves))
            in_open = Cat(fills[n] & (half.open_slot.row == row) for n, half in enumerate(halves))
            m.d.comb += [self.low[row].eq(in_next.any()), self.high[row].eq(in_next.any() | in_open.any())]
        with m.If(self.valid_late):
            m.d.sync += beat.eq(Mux(code.last, 0, beat + 1))
        if params.block:
            self._spans(m, fits)
        for number, half in enumerate(halves):
            self._place(m, half, ends[number], ends_narrow[number], ends_wide[number])
        return m

    def _half(self, m: Module, number: int) -> Half:
        """Registers and state of one half; the banks hold half 0 and then half 1."""
        params, out = self.params, self.halves[number]
        start = number * params.act_tiles * params.max_beats
        half = Half(
            next=Signal(slot_layout(params), name=f"next{number}", init={"base": start}),
            room=Signal(name=f"room{number}", init=1),
            open_slot=Signal(slot_layout(params), name=f"open_slot{number}", reset_less=True),
            open=Signal(name=f"open{number}"), closed=Signal(name=f"closed{number}"),
            ends=Signal(name=f"ends{number}", reset_less=True), free=Signal(name=f"free{number}", init=1),
            last=Signal(slot_layout(params).members["tile"], name=f"last{number}", reset_less=True),
        )
        whole = half.next.row == 0
        m.d.comb += [
            self.free[number].eq(half.free),
            out.full.eq(Mux(half.open, half.open_slot.tile, half.next.tile)),
            out.closed.eq(half.closed),
            out.ends.eq(half.ends),
            out.last.eq(half.last),
            out.rows.eq(Mux(whole, params.rows, half.next.row) if params.rows > 1 else 1),
            out.odd.eq(half.open),
            out.odd_tile.eq(half.open_slot.tile),
            out.odd_row.eq(half.open_slot.row),
        ]
        with m.If(self.claim[number]):
            m.d.sync += half.free.eq(0)
        with m.Elif(self.retire[number]):
            m.d.sync += half.free.eq(1)
        # A half that the array has left is free, and looked at, long after that.
        with m.If(late(m, f"left{number}", self.leave[number], control=True)):
            m.d.sync += [half.closed.eq(0), half.open.eq(0), half.room.eq(1), half.next.row.eq(0), half.next.tile.eq(0),
                         half.next.base.eq(start)]
        return half

    def _spans(self, m: Module, fits: Signal) -> None:
        """A block's last beat writes its scale."""
        code = self.late
        ends = Signal(name="group_ends")
        group = Signal.like(self.group, name="group_")
        m.d.comb += [ends.eq(self.valid_late & code.group_ends), self.group.eq(group),
                     self.span_en.eq(Mux(ends & fits, Cat(~code.half, code.half), 0))]
        with m.If(ends):
            m.d.sync += group.eq(Mux(code.last, 0, group + 1))

    def _place(self, m: Module, half: Half, last: Signal, narrow: Signal, wide: Signal) -> None:
        """A token's last beat moves its half on: it takes the open row's second half, or where there is room the next
        row. `narrow`, `wide`: it is one with a place, of 4 bits or of 8."""
        params, code, slot = self.params, self.late, half.next
        second = narrow & half.open
        begins = half.room & (wide | (narrow & ~half.open))
        with m.If(last):
            m.d.sync += [half.closed.eq(code.closes), half.ends.eq(code.ends)]
        with m.If(second | begins):
            m.d.sync += half.open.eq(stays_open(wide, second, half.open))
        with m.If(begins & narrow):
            m.d.sync += half.open_slot.eq(slot)
        with m.If(begins):
            m.d.sync += half.last.eq(slot.tile)
        with m.If(go_round(m, slot.row, params.rows, begins)):
            m.d.sync += [slot.tile.eq(slot.tile + 1), slot.base.eq(slot.base + params.max_beats),
                         half.room.eq(slot.tile + 1 != params.act_tiles)]
