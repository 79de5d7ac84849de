"""A board-independent top for place and route: any component behind five pins.

No package has a pin for each port bit of the engine. Every input bit comes from a shift register that a serial pin
fills, every output bit goes to one that a serial pin empties. So each path of the component starts and ends in a
register and counts in the clock rate, those that a pin would hide included.
"""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.verilog.emit import Shared

INNER = "inner"


class Harness(wiring.Component):
    """Serial access to all ports of a component; only for measuring it.

    Parameters
    ----------
    factory : makes the component
    module : Verilog name of the component's own module

    Members
    -------
    serial_i : In, shifted into the input register, first the highest bit of the last input port
    capture : In, load all outputs into the output register, which else shifts by a bit a cycle
    serial_o : Out, the output register's highest bit
    """

    def __init__(self, factory: Callable[[], wiring.Component], module: str) -> None:
        self._factory, self._module = factory, module
        super().__init__({"serial_i": In(1), "capture": In(1), "serial_o": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules[INNER] = inner = Shared(self._factory, self._module)
        ports: dict[bool, list[Value]] = {True: [], False: []}
        for _path, member, port in inner.signature.flatten(inner):
            ports[member.flow is wiring.In].append(Value.cast(port))
        inputs, outputs = Cat(ports[True]), Cat(ports[False])
        driving = Signal(len(inputs), reset_less=True)
        seen = Signal(len(outputs), reset_less=True)
        serial = Signal(reset_less=True)
        capture = Signal(reset_less=True)
        m.d.sync += [serial.eq(self.serial_i), capture.eq(self.capture), driving.eq(Cat(serial, driving)),
                     seen.eq(Cat(Const(0), seen))]
        with m.If(capture):
            m.d.sync += seen.eq(outputs)
        m.d.comb += [inputs.eq(driving), self.serial_o.eq(seen[-1])]
        return m
