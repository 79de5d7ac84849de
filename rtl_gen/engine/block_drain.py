"""Drain of an engine with blocks: sums of the array meet their block's scale and add up in the combine unit; the T of a
complete array tile meet their token and their column, and become output coefficients (docs/contract.md §4, "Blocks").
It never waits: the array's order of work has seen to it that there is room.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen import combine, rescale
from rtl_gen.combine import Combine
from rtl_gen.engine.layouts import block_layout, parameter_layout, tile_layout, word_layout
from rtl_gen.engine.loader import channel_layout
from rtl_gen.engine.rows import scale_address, scale_layout
from rtl_gen.engine.span_buffer import span_address
from rtl_gen.engine.words import Drained, words
from rtl_gen.lib.bits import chosen, up_to
from rtl_gen.lib.counter import go_round
from rtl_gen.lib.delay import delayed
from rtl_gen.lib.queue import Queue
from rtl_gen.mac.blocks import beat_layout
from rtl_gen.rescale import Rescale
from stamp_hw.engine.params import EngineParams


def blocks_in_array(params: EngineParams) -> int:
    """Blocks between the issue of their last step and the end of their drain, at most."""
    cycles = params.feed_cycles + params.mac.drain_latency + params.mac.drain_beats - 1
    return -(-cycles // params.mac.min_tile_cycles)


def written_cycles(params: EngineParams) -> int:
    """Cycles from the last sum of a tile, at column 0, until the combine unit's last column writes its T."""
    return params.cols - 1 + params.combine.latency


