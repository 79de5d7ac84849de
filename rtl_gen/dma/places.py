"""The order table at work: which token each place of the engine's streams is."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.fifo import readable
from rtl_gen.dma.layouts import place_layout
from rtl_gen.lib.handshake import can_move
from stamp_hw.dma.order import ENTRY_BYTES, EXPONENT_AT, EXPONENT_BITS, TOKEN_BITS
from stamp_hw.dma.params import STRIDE_WIDTH, DmaParams
from stamp_hw.engine.job import COLUMNS_WIDTH


class Places(wiring.Component):
    """Keeps the entries of a few super-tiles. Each goes on at once to where the input is read; its exponent is there
    when the token goes into the engine; and for the results each super-tile is gone through once a column tile, then
    its places are free.

    Parameters
    ----------
    params : DmaParams

    Members
    -------
    columns : In, column tiles of the job; steady
    i : In(stream of an entry's 32 bits)
    token : Out(stream of TOKEN_BITS), to be read
    exponent, known : Out, of the token that goes into the engine next, and whether it is there; pass : In, it has gone
    o : Out(stream): `token`, `suppress`, `offset` of the column tile in bytes
    idle : Out, nothing waits
    """

    def __init__(self, params: DmaParams) -> None:
        self.params = params
        super().__init__({
            "columns": In(COLUMNS_WIDTH), "i": In(stream.Signature(8 * ENTRY_BYTES)),
            "token": Out(stream.Signature(TOKEN_BITS)), "exponent": Out(EXPONENT_BITS), "known": Out(1), "pass": In(1),
            "o": Out(stream.Signature(data.StructLayout({"token": TOKEN_BITS, "suppress": 1, "offset": STRIDE_WIDTH}))),
            "idle": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        i, o, token, size = self.i, self.o, self.token, self.params.ring_places
        m.submodules.ring = ring = memory.Memory(shape=place_layout(), depth=size, init=[])
        write, fed, wanted = ring.write_port(), ring.read_port(), ring.read_port()
        end, first = (Signal(range(2 * size), name=name) for name in ("end", "first"))

        # In: an entry is kept, and its token goes on.
        entry = Signal(place_layout(), name="entry")
        m.d.comb += [
            entry.token.eq(i.payload), entry.exponent.eq(i.payload[EXPONENT_AT:]), entry.suppress.eq(i.payload[30]),
            entry.ends.eq(i.payload[31]),
            i.ready.eq(can_move(token.valid, token.ready) & ((end[:-1] != first[:-1]) | (end[-1] == first[-1]))),
            write.addr.eq(end[:-1]), write.data.eq(entry), write.en.eq(i.valid & i.ready),
        ]
        with m.If(token.ready):
            m.d.sync += token.valid.eq(0)
        with m.If(write.en):
            m.d.sync += [token.valid.eq(1), token.payload.eq(entry.token), end.eq(end + 1)]

        # Into the engine, in the same order.
        passes = getattr(self, "pass")
        passed, passing = (Signal(range(2 * size), name=name) for name in ("passed", "passing"))
        m.d.comb += [passing.eq(passed + passes), fed.addr.eq(passing[:-1]), fed.en.eq(1),
                     self.exponent.eq(fed.data.exponent)]
        m.d.sync += [passed.eq(passing), self.known.eq(readable(passing, end))]

        # Out of the engine: a super-tile's places again for each column tile.
        at, following = (Signal(range(2 * size), name=name) for name in ("at", "following"))
        column = Signal(COLUMNS_WIDTH)
        offset = Signal(STRIDE_WIDTH)
        last = Signal()
        place = wanted.data
        m.d.comb += [
            last.eq(column == self.columns - 1),
            following.eq(at),
            wanted.addr.eq(following[:-1]), wanted.en.eq(1),
            o.payload.token.eq(place.token), o.payload.suppress.eq(place.suppress), o.payload.offset.eq(offset),
            self.idle.eq((first == end) & (passed == end) & ~token.valid),
        ]
        with m.If(o.valid & o.ready):
            m.d.comb += following.eq(Mux(place.ends & ~last, first, at + 1))
            with m.If(place.ends):
                m.d.sync += [column.eq(Mux(last, 0, column + 1)),
                             offset.eq(Mux(last, 0, offset + self.params.tile_bytes))]
            with m.If(place.ends & last):
                m.d.sync += first.eq(at + 1)
        m.d.sync += [at.eq(following), o.valid.eq(readable(following, end))]
        return m
