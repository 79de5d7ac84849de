"""The array of hardware with blocks: tiles of one block's steps, codes with an integer zero, and a drain that follows
the skew (docs/contract.md §4, "Blocks").

A tile's sums leave row by row, two beats a row, as soon as PE(0, 0) has its own: column c a cycle behind column c − 1,
and row r moves up r cycles after row 0. A row's sums are in its hold registers by then, and the last of a tile have
passed a row before the next ones reach it, because tiles end at least two beats a row apart. So nothing waits, and the
array needs no queue: what takes the sums takes one of each column in every cycle.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.counter import go_round
from rtl_gen.lib.delay import delayed, late
from rtl_gen.mac import split
from rtl_gen.mac.array import counted, ends_tile, event_layout, multiplications, pairs, slot_is_empty
from rtl_gen.mac.multiplier import OPERAND_WIDTH
from rtl_gen.mac.pe import LOW_WIDTH
from rtl_gen.mac.row import Row
from rtl_gen.verilog.emit import Shared
from stamp_hw.params import CODE_WIDTH, MacParams

PAIR_WIDTH = CODE_WIDTH // 2 + 1  # bits of a 4-bit code less its zero, −15…15
ENTRY_WIDTH = 2 * PAIR_WIDTH  # a row's entry: two of them, or an 8-bit code less its zero, −255…255


def step_layout(params: MacParams) -> data.StructLayout:
    """A step: an unsigned code, or two of 4 bits in its nibbles, with its zero, likewise, and a mode for each row; a
    weight for each column; `last` ends the tile."""
    return data.StructLayout({
        "valid": 1,
        "act": data.ArrayLayout(CODE_WIDTH, params.rows),
        "zero": data.ArrayLayout(CODE_WIDTH, params.rows),
        "mode4": data.ArrayLayout(1, params.rows),
        "wgt": data.ArrayLayout(signed(CODE_WIDTH), params.cols),
        "last": 1,
    })


def beat_layout(params: MacParams) -> data.StructLayout:
    """A beat of the drain, at column 0: the `row`'s token in `slot`; `empty` where an 8-bit row has none; `last` ends
    the tile."""
    return data.StructLayout({"valid": 1, "row": max(1, (params.rows - 1).bit_length()), "slot": 1, "empty": 1,
                              "last": 1})


def entry(act: Value, zero: Value, mode4: Value) -> Value:
    """a = q − z: two of `PAIR_WIDTH` bits, or one of 9."""
    half = CODE_WIDTH // 2
    low, high, whole = act[:half] - zero[:half], act[half:] - zero[half:], act - zero
    return Mux(mode4, Cat(low, high), Cat(whole, whole[-1]))


def operand(codes: Value, mode4: Value) -> Value:
    """The multiplier's operand: a1·2^12 + a0 of a pair, or the 8-bit code."""
    low, high = codes[:PAIR_WIDTH], codes[PAIR_WIDTH:ENTRY_WIDTH]
    upper = (high + low[-1].replicate(PAIR_WIDTH))[:PAIR_WIDTH]  # a1 less the borrow of a negative a0
    pair = Cat(low, low[-1].replicate(LOW_WIDTH - PAIR_WIDTH), upper)
    return Mux(mode4, pair, Cat(codes, codes[-1].replicate(OPERAND_WIDTH - ENTRY_WIDTH))).as_signed()


