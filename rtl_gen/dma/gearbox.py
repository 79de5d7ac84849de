"""From groups of one width to groups of another: words of the bus to beats of the engine, and back."""

from __future__ import annotations

from math import gcd

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.bits import chosen, up_to


def joins(opened: Value, behind: Value, start: Value) -> Value:
    """Where a group goes: behind what waits of its unit, or where its unit is to begin."""
    return Mux(opened, behind, start)


class Gearbox(wiring.Component):
    """Cuts units, runs of pieces, anew: in come groups of `taken` pieces, out go groups of `given` pieces.

    Parameters
    ----------
    bits : of a piece
    taken, given : pieces of a group

    Members
    -------
    i : In(stream): `pieces`, of which the first `count` exist (all of them but in a unit's last group); its unit is
        `last` with it; `start`, at a unit's first group, empty pieces of the output in front of it
    o : Out(stream): `pieces`, the empty ones and those beyond the unit are zero; `last` of its unit
    idle : Out, nothing waits

    Latency: one cycle. Throughput: a group a cycle on the side of the smaller ones.
    """

    def __init__(self, bits: int, taken: int, given: int) -> None:
        self.bits, self.taken, self.given = bits, taken, given
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "pieces": bits * taken, "count": up_to(taken), "start": up_to(given - 1), "last": 1}))),
            "o": Out(stream.Signature(data.StructLayout({"pieces": bits * given, "last": 1}))), "idle": Out(1),
        })

    @classmethod
    def of(cls, into: int, out: int, bits: int = 8) -> Gearbox:
        """Between groups of `into` and `out` items of `bits`; a piece is as large as it can be."""
        piece = gcd(into, out)
        return cls(bits * piece, into // piece, out // piece)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        bits, given, i, o = self.bits, self.given, self.i, self.o
        size = given + self.taken - 1
        pieces = Signal(bits * size)
        fill, after = (Signal(range(size + 1), name=name) for name in ("fill", "after"))
        base = Signal(range(max(given, 2)))
        ended, opened, final, accepts = (Signal(name=name) for name in ("ended", "opened", "final", "accepts"))
        kept = Signal.like(pieces, name="kept")
        taken = o.valid & o.ready
        m.d.comb += [
            o.valid.eq((fill >= given) | ended), o.payload.pieces.eq(pieces),
            o.payload.last.eq(ended & (fill <= given)),
            final.eq(taken & o.payload.last),
            after.eq(Mux(final, 0, Mux(taken, fill - given, fill))),
            i.ready.eq((after < given) & (~ended | final)),
            accepts.eq(i.valid & i.ready),
            base.eq(joins(opened, after, i.payload.start)),
            kept.eq(Mux(final, 0, Mux(taken, pieces >> bits * given, pieces))),
            self.idle.eq((fill == 0) & ~ended),
        ]
        m.d.sync += [pieces.eq(kept), fill.eq(after), ended.eq(ended & ~final)]
        with m.If(accepts):
            places = [Cat(Const(0, bits * place), i.payload.pieces, Const(0, bits * (given - 1 - place)))
                      for place in range(given)]
            m.d.sync += [pieces.eq(kept | (chosen(places, base) if given > 1 else places[0])),
                         fill.eq(base + i.payload.count), ended.eq(i.payload.last), opened.eq(~i.payload.last)]
        return m
