"""Which PE an array has, by `hw.multiplier`, and what a row hands to it."""

from __future__ import annotations

from amaranth.hdl import Shape, signed
from amaranth.lib import data, wiring

from rtl_gen.mac import pe, split
from rtl_gen.mac.multiplier import OPERAND_WIDTH
from stamp_hw.params import MacParams


def element(params: MacParams) -> wiring.Component:
    """A PE."""
    return split.SplitPe(params) if params.split else pe.Pe(params)


def operand_shape(params: MacParams) -> Shape:
    """What it multiplies by a weight: an 8-bit code or a pair."""
    return split.operand_shape(params) if params.split else signed(OPERAND_WIDTH)


def control_layout(params: MacParams) -> data.StructLayout:
    """What a step says beside its operand."""
    return split.CONTROL if params.split else pe.CONTROL
