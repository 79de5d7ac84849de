"""A transmitter for a serial line: 8 bits, no parity, one stop bit."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

BITS = 10  # of a byte on the line: start, eight of data, the lowest first, stop


class Uart(wiring.Component):
    """A byte takes `BITS` bits of `divisor` cycles each.

    Members
    -------
    i : In(stream of a byte), ready while the line is free
    tx : Out, the line, high at rest
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        left = Signal(range(BITS + 1))
        bits = Signal(BITS - 1, reset_less=True)
        phase = Signal(range(self.divisor))
        m.d.comb += self.i.ready.eq(left == 0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [self.tx.eq(0), bits.eq(Cat(self.i.payload, Const(1))), left.eq(BITS), phase.eq(0)]
        with m.Elif(left != 0):
            m.d.sync += phase.eq(phase + 1)
            with m.If(phase == self.divisor - 1):
                m.d.sync += [phase.eq(0), left.eq(left - 1), self.tx.eq(bits[0]), bits.eq(Cat(bits[1:], Const(1)))]
        return m
