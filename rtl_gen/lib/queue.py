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
        count = Signal(range(self.depth + 1))
        staying = Signal.like(count)
        entries = [Signal(self.value.shape(), name=f"entry{n}", reset_less=True) for n in range(self.depth)]
        m.d.comb += staying.eq(count - self.pop)
        # What is pushed and popped is known late: an entry that holds nothing takes what is offered, pushed or not.
        for n, entry in enumerate(entries):
            behind = entries[n + 1] if n + 1 < self.depth else self.value
            with m.If(self.pop | (count <= n)):
                m.d.sync += Value.cast(entry).eq(Value.cast(Mux(count <= n + 1, self.value, behind)))
        m.d.sync += count.eq(staying + self.push)
        m.d.comb += [self.head.eq(entries[0]), self.valid.eq(count != 0),
                     self.broken.eq((self.pop & (count == 0)) | (self.push & ~self.pop & (count == self.depth)))]
        return m
