"""Small expressions that the blocks share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Mux, Value


def up_to(limit: int) -> range:
    """Values 0…limit, in at least one bit."""
    return range(max(limit, 1) + 1)


def lowest_bit(value: Value) -> Value:
    """The lowest one of `value` alone; no carry, for a few bits."""
    return Cat(value[0], *(value[n] & ~value[:n].any() for n in range(1, len(value))))


def following(value: Value) -> Value:
    """`value` + 1 of the same width; no carry, for a few bits."""
    return Cat(~value[0], *(value[n] ^ value[:n].all() for n in range(1, len(value))))


def one_of(values: Sequence[Value], which: Value) -> Value:
    """The bits of the value whose bit of `which` is 1, as no other is."""
    return reduce(or_, (value.as_unsigned() & bit.replicate(len(value))
                        for value, bit in zip(values, which, strict=True)))


def chosen(values: Sequence[Value], index: Value) -> Value:
    """The value that `index` names: a tree of two-way multiplexers."""
    for bit in index:
        values = [Mux(bit, values[n + 1], values[n]) if n + 1 < len(values) else values[n]
                  for n in range(0, len(values), 2)]
    return values[0]
