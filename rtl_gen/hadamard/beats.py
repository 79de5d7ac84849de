"""Butterflies between beats: beat j of a block meets beat j + D, lane by lane.

    sums a + b leave as the second half of a run comes, differences a − b in the D cycles behind it

The first D beats of a run wait in a memory; a sum leaves with its b, and the difference takes the place of a. The
differences leave in the next D cycles whether anything comes or not. Meanwhile the next run's first beats may come:
beat j comes D cycles after beat j − D at the least, so it finds its place read. What comes out is the run in its order,
its beats one behind the other from its last beat on.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.counter import go_round
from rtl_gen.lib.delay import late


def values_layout(lanes: int, width: int) -> data.ArrayLayout:
    """`lanes` signed values of `width` bits."""
    return data.ArrayLayout(signed(width), lanes)


def difference(a: Value, b: Value) -> Value:
    """a − b."""
    return a - b


class BeatButterflies(wiring.Component):
    """One level of butterflies between beats; equation in the module's docstring.

    Parameters
    ----------
    lanes, width : values of an input beat; those of an output beat are a bit wider
    distance : D, a power of two

    Members
    -------
    advance : In, enable of every register
    valid, i : In, a beat; runs of 2·D follow each other
    o_valid, o : Out, a beat

    Latency: an enabled cycle. Throughput: a beat a cycle.
    """

    def __init__(self, lanes: int, width: int, distance: int) -> None:
        self.lanes, self.width, self.distance = lanes, width, distance
        super().__init__({"advance": In(1), "valid": In(1), "i": In(values_layout(lanes, width)),
                          "o_valid": Out(1), "o": Out(values_layout(lanes, width + 1))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        lanes, distance = range(self.lanes), self.distance
        word = values_layout(self.lanes, self.width + 1)
        second = Signal()  # the second half of a run comes
        drains = Signal()  # differences leave
        taken, combined, stepped = (Signal(name=name) for name in ("taken", "combined", "stepped"))
        m.d.comb += [taken.eq(self.valid & self.advance), combined.eq(self.valid & second),
                     stepped.eq(combined | drains)]
        held = Signal(word)  # a of the beat that comes, or the difference that leaves
        kept = Signal(word)  # what waits in its place from now on
        for lane in lanes:
            m.d.comb += kept[lane].eq(Mux(second, difference(held[lane], self.i[lane]), self.i[lane]))
        write_at, read_at = (Signal(range(max(distance, 2)), name=name) for name in ("write_at", "read_at"))
        write_ends = go_round(m, write_at, distance, taken)
        read_ends = go_round(m, read_at, distance, stepped & self.advance)
        if distance == 1:
            register = Signal(word, reset_less=True)
            m.d.comb += held.eq(register)
            with m.If(taken):
                m.d.sync += register.eq(kept)
        else:
            store = m.submodules.store = memory.Memory(shape=word, depth=distance, init=[])
            read, write = store.read_port(), store.write_port()
            m.d.comb += [read.en.eq(self.advance), read.addr.eq(read_at + stepped), held.eq(read.data),
                         write.en.eq(taken), write.addr.eq(write_at), write.data.eq(kept)]
        with m.If(write_ends):
            m.d.sync += second.eq(~second)
        # The last sum leaves: so do the differences from now on, and when the last of these leaves no more.
        with m.If(read_ends):
            m.d.sync += drains.eq(~drains)
        m.d.comb += self.o_valid.eq(late(m, "out_valid", stepped, enable=self.advance, control=True))
        for lane in lanes:
            out = Mux(drains, held[lane], held[lane] + self.i[lane])
            m.d.comb += self.o[lane].eq(late(m, f"out{lane}", out, signed(self.width + 1), enable=self.advance))
        return m
