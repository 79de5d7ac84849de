"""A value some cycles later. A register moves in the cycles with `enable`; a control is reset, data is not.

`src_loc_at` says, as everywhere in Amaranth, how many calls above the source is of which a register is said to be.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Shape, ShapeLike, Signal, Value, ValueLike


def late(m: Module, name: str, value: ValueLike, shape: ShapeLike | None = None, *, enable: ValueLike = 1,
         control: bool = False, src_loc_at: int = 0) -> Signal:
    """The value a cycle later, in a register called `name`; of its own shape, or of another."""
    register = Signal(_shape(value) if shape is None else shape, name=name, reset_less=not control)
    with m.If(enable):
        m.d.sync += Value.cast(register).eq(Value.cast(value), src_loc_at=1 + src_loc_at)
    return register


def history(m: Module, name: str, value: Value, cycles: int, *, enable: ValueLike = 1, control: bool = False,
            src_loc_at: int = 0) -> Signal:
    """The values of the last `cycles` cycles in one shift register called `name`, the newest in its low bits."""
    line = Signal(len(Value.cast(value)) * cycles, name=name, reset_less=not control)
    with m.If(enable):
        m.d.sync += line.eq(Cat(value, line), src_loc_at=1 + src_loc_at)
    return line


def delayed(m: Module, name: str, value: Value, cycles: int, *, enable: ValueLike = 1, control: bool = False,
            src_loc_at: int = 0) -> Value:
    """The value `cycles` cycles later: the oldest of its `history`."""
    if not cycles:
        return value
    shape = _shape(value)
    line = history(m, name, value, cycles, enable=enable, control=control, src_loc_at=1 + src_loc_at)
    oldest = line[-Shape.cast(shape).width:]
    if isinstance(shape, Shape):
        return oldest.as_signed() if shape.signed else oldest
    return shape(oldest)


def _shape(value: ValueLike) -> ShapeLike:
    """A struct keeps its layout."""
    return value.shape() if hasattr(value, "shape") else Value.cast(value).shape()


@dataclass(frozen=True, slots=True)
class Ranks:
    """Registers of one pipeline: all of them move with `advance`. Ranks are counted from a beat's entry (rank 0)."""

    m: Module
    advance: ValueLike

    def register(self, name: str, value: ValueLike, shape: ShapeLike | None = None, *, control: bool = False,
                 src_loc_at: int = 0) -> Signal:
        """One rank."""
        return late(self.m, name, value, shape, enable=self.advance, control=control, src_loc_at=1 + src_loc_at)

    def delay(self, name: str, value: Value, ranks: int, *, control: bool = False, src_loc_at: int = 0) -> Value:
        """`ranks` ranks later, in a shift register called `name`_line."""
        return delayed(self.m, f"{name}_line", value, ranks, enable=self.advance, control=control,
                       src_loc_at=1 + src_loc_at)
