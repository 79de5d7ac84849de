"""The array of hardware with blocks between streams, a top of its own: its last steps wait for what the engine's order
of work promises, its sums are brought into line, and a queue takes back-pressure (docs/contract.md §4, "Blocks").
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.delay import delayed
from rtl_gen.lib.queue import Queue
from rtl_gen.mac import array
from rtl_gen.mac.array import event_layout, leaves, output_layout
from rtl_gen.mac.blocks import BlockMac
from stamp_hw.params import CODE_WIDTH, MacParams


def input_layout(params: MacParams) -> data.StructLayout:
    """A step as `Mac` takes it, but of unsigned codes, and beside them their zeros."""
    return data.StructLayout({**array.input_layout(params).members,
                              "zero": data.ArrayLayout(CODE_WIDTH, params.rows)})


def certain(params: MacParams, gap: Value, tiles: Value) -> Value:
    """Whether a last step is taken: the one before it is `min_tile_cycles` ago, and the queue has room for a tile."""
    return (gap == 0) & (tiles != params.tiles_queued)


class BlockMacStream(wiring.Component):
    """acc[token, col] = Σ_k (q[token, k] − z[token]) · w[col, k] over the steps of a tile, a block's.

    Parameters
    ----------
    params : MacParams with `blocks`

    Members
    -------
    i : `input_layout`, one k-step a beat; `mode4` and `zero` are constant from the first to the last step of a tile
    o : `output_layout` of rtl_gen.mac.array, `params.drain_beats` beats a tile: row by row, in each the token slots 0
        and 1. Slot 1 of an 8-bit row is sent with `empty` and zeros. `last` ends the tile
    events : `event_layout` of rtl_gen.mac.array

    Latency: `params.drain_latency` + `params.cols` cycles from an accepted last step to its tile's first beat.
    Throughput: a step a cycle; back-to-back tiles of max(K, `params.min_tile_cycles`) cycles. Only a last step ever
    waits. Back-pressure: the queue fills, then a last step waits; no path leads from `o.ready` to `i.ready`.
    """

    def __init__(self, params: MacParams) -> None:
        self.params = params
        super().__init__({"i": In(stream.Signature(input_layout(params))),
                          "o": Out(stream.Signature(output_layout(params))),
                          "events": Out(event_layout(params))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, step = self.params, self.i.payload
        m.submodules.mac = mac = BlockMac(params)
        m.submodules.queue = queue = Queue(output_layout(params), params.tiles_queued * params.drain_beats)

        # A tile is counted from its last step until its last beat is taken.
        gap = Signal(range(params.min_tile_cycles))
        tiles = Signal(range(params.tiles_queued + 1))
        accept, ends, sent = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~step.last | certain(params, gap, tiles)),
            accept.eq(self.i.valid & self.i.ready), ends.eq(accept & step.last),
            sent.eq(queue.pop & self.o.p.last),
            mac.step.valid.eq(accept),
        ]
        m.d.comb += [mac.step[name].eq(step[name]) for name in input_layout(params).members]
        m.d.sync += tiles.eq(tiles + ends - sent)
        with m.If(ends):
            m.d.sync += gap.eq(params.min_tile_cycles - 1)
        with m.Elif(gap != 0):
            m.d.sync += gap.eq(gap - 1)

        # The beat of column 0 and every sum wait for the last column's.
        beat = delayed(m, "beats", mac.beat, params.cols - 1, control=True)
        value = queue.value
        m.d.comb += [value[name].eq(beat[name]) for name in ("row", "slot", "empty", "last")]
        for c in range(params.cols):
            acc = delayed(m, f"line_c{c}", mac.acc[c], params.cols - 1 - c)
            m.d.comb += value.acc[c].eq(Mux(beat.empty, 0, acc))
        m.d.comb += [
            queue.push.eq(beat.valid), queue.pop.eq(leaves(self.o.valid, self.o.ready)),
            self.o.valid.eq(queue.valid), self.o.p.eq(queue.head), self.events.eq(mac.events),
        ]
        return m
