"""Cells of the netlist: how wide they are, what they read, and which bits of theirs depend on which."""

from __future__ import annotations

from amaranth.hdl._nir import (
    AssignmentList,
    Cell,
    FlipFlop,
    Instance,
    Matches,
    Net,
    Operator,
    Part,
    PriorityMatch,
    Value,
)

LOW_BITS = ("~", "-", "+", "*", "&", "^", "|", "m", "<<")  # their low bits depend on low bits only
BITWISE = ("~", "&", "^", "|", "m")


def width_of(cell: Cell) -> int:
    """Bits of a cell's output."""
    if isinstance(cell, AssignmentList):
        return len(cell.default)
    if isinstance(cell, FlipFlop):
        return len(cell.data)
    if isinstance(cell, Matches):
        return 1
    if isinstance(cell, PriorityMatch):
        return len(cell.inputs)
    return int(cell.width)


def inputs(cell: Cell) -> list[Net]:
    """All nets that a cell reads."""
    return [net for net in cell.input_nets() if not net.is_const]


def needed(cell: Cell, bit: int) -> list[Net]:
    """The nets that one bit of a cell's output depends on."""
    if isinstance(cell, Operator):
        if cell.operator == "m":
            return [cell.inputs[0][0], cell.inputs[1][bit], cell.inputs[2][bit]]
        if cell.operator in BITWISE:
            return [value[bit] for value in cell.inputs]
        if cell.operator in LOW_BITS and cell.operator != "<<":
            return [net for value in cell.inputs for net in value[:bit + 1]]
        return [net for value in cell.inputs for net in value]
    if isinstance(cell, AssignmentList):
        nets = [cell.default[bit]]
        for assign in cell.assignments:
            if assign.start <= bit < assign.start + len(assign.value):
                nets += [assign.cond, assign.value[bit - assign.start]]
        return nets
    if isinstance(cell, FlipFlop):
        return [cell.data[bit], cell.clk, cell.arst]
    if isinstance(cell, PriorityMatch):
        return [cell.en, *cell.inputs[:bit + 1]]
    if isinstance(cell, Part):
        return [*cell.value, *cell.offset]
    if isinstance(cell, Instance):
        return []
    return inputs(cell)


def can_slice(cell: object, low: int, high: int) -> bool:
    """Whether bits of a cell's output can be written without the others."""
    if isinstance(cell, Operator):
        return (low, high) == (0, width_of(cell)) or cell.operator in BITWISE or (
            cell.operator in LOW_BITS and low == 0)
    return isinstance(cell, AssignmentList | Part)


def shortened(value: Value, *, signed: bool) -> Value:
    """An operand without its upper copies of the sign, or zeros."""
    short = list(value)
    while len(short) > 1 and (short[-1] == short[-2] if signed else short[-1] == 0):
        short.pop()
    return Value(short)
