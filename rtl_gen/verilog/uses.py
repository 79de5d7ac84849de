"""How often each operator's result is read in a module: what is read once is written where it is read."""

from __future__ import annotations

from amaranth.hdl._nir import (
    AssignmentList,
    AsyncProperty,
    Cell,
    FlipFlop,
    Instance,
    Matches,
    Operator,
    Part,
    SyncReadPort,
    SyncWritePort,
    Value,
)

from rtl_gen.verilog.cells import cared, operands
from rtl_gen.verilog.netlist import Design, Scope
from rtl_gen.verilog.statements import path
from rtl_gen.verilog.wires import Wires


def tested(design: Design, match: int) -> list[Value]:
    """The values that the branches of a priority match look at."""
    found = []
    for net in design.netlist.cells[match].inputs:
        if not net.is_const:
            cell = design.cell(net)
            assert isinstance(cell, Matches)
            found.append(Value(cell.value[bit] for bit in sorted({bit for pattern in cell.patterns
                                                                  for bit in cared(pattern)})))
    return found


def conditions(design: Design, cell: AssignmentList) -> set[int]:
    """The priority matches under which a list assigns something."""
    return {match for assign in cell.assignments for match, _ in path(design.netlist, assign.cond)}


def uses(design: Design, scope: Scope, wires: Wires) -> dict[int, int]:
    """Cell → how many pieces of its output stand in statements of a module."""
    found: dict[int, int] = {}

    def read(value: Value) -> None:
        at = 0
        while at < len(value):
            net, end = value[at], at + 1
            if not net.is_const and net.cell:
                while end < len(value) and value[end] == net + (end - at):
                    end += 1
                found[net.cell] = found.get(net.cell, 0) + 1
            at = end

    held = set(wires.lists.values())
    clocked: set[int] = set()  # conditions of registers, which share their blocks: each is written once
    for index, cell in design.cells(scope, Cell):
        for value in _read_by(design, index, wires):
            read(value)
        if isinstance(cell, AssignmentList):
            if index in held:
                clocked |= conditions(design, cell)
                continue
            for match in conditions(design, cell):
                for value in tested(design, match):
                    read(value)
    for match in clocked:
        for value in tested(design, match):
            read(value)
    for port in (*(port for port in scope.ports if not port.is_input),
                 *(port for part in scope.parts for port in part.ports if port.is_input)):
        read(port.value)
    return found


def _read_by(design: Design, index: int, wires: Wires) -> list[Value]:
    """The values in the statement of a cell, conditions left out."""
    cell = design.netlist.cells[index]
    if isinstance(cell, Operator):
        return operands(cell, 0, design.used_width(index))
    if isinstance(cell, Part):
        return [cell.value, cell.offset]
    if isinstance(cell, AssignmentList):
        return [cell.default, *(assign.value for assign in cell.assignments)]
    if isinstance(cell, FlipFlop):
        return [] if index in wires.lists else [cell.data]
    if isinstance(cell, SyncReadPort):
        return [cell.addr, Value(cell.en)]
    if isinstance(cell, SyncWritePort):
        return [cell.addr, Value(dict.fromkeys(cell.en)), cell.data]
    if isinstance(cell, Instance):
        return list(cell.ports_i.values())
    if isinstance(cell, AsyncProperty):
        return [Value(cell.test), Value(cell.en)]
    return []
