"""Registers of a module: those that share a condition share a clocked block, resets at its end or in front."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from amaranth.hdl._nir import AssignmentList, FlipFlop, Matches, Net, PriorityMatch, Value

from rtl_gen.verilog import source
from rtl_gen.verilog.body import COLUMNS, Body, Location, always, wrapped
from rtl_gen.verilog.order import check_order
from rtl_gen.verilog.statements import Assign, Block, Switch, Tree, assigned, path
from rtl_gen.verilog.uses import conditions
from rtl_gen.verilog.wires import Wire

Register = tuple[int, FlipFlop]
ZERO, ONE = Net.from_const(0), Net.from_const(1)


def add_registers(body: Body) -> None:
    """The clocked blocks of a module. Registers with one enable or none share one where the same comment explains
    them."""
    plain: dict[tuple[str, Net, Net | None], list[Register]] = {}
    others: list[Register] = []
    for index, cell in body.live(FlipFlop):
        enable = _enable(body, index)
        if enable == ZERO:
            others.append((index, cell))
        else:
            reason = source.reason(_location(body, index, cell), body.files)
            plain.setdefault((reason, cell.clk, enable), []).append((index, cell))
    for group in (*_groups(body, others), *plain.values()):
        _add_block(body, group)


def _enable(body: Body, index: int) -> Net | None:
    """The one condition under which a register takes something, None where it always does, 0 where there are more."""
    assigns = _list(body, index)
    if assigns is None:
        return None
    reset = _reset(body, assigns)
    found = {assign.cond for assign in assigns.assignments if assign.cond != reset}
    if assigns.default != body.design.outputs(index, len(assigns.default)):
        return ZERO if found else None
    if len(found) != 1:
        return ZERO
    (only,) = found
    if only == 1:
        return None
    match = body.design.cell(only)
    return only if isinstance(match, PriorityMatch) and match.en == 1 and only.bit == 0 else ZERO


def _groups(body: Body, registers: list[Register]) -> Iterator[list[Register]]:
    """Registers that are joined by conditions, in the order of the first of them."""
    leader: dict[int, int] = {}
    of_switch: dict[int, int] = {}

    def root(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    for index, _ in registers:
        leader[index] = index
        for match in _switches(body, index):
            if match in of_switch:
                leader[root(index)] = root(of_switch[match])
            of_switch[match] = index
    groups: dict[int, list[Register]] = {}
    for index, cell in registers:
        groups.setdefault(root(index), []).append((index, cell))
    yield from groups.values()


def _list(body: Body, index: int) -> AssignmentList | None:
    """The assignments of a register, if it has more than one value to take."""
    found = body.design.netlist.cells[body.wires.lists[index]] if index in body.wires.lists else None
    assert found is None or isinstance(found, AssignmentList)
    return found


def _reset(body: Body, cell: AssignmentList) -> Net | None:
    """The condition of the last assignment, where that is the reset of the clock domain."""
    last = cell.assignments[-1]
    if last.cond == 1 or not last.value.is_const or len(last.value) != len(cell.default):
        return None
    match = body.design.cell(last.cond)
    if not isinstance(match, PriorityMatch) or match.en != 1 or len(match.inputs) != 1 or match.inputs[0].is_const:
        return None
    test = body.design.cell(match.inputs[0])
    resets = {body.design.netlist.signals[signal] for signal, name in body.scope.own if name == "rst"}
    resets |= {port.value for port in body.scope.ports if port.is_input and port.name == "rst"}
    return last.cond if isinstance(test, Matches) and test.patterns == ("1",) and test.value in resets else None


def _switches(body: Body, index: int) -> set[int]:
    """The conditions under which a register takes something, its reset left out."""
    assigns = _list(body, index)
    if assigns is None:
        return set()
    reset = _reset(body, assigns)
    return conditions(body.design, assigns) - ({reset.cell} if reset is not None else set())


def _location(body: Body, index: int, cell: FlipFlop) -> Location | None:
    """Where a register is first assigned, or the condition of that stands, or it is declared, in one of the files of
    the component, if it is in any of them."""
    assigns = _list(body, index)
    found: list[Location] = []
    if assigns is not None:
        reset = _reset(body, assigns)
        for assign in assigns.assignments:
            if assign.cond != reset:
                steps = reversed(path(body.design.netlist, assign.cond))
                found += [assign.src_loc, *(body.design.netlist.cells[match].src_loc for match, _ in steps)]
    found.append(cell.src_loc)
    return next((location for location in found if location and location[0] in body.files), found[0])


def split(wires: list[Wire], start: int, value: Value) -> list[tuple[Any, Value]]:
    """Bits of a register from `start` on, over the wires that it is made of: ((wire, low, high), value) each."""
    found = []
    for wire in wires:
        first, last = max(start, wire.low), min(start + len(value), wire.low + len(wire.value))
        if first < last:
            found.append(((wire, first - wire.low, last - wire.low), Value(value[first - start:last - start])))
    return found


def _add_block(body: Body, group: list[Register]) -> None:
    """One block for registers of one clock."""
    tree = Tree(body.design.netlist)
    clears: Block = []
    resets: set[Value] = set()
    all_reset = True
    for index, cell in group:
        wires, assigns = body.wires.fields_of[index], _list(body, index)
        always_takes = cell.data if assigns is None else assigns.default
        first = [] if always_takes == body.design.outputs(index, len(always_takes)) else [(ONE, 0, always_takes)]
        reset = _reset(body, assigns) if assigns is not None else None
        tree.add([*first, *(assigned(assigns, but=reset) if assigns is not None else ())], partial(split, wires))
        if reset is None or assigns is None:
            all_reset = False
            continue
        resets.add(body.design.cell(body.design.cell(reset).inputs[0]).value)
        clears += [Assign(target, value) for target, value in split(wires, 0, assigns.assignments[-1].value)]
    check_order(tree.root)
    clocks = {cell.clk for _, cell in group}
    if len(clocks) > 1 or len(resets) > 1:
        raise ValueError(f"registers of several clocks or resets share a condition at {_first(body, group)}")
    clock = body.expressions.value(Value(clocks.pop())).text
    lines = _block(body, tree.root, 2)
    single = len(lines) == 1 or len(tree.root) == 1
    if resets:
        clear = _branch(f"if ({body.expressions.value(resets.pop()).text})", _block(body, clears, 3), 2)
        single = all_reset
        if all_reset and len(tree.root) == 1 and isinstance(tree.root[0], Switch):
            lines = [*clear, f"    else {lines[0].lstrip()}", *lines[1:]]
        elif all_reset and lines:
            lines = [*clear, *_branch("else", _block(body, tree.root, 3), 2)]
        else:
            lines += clear
    body.add(_first(body, group), group[0][0], always(clock, lines, single=single))


def _first(body: Body, group: list[Register]) -> Location | None:
    """The first line of the component's own source that assigns one of the registers."""
    locations = [_location(body, index, cell) for index, cell in group]
    return min((loc for loc in locations if loc is not None and loc[0] in body.files), default=locations[0],
               key=lambda loc: (body.files.index(loc[0]), loc[1]))


