"""Cells of the netlist: how wide they are, what they read, and which bits of theirs depend on which."""

from __future__ import annotations

from amaranth.hdl._nir import (
    AssignmentList,
    AsyncProperty,
    Cell,
    FlipFlop,
    Instance,
    Matches,
    Memory,
    Net,
    Operator,
    Part,
    PriorityMatch,
    SyncReadPort,
    SyncWritePort,
    Top,
    Value,
)

LOW_BITS = ("~", "-", "+", "*", "&", "^", "|", "m", "<<")  # their low bits depend on low bits only
BITWISE = ("~", "&", "^", "|", "m")
WRITTEN = (Top, Operator, Part, Matches, PriorityMatch, AssignmentList, FlipFlop, Memory, SyncReadPort, SyncWritePort,
           Instance, AsyncProperty)


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


def cared(pattern: str) -> list[int]:
    """The bits that a pattern of a match looks at, from the lowest on."""
    return [bit for bit, letter in enumerate(reversed(pattern)) if letter != "-"]


def operands(cell: Operator, low: int, high: int) -> list[Value]:
    """What an operator reads for bits `low` to `high` of its output: as much of each operand, where that suffices."""
    if cell.operator not in LOW_BITS:
        return list(cell.inputs)
    first, last = (1 if cell.operator == "m" else 0), (1 if cell.operator == "<<" else len(cell.inputs))
    return [Value(value[low:high]) if first <= place < last else value for place, value in enumerate(cell.inputs)]


def inputs(cell: Cell) -> list[Net]:
    """All nets that a cell reads."""
    return [net for net in cell.input_nets() if not net.is_const]


def needed(cell: Cell, bit: int) -> list[Net]:
    """The nets that one bit of a cell's output depends on."""
    if isinstance(cell, Operator):
        low = bit if cell.operator in BITWISE else 0
        return [net for value in operands(cell, low, bit + 1) for net in value]
    if isinstance(cell, AssignmentList):
        nets = [cell.default[bit]]
        for assign in cell.assignments:
            if assign.start <= bit < assign.start + len(assign.value):
                nets += [assign.cond, assign.value[bit - assign.start]]
        return nets
    if isinstance(cell, FlipFlop):
        return [cell.data[bit], cell.clk]
    if isinstance(cell, PriorityMatch):
        return [cell.en, *cell.inputs[:bit + 1]]
    if isinstance(cell, Instance):
        return []
    return inputs(cell)


def check(cell: Cell) -> None:
    """Raise ValueError for what is not written as Verilog, before anything of it is lost."""
    if not isinstance(cell, WRITTEN):
        raise ValueError(f"no Verilog for {type(cell).__name__} at {cell.src_loc}")
    if isinstance(cell, FlipFlop) and cell.arst != 0:
        raise ValueError(f"an asynchronous reset at {cell.src_loc}")
    if isinstance(cell, FlipFlop | SyncReadPort | SyncWritePort) and cell.clk_edge != "pos":
        raise ValueError(f"a falling clock edge at {cell.src_loc}")
    if isinstance(cell, Memory) and any(cell.init):
        raise ValueError(f"memory {cell.name} has initial values at {cell.src_loc}, which no chip loads")
    if isinstance(cell, SyncReadPort) and cell.transparent_for:
        raise ValueError(f"a transparent port of a memory at {cell.src_loc}, which no chip has")


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
