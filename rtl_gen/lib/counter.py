"""Counters that go round: the lane in a beat, the beat in a token, the row in an array tile."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value


def go_round(m: Module, place: Value, size: int, step: Value) -> Value:
    """Move `place`, 0…`size` − 1, one on in a cycle with `step`; returns whether that ends a round. Where there is one
    place nothing moves."""
    if size == 1:
        return step
    ends = Signal()
    m.d.comb += ends.eq(step & (place == size - 1), src_loc_at=1)
    with m.If(step):
        m.d.sync += place.eq(Mux(ends, 0, place + 1), src_loc_at=1)
    return ends