def _block(body: Body, block: Block, depth: int) -> list[str]:
    """Lines of a block of statements."""
    lines: list[str] = []
    for node in block:
        if isinstance(node, Assign):
            wire, low, high = node.target
            target = body.expressions.use(wire)
            if (low, high) != (0, len(wire.value)):
                target += f"[{low}]" if high == low + 1 else f"[{high - 1}:{low}]"
            lines += wrapped(f"{'  ' * depth}{target} <= {body.expressions.root(node.value, wire).text};")
        else:
            lines += _switch(body, node, depth)
    return lines


def _switch(body: Body, node: Switch, depth: int) -> list[str]:
    """`if`, `else if`, `else`."""
    match = body.design.netlist.cells[node.cell]
    assert isinstance(match, PriorityMatch)
    lines: list[str] = []
    word, last = "if", max(node.branches)
    for bit in range(last + 1):
        if match.inputs[bit] == 0:
            continue
        inner = _block(body, node.branches.get(bit, []), depth + 1)
        test = body.expressions.case(match, bit)
        if test is None:
            lines += _branch("else", inner, depth)
        else:
            lines += _branch(f"{word} ({test.text})", inner or [f"{'  ' * (depth + 1)};"], depth)
        word = "else if"
    return lines


def _branch(head: str, inner: list[str], depth: int) -> list[str]:
    indent = "  " * depth
    if len(inner) == 1 and not inner[0].lstrip().startswith("if"):  # an `else` would be the inner one's
        short = f"{indent}{head} {inner[0].strip()}"
        return [short] if len(short) <= COLUMNS else [*wrapped(f"{indent}{head}"), inner[0]]
    return [*wrapped(f"{indent}{head} begin"), *inner, f"{indent}end"]
