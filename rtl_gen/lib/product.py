"""A product that is wider than a multiplier of an FPGA, in parts that each fit one (docs/contract.md §4)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Shape, Value

from rtl_gen.lib.delay import Ranks
from rtl_gen.lib.registered_product import of_slice

FACTOR = 18  # bits of a multiplier's signed factor
PART = FACTOR - 1  # and of one without a sign


def parts(value: Value) -> list[Value]:
    """A signed value's parts, the lowest one first, each worth 2^PART of the one before; the highest has the sign."""
    if len(value) <= FACTOR:
        return [value.as_signed()]
    return [value[:PART], *parts(value[PART:])]


def multiply(ranks: Ranks, name: str, wide: Value, narrow: Value, stages: int, shape: Shape,
             dsp: str | None = None) -> Value:
    """wide · narrow in `shape`, `stages` registers later; both are signed, `narrow` of 18 bits at most.

    Where there are two registers or more, the first ones hold the products of parts and the second one their sum: no
    adder stands behind a multiplier, and the register in between is a multiplier's own where `dsp` names its slice.
    With one register the product is left to synthesis, whatever `dsp` says.
    """
    if stages == 1:
        return ranks.register(name, wide * narrow, shape, src_loc_at=1)
    products = [_product(ranks, f"{name}_part{number}", part, narrow, dsp) for number, part in enumerate(parts(wide))]
    whole = sum((product << PART * number for number, product in enumerate(products[1:], 1)), start=products[0])
    return ranks.delay(name, ranks.register(name, whole, shape, src_loc_at=1), stages - 2, src_loc_at=1)


def _product(ranks: Ranks, name: str, part: Value, narrow: Value, dsp: str | None) -> Value:
    """part · narrow a register later."""
    if dsp is None:
        return ranks.register(name, part * narrow, src_loc_at=2)
    signed = part if part.shape().signed else Cat(part, Const(0, 1)).as_signed()
    return of_slice(ranks.m, name, signed, narrow, 1, ranks.advance)
