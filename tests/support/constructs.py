"""A component with each construct of the language that the generator may use, for tests of the Verilog writer."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, enum, memory, wiring
from amaranth.lib.wiring import In, Out


class Kind(enum.Enum, shape=2):
    """States of `Everything`."""

    REST = 0
    WORK = 2
    END = 3


class Everything(wiring.Component):
    """Each construct of the language that the generator may use, and widths that do not fit."""

    def __init__(self) -> None:
        self.layout = data.StructLayout({"a": signed(3), "b": 4, "c": data.ArrayLayout(2, 3),
                                         "d": data.StructLayout({"e": 1, "f": signed(2)})})
        super().__init__({"a": In(signed(4)), "b": In(3), "c": In(1), "word": In(self.layout), "o": Out(signed(9)),
                          "u": Out(8), "s": Out(self.layout), "p": Out(2), "sums": Out(6), "marks": Out(4)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        a, b, c = self.a, self.b, self.c
        state = Signal(Kind)
        held = Signal(self.layout, reset_less=True)
        count = Signal(4, init=5)
        wide = Signal(signed(6), name="release")
        late = Signal(2, reset_less=True)
        sums = [Signal(3, name=f"sum_{number}") for number in range(2)]
        marks = Signal(4)
        m.submodules.cross = store = memory.Memory(shape=3, depth=4, init=[])
        write, read = store.write_port(granularity=1), store.read_port()
        m.d.comb += [write.addr.eq(b), write.data.eq(a), write.en.eq(b), read.addr.eq(count), read.en.eq(c)]
        with m.If(c & (b == 2)):
            m.d.sync += [state.eq(Kind.WORK), held.eq(self.word)]
        with m.Elif(b[0]):
            with m.If(a < 0):
                m.d.sync += held.c[1].eq(b)
            with m.Else():
                m.d.sync += [held.d.f.eq(a), count.eq(count - 1)]
        with m.Else():
            m.d.sync += count.eq(Mux(c, count + b, count))
        with m.Switch(state):
            with m.Case(Kind.REST, Kind.END):
                m.d.comb += wide.eq(a * b)
            with m.Default():
                m.d.comb += wide.eq((a >> b[:2]) - held.a)
        with m.Switch(b):
            with m.Case("1-0", "-11"):
                m.d.sync += late.eq(late.bit_select(c, 1))
            with m.Case("00-"):
                m.d.sync += late.bit_select(c, 1).eq(held.b.bit_select(b, 1))
        m.d.comb += [
            self.s.eq(held), self.p.eq(late), self.o.eq(wide + (a << c)),
            self.u.eq(~held.c.as_value() ^ held.b.word_select(c, 2).replicate(2)),
        ]
        # Defaults of registers that share a condition, and assignments that overwrite what a condition in front of them
        # assigned: the last one wins.
        for number, total in enumerate(sums):
            m.d.sync += total.eq(total + b[number:])
            with m.If(c):
                m.d.sync += total.eq(number)
        with m.If(b[0]):
            with m.If(a > 1):
                m.d.sync += marks.eq(b)
            m.d.sync += marks[1:3].eq(a)
        with m.If(b[1]):
            m.d.sync += marks.eq(~marks)
        m.d.sync += marks[3].eq(c)
        m.d.comb += [self.sums.eq(Cat(sums)), self.marks.eq(marks)]
        with m.If((wide >= a) & ~(b.any() | read.data.all())):
            m.d.comb += [self.u[3:5].eq(count), self.s.d.e.eq(c)]
        return m