class BlockMac(wiring.Component):
    """acc[token, col] = Σ_k (q[token, k] − z[token]) · w[col, k] over the steps of a tile.

    Parameters
    ----------
    params : MacParams with `blocks`

    Members
    -------
    step : In(step_layout), one k-step; `mode4` and `zero` are constant over a tile. Tiles end at least
        `params.min_tile_cycles` apart, which is the sender's promise
    beat : Out(beat_layout), `params.drain_beats` in a row a tile: row by row, in each the token slots 0 and 1
    acc : Out, the sum of the beat in each column, that of column c c cycles later
    events : Out(event_layout of rtl_gen.mac.array)

    Latency: `params.drain_latency` cycles from a last step to its tile's first beat. Throughput: a step a cycle. No
    back-pressure.
    """

    def __init__(self, params: MacParams) -> None:
        self.params = params
        super().__init__({"step": In(step_layout(params)), "beat": Out(beat_layout(params)),
                          "acc": Out(data.ArrayLayout(signed(params.acc_width), params.cols)),
                          "events": Out(event_layout(params))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, step, beat = self.params, self.step, self.beat
        last = Signal()
        m.d.comb += last.eq(ends_tile(step.valid, step.last))

        # A last step on its way to PE(0, 0)'s hold register, and the modes of its tile's rows.
        arriving = Signal(data.StructLayout({"last": 1, "mode4": params.rows}))
        m.d.comb += arriving.eq(delayed(m, "arrivals", Cat(last, step.mode4), params.latency - 1, control=True))
        left = Signal(range(params.drain_beats + 1))
        mode4 = Signal(params.rows, reset_less=True)
        row_ends = Signal()
        with m.If(arriving.last):
            m.d.sync += [left.eq(params.drain_beats), mode4.eq(arriving.mode4)]
        with m.Elif(beat.valid):
            m.d.sync += left.eq(left - 1)
            with m.If(row_ends):
                m.d.sync += mode4.eq(mode4 >> 1)
        slot = Signal()
        row = Signal.like(beat.row, name="row")
        m.d.comb += [row_ends.eq(go_round(m, slot, 2, beat.valid)), beat.valid.eq(left != 0), beat.row.eq(row),
                     beat.slot.eq(slot), beat.empty.eq(slot_is_empty(slot, mode4[0])), beat.last.eq(left == 1)]
        go_round(m, row, params.rows, row_ends)

        shift = Signal()
        m.d.comb += shift.eq(row_ends & ~beat.last)
        top = self._rows(m, last, shift)
        mode: Value = mode4[0]
        for c in range(params.cols):
            if c:
                slot = late(m, f"slot_c{c}", slot)
            if params.split:
                mode = late(m, f"mode_c{c}", mode) if c else mode
                m.d.comb += self.acc[c].eq(split.token_sum(top.hold0[c], top.hold1[c], slot, mode))
            else:
                m.d.comb += self.acc[c].eq(Mux(slot, top.hold1[c], top.hold0[c]))

        eights, fours = multiplications(params, sum(step.mode4[1:], step.mode4[0]))
        m.d.comb += [
            self.events.multiplies4.eq(counted(step.valid, fours)),
            self.events.multiplies8.eq(counted(step.valid, eights)),
            self.events.steps.eq(step.valid),
            self.events.drained.eq(beat.valid),
        ]
        return m

    def _rows(self, m: Module, last: Value, shift: Value) -> Shared:
        """Skew registers and rows of PEs; returns row 0, whose hold registers are drained."""
        params, step = self.params, self.step
        wait = params.entry_cycles
        valid, last = (delayed(m, f"entry_{name}", value, wait, control=True)
                       for name, value in (("valid", step.valid), ("last", last)))
        rows = [Shared(lambda: Row(params), "stamp_mac_row") for _ in range(params.rows)]
        for c in range(params.cols):
            m.d.comb += rows[0].wgt_i[c].eq(delayed(m, f"skew_wgt_c{c}", step.wgt[c], wait + c))
        for r, row in enumerate(rows):
            m.submodules[f"row{r}"] = row
            if r:
                valid, last, shift = (late(m, f"{name}_r{r}", value, control=True) for name, value in (
                    ("valid", valid), ("last", last), ("shift", shift)))
                m.d.comb += row.wgt_i.eq(rows[r - 1].wgt_o)
            codes = Cat(entry(step.act[r], step.zero[r], step.mode4[r]), step.mode4[r])
            codes = delayed(m, f"skew_act_r{r}", codes, wait + r)
            m.d.comb += [row.control.valid.eq(valid), row.control.last.eq(last)]
            if params.split:
                m.d.comb += row.operand.eq(split.block_operand(codes[:ENTRY_WIDTH], codes[ENTRY_WIDTH]))
            else:
                m.d.comb += [row.control.mode4.eq(pairs(valid, codes[ENTRY_WIDTH])),
                             row.operand.eq(operand(codes[:ENTRY_WIDTH], row.control.mode4))]
            if r + 1 < params.rows:
                below = rows[r + 1]
                m.d.comb += [row.shift.eq(shift), row.below0.eq(below.hold0), row.below1.eq(below.hold1)]
        return rows[0]
