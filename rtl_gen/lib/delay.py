"""A value some cycles later."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value


def late(m: Module, name: str, value: Value, *, control: bool = False) -> Signal:
    """The value a cycle later, in a register called `name`; a control is reset."""
    register = Signal(value.shape(), name=name, reset_less=not control)
    m.d.sync += register.eq(value)
    return register


def delayed(m: Module, name: str, value: Value, cycles: int) -> Value:
    """The value some cycles later: one shift register, the newest in its low bits."""
    width = len(value)
    if not cycles:
        return value
    line = Signal(width * cycles, name=name, reset_less=True)
    m.d.sync += line.eq(Cat(value, line))
    return line[-width:]
