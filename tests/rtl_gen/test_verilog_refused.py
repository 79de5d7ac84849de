"""What the Verilog writer does not write, or not in a form that all tools read alike, is refused."""

from __future__ import annotations

import pytest
from amaranth.hdl import ClockDomain, Module, Print, ResetSignal, Signal
from amaranth.hdl._nir import Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.verilog.emit import verilog
from rtl_gen.verilog.order import check_order
from rtl_gen.verilog.statements import Assign, Switch
from rtl_gen.verilog.wires import Wire


class Odd(wiring.Component):
    """A register, or a memory, of a kind that is not written."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        super().__init__({"a": In(2), "o": Out(2)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        kind = self._kind
        if kind in ("async", "falling"):
            m.domains.sync = ClockDomain(async_reset=kind == "async", clk_edge="neg" if kind == "falling" else "pos")
            m.d.comb += ResetSignal().eq(self.a[0])
        if kind in ("init", "transparent"):
            m.submodules.store = store = memory.Memory(shape=2, depth=4, init=[1] if kind == "init" else [])
            write = store.write_port()
            read = store.read_port(transparent_for=(write,) if kind == "transparent" else ())
            m.d.comb += [write.addr.eq(self.a), write.data.eq(self.a), write.en.eq(1), read.addr.eq(self.a),
                         read.en.eq(1), self.o.eq(read.data)]
            return m
        if kind == "print":
            m.d.sync += Print("a")
        register = Signal(2)
        m.d.sync += register.eq(self.a)
        m.d.comb += self.o.eq(register)
        return m


@pytest.mark.parametrize(("kind", "words"), [
    ("async", "asynchronous reset"), ("falling", "falling clock edge"), ("init", "initial values"),
    ("transparent", "transparent port"), ("print", "no Verilog for SyncPrint"),
])
def test_what_is_not_written_is_refused_by_name_and_place(kind: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        verilog(Odd(kind), "odd")


def test_an_assignment_behind_a_condition_that_assigns_the_same_bits_is_refused() -> None:
    value = Value.zeros(4)
    wire, other = Wire("wire", value, "reg"), Wire("other", value, "reg")
    switch = Switch(3, {0: [Assign((wire, 1, 3), value)]})
    assert check_order([Assign((wire, 0, 4), value), switch, Assign((wire, 3, 4), value), Assign((other, 1, 2), value)])
    for behind in (Assign((wire, 2, 4), value), Assign((wire, 0, 2), value)):
        with pytest.raises(ValueError, match="wire is assigned behind a condition"):
            check_order([switch, behind])
        with pytest.raises(ValueError, match="wire is assigned behind a condition"):
            check_order([Switch(4, {1: [switch, behind]})])
