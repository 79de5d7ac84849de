"""A queue in a memory, for words of a bus."""

from __future__ import annotations

from amaranth.hdl import Module, ShapeLike, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out


def readable(following: Value, written: Value) -> Value:
    """Whether the entry that is looked up in this cycle was in the memory before it."""
    return following != written


class Fifo(wiring.Component):
    """First in, first out, in a memory of `depth` entries, a power of two.

    Members
    -------
    i : In(stream of shape)
    o : Out(stream of shape)

    Latency: an entry is offered two cycles after it was taken. Throughput: one a cycle. Back-pressure: `i` is ready
    while there is room; no path leads from `o.ready` to `i.ready`.
    """

    def __init__(self, shape: ShapeLike, depth: int) -> None:
        assert depth > 1 and depth & (depth - 1) == 0
        self.shape, self.depth = shape, depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        i, o = self.i, self.o
        m.submodules.store = store = memory.Memory(shape=self.shape, depth=self.depth, init=[])
        write, read = store.write_port(), store.read_port()
        end, begin, following = (Signal(range(2 * self.depth), name=name) for name in ("end", "begin", "following"))
        m.d.comb += [
            i.ready.eq((end[:-1] != begin[:-1]) | (end[-1] == begin[-1])),
            following.eq(begin + (o.valid & o.ready)),
            write.addr.eq(end[:-1]), write.en.eq(i.valid & i.ready), write.data.eq(i.payload),
            read.addr.eq(following[:-1]), read.en.eq(1), o.payload.eq(read.data),
        ]
        m.d.sync += [begin.eq(following), o.valid.eq(readable(following, end))]
        with m.If(i.valid & i.ready):
            m.d.sync += end.eq(end + 1)
        return m