def tiles_in_combine(params: EngineParams) -> int:
    """Array tiles between their last sum, at column 0, and the end of the read of their T, at most."""
    return -(-(written_cycles(params) + params.read_beats) // params.min_read_cycles)


def done_layout(params: EngineParams) -> data.StructLayout:
    """An array tile whose sums are complete: `mode4` of its rows, the `bank` of its T."""
    return data.StructLayout({**tile_layout(params).members, "blocks": 1, "bank": 1, "mode4": params.rows})


def exists(tile: data.View, row: Value, slot: Value) -> Value:
    """Whether a token slot of a tile holds a token: not below a ragged tile's rows, not an 8-bit row's second slot, not
    the missing partner of an odd 4-bit token."""
    pair = chosen(list(tile.mode4), row)
    return (row < tile.rows) & ~(slot & ~pair) & ~(slot & tile.odd & (row == tile.odd_row))


def weights_that_count(wsum: Value, blocks: Value) -> Value:
    """What the rescale unit takes of a channel's sum of weights: nothing where blocks have an integer zero or none."""
    return Mux(blocks, 0, wsum)


def group_of(block: data.View) -> Value:
    """Whose scale a block has: its own, or the token's only one."""
    return Mux(block.blocks, block.group, 0)


class BlockDrain(wiring.Component):
    """Sums in, words of the output buffer out.

    Parameters
    ----------
    params : EngineParams with `block`

    Members
    -------
    block, block_en : In, `block_layout` of a block whose last step has been issued
    beat : In, a beat of the array's drain, at column 0; `acc` In, the sum of each column, that of column c c cycles
        later
    parameter_en, channel, parameter : In, write of an output channel's parameters
    span_half, span_at : Out, read of the span buffer; `span` In, its word, a cycle later
    half, scale_at : Out, read of the scale buffer; `token` : In, its word, two cycles later
    word : Out, `word_layout`, `params.word_latency` cycles after its T was read
    retire : Out(2), the last T of this half has been read
    internal : Out, an error in this cycle
    events, combine_events : Out, of the rescale and the combine unit
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "block": In(block_layout(params)), "block_en": In(1), "beat": In(beat_layout(params.mac)),
            "acc": In(data.ArrayLayout(signed(params.mac.acc_width), params.cols)), "parameter_en": In(1),
            "channel": In(channel_layout(params)), "parameter": In(parameter_layout(params)), "span_half": Out(1),
            "span_at": Out(span_address(params)), "span": In(params.scale.width), "half": Out(1),
            "scale_at": Out(scale_address(params)), "token": In(scale_layout(params)),
            "word": Out(word_layout(params)), "retire": Out(2), "internal": Out(1),
            "events": Out(rescale.event_layout(params.rescale)), "combine_events": Out(combine.event_layout()),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.rescale = rescale_unit = Rescale(params.rescale)
        m.submodules.combine = unit = Combine(params.combine)
        m.submodules.blocks = blocks = Queue(block_layout(params), blocks_in_array(params))
        m.submodules.done = done = Queue(done_layout(params), tiles_in_combine(params))
        self._combine(m, blocks, done, unit)
        drained = self._read(m, done, unit)
        m.d.comb += [self.internal.eq(blocks.broken | done.broken), self.events.eq(rescale_unit.events),
                     self.combine_events.eq(unit.events)]
        blocked = delayed(m, "blocked", done.head.blocks, 2)
        totals = delayed(m, "totals", unit.total.as_value(), 2)
        words(m, self, drained, rescale_unit, lambda: totals, lambda wsum: weights_that_count(wsum, blocked))
        return m

    def _combine(self, m: Module, blocks: Queue, done: Queue, unit: Combine) -> None:
        """Sums of the array into the combine unit; a tile's last one completes it."""
        params, beat, block = self.params, self.beat, blocks.head
        bank = Signal()
        mode4 = Signal(params.rows, reset_less=True)
        modes = Signal(params.rows)
        ends = Signal(name="block_ends")
        m.d.comb += [
            blocks.push.eq(self.block_en), blocks.value.eq(self.block), blocks.pop.eq(ends),
            ends.eq(beat.valid & beat.last),
            self.span_half.eq(block.half), self.span_at.second.eq(beat.slot), self.span_at.row.eq(beat.row),
            self.span_at.tile.eq(block.tile), self.span_at.group.eq(group_of(block)),
            unit.place.valid.eq(beat.valid), unit.place.first.eq(block.first), unit.place.bank.eq(bank),
            unit.place.token.eq(Cat(beat.slot, beat.row)), unit.span.eq(self.span), unit.acc.eq(self.acc),
        ]
        # An 8-bit row is one without a token in its second slot.
        for row in range(params.rows):
            m.d.comb += modes[row].eq(Mux(beat.valid & beat.slot & (beat.row == row), ~beat.empty, mode4[row]))
        m.d.sync += mode4.eq(modes)
        m.d.comb += [done.push.eq(ends & block.last), done.value.mode4.eq(modes), done.value.bank.eq(bank)]
        m.d.comb += [done.value[name].eq(block[name]) for name in (*tile_layout(params).members, "blocks")]
        with m.If(done.push):
            m.d.sync += bank.eq(~bank)

    def _read(self, m: Module, done: Queue, unit: Combine) -> Drained:
        """The T of the tile that has been complete for longest, once the last of them is written."""
        params, tile = self.params, done.head
        waiting = Signal(up_to(tiles_in_combine(params)))  # tiles whose T are all written
        written = Signal()
        reads = Signal()
        row, slot = Signal(up_to(params.rows - 1), name="row"), Signal(name="slot")
        drained = Drained(tile=tile, chunk=Signal(up_to(params.chunks - 1), name="chunk"),
                          is_token=Signal(name="is_token"), ends=Signal(name="ends"))
        token_ends = go_round(m, drained.chunk, params.chunks, reads)
        row_ends = go_round(m, slot, 2, token_ends)
        m.d.comb += [
            written.eq(delayed(m, "writing", done.push, written_cycles(params), control=True)),
            reads.eq(waiting != 0),
            drained.ends.eq(go_round(m, row, params.rows, row_ends)),
            done.pop.eq(drained.ends),
            drained.is_token.eq(reads & exists(tile, row, slot)),
            self.half.eq(tile.half),
            self.scale_at.second.eq(slot), self.scale_at.row.eq(row), self.scale_at.tile.eq(tile.tile),
            self.retire.eq(Mux(drained.ends & tile.super_tile_ends, Cat(~tile.half, tile.half), 0)),
            unit.read.bank.eq(tile.bank), unit.read.token.eq(Cat(slot, row)), unit.read.chunk.eq(drained.chunk),
        ]
        m.d.sync += waiting.eq(waiting + written - drained.ends)
        return drained
