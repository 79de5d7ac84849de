"""A number of 32 bits in decimal digits, a bit a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

WIDTH, DIGITS = 32, 10


def doubled(digit: Value) -> Value:
    """A decimal digit that is about to be shifted left: from 5 on, 3 more carry into the next digit."""
    return (digit + Mux(digit >= 5, 3, 0))[:4]


class Decimal(wiring.Component):
    """Members
    -------
    start, value : In, convert `value`
    digits : Out, 4 bits a digit, the last one lowest
    busy : Out, digits are not yet there: for `WIDTH` cycles behind `start`
    """

    def __init__(self) -> None:
        super().__init__({"start": In(1), "value": In(WIDTH), "digits": Out(4 * DIGITS), "busy": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        left = Signal(range(WIDTH + 1))
        rest = Signal(WIDTH, reset_less=True)
        m.d.comb += self.busy.eq(left != 0)
        with m.If(self.start):
            m.d.sync += [left.eq(WIDTH), rest.eq(self.value), self.digits.eq(0)]
        with m.Elif(self.busy):
            corrected = Cat(doubled(self.digits.word_select(place, 4)) for place in range(DIGITS))
            m.d.sync += [left.eq(left - 1), rest.eq(rest << 1), self.digits.eq(Cat(rest[-1], corrected))]
        return m
