"""Drain of the engine: sums of the array meet their token and their column, and become output coefficients
(docs/contract.md §4). It never waits: the array's order of work has seen to it that there is room.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen import rescale
from rtl_gen.engine.layouts import parameter_layout, tile_layout, word_layout
from rtl_gen.engine.loader import channel_layout
from rtl_gen.engine.rows import scale_address, scale_layout
from rtl_gen.engine.words import Drained, words
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.counter import go_round
from rtl_gen.lib.delay import delayed, late
from rtl_gen.lib.queue import Queue
from rtl_gen.mac import array as mac
from rtl_gen.rescale import Rescale
from stamp_hw.engine.params import EngineParams


def tiles_in_array(params: EngineParams) -> int:
    """Array tiles between the cycle behind the issue of their last step and the end of their drain, at most."""
    return -(-(params.drain_cycles - 1) // params.mac.min_tile_cycles)


def exists(beat: data.View, tile: data.View) -> Value:
    """Whether a drained sum is of a token: not below a ragged tile's rows, not an 8-bit row's second slot, not the
    missing partner of an odd 4-bit token."""
    return (beat.row < tile.rows) & ~beat.empty & ~(beat.slot & tile.odd & (beat.row == tile.odd_row))


class Drain(wiring.Component):
    """Sums in, words of the output buffer out.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    tile, tile_en : In, `tile_layout` of a tile whose last step has been issued
    beat, valid : In, a beat of the array's drain
    parameter_en, channel, parameter : In, write of an output channel's parameters
    half, scale_at : Out, read of the scale buffer; `token` : In, its word, two cycles later
    word : Out, `word_layout`, `params.word_latency` cycles after its beat
    retire : Out(2), this half's last beat has drained
    internal : Out, an error in this cycle
    events : Out, of the rescale unit
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__({
            "tile": In(tile_layout(params)), "tile_en": In(1), "beat": In(mac.output_layout(params.mac)),
            "valid": In(1), "parameter_en": In(1), "channel": In(channel_layout(params)),
            "parameter": In(parameter_layout(params)), "half": Out(1), "scale_at": Out(scale_address(params)),
            "token": In(scale_layout(params)), "word": Out(word_layout(params)), "retire": Out(2), "internal": Out(1),
            "events": Out(rescale.event_layout(params.rescale)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, beat = self.params, self.beat
        m.submodules.rescale = rescale_unit = Rescale(params.rescale)
        m.submodules.tiles = tiles = Queue(tile_layout(params), tiles_in_array(params))
        tile = tiles.head
        drained = Drained(tile=tile, chunk=Signal(up_to(params.chunks - 1), name="chunk"),
                          is_token=Signal(name="is_token"), ends=Signal(name="ends"))
        m.d.comb += [
            tiles.push.eq(late(m, "tile_issued", self.tile_en, control=True)),
            tiles.value.eq(late(m, "tile_late", self.tile)),
            drained.ends.eq(self.valid & beat.last),
            tiles.pop.eq(drained.ends),
            self.internal.eq(tiles.broken),
            self.half.eq(tile.half),
            self.scale_at.second.eq(beat.slot),
            self.scale_at.row.eq(beat.row),
            self.scale_at.tile.eq(tile.tile),
            drained.is_token.eq(self.valid & exists(beat, tile)),
            self.retire.eq(Mux(drained.ends & tile.super_tile_ends, Cat(~tile.half, tile.half), 0)),
            self.events.eq(rescale_unit.events),
        ]
        go_round(m, drained.chunk, params.chunks, self.valid)
        words(m, self, drained, rescale_unit, lambda: delayed(m, "acc_line", beat.acc.as_value(), 3))
        return m
