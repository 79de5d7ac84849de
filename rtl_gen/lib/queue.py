"""A short queue between stages that never wait for each other."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Queue(wiring.Component):
    """First in, first out, `depth` entries in registers.

    Members
    -------
    push, value : In, append `value` in this cycle
    pop : In, drop the head in this cycle
    head, valid : Out, the oldest entry, and whether there is one
    broken : Out, pushed when full or popped when empty, which its user promises never to do

    Latency: an entry is the head in the cycle after it was pushed.
    """

    def __init__(self, shape: ShapeLike, depth: int) -> None:
        self.depth = depth
        super().__init__({"push": In(1), "value": In(shape), "pop": In(1), "head": Out(shape), "valid": Out(1),
                          "broken": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        fill = Signal(self.depth + 1, init=1)  # the bit that is one says how many are queued
        staying = Signal.like(fill, init=0)
        entries = [Signal(self.value.shape(), name=f"entry{n}", reset_less=True) for n in range(self.depth)]
        m.d.comb += staying.eq(Mux(self.pop, fill >> 1, fill))
        # What is pushed and popped is known late: an entry that holds nothing takes what is offered, pushed or not.
        for n, entry in enumerate(entries):
            behind = entries[n + 1] if n + 1 < self.depth else self.value
            with m.If(self.pop | fill[:n + 1].any()):
                m.d.sync += Value.cast(entry).eq(Value.cast(Mux(fill[:n + 2].any(), self.value, behind)))
        m.d.sync += fill.eq(Mux(self.push, staying << 1, staying))
        m.d.comb += [self.head.eq(entries[0]), self.valid.eq(~fill[0]),
                     self.broken.eq((self.pop & fill[0]) | (self.push & ~self.pop & fill[-1]))]
        return m
