"""Simplifications of a netlist that a reader would make: names for the same net are one, constants are folded, equal
expressions are one.

Amaranth makes a cell for each use of a Python expression, and a list of assignments for each field that is just wired
on. Nothing here looks further than one cell: what remains is what the source says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amaranth.hdl._nir import (
    AssignmentList,
    AsyncProperty,
    Cell,
    FlipFlop,
    Instance,
    Matches,
    Net,
    Netlist,
    Operator,
    Part,
    PriorityMatch,
    SyncReadPort,
    SyncWritePort,
    Value,
)

from rtl_gen.verilog.cells import width_of

ZERO, ONE = Net.from_const(0), Net.from_const(1)
Same = dict[Net, Net]


def simplify(netlist: Netlist) -> None:
    """Simplify a resolved netlist in place until nothing changes. Cells that nobody reads stay."""
    same: Same = {}
    changed = True
    while changed:
        changed = False
        seen: dict[Any, int] = {}
        for index, cell in enumerate(netlist.cells):
            changed |= _substitute(cell, same)
            for bit, net in _aliases(cell):
                _join(same, Net.from_cell(index, bit), net)
            key = _key(cell)
            first = seen.setdefault(key, index) if key is not None else index
            if first != index:
                for bit in range(width_of(cell)):
                    _join(same, Net.from_cell(index, bit), Net.from_cell(first, bit))
    netlist.top.ports_o = {name: _many(same, value) for name, value in netlist.top.ports_o.items()}
    for signal in netlist.signals:
        netlist.signals[signal] = _many(same, netlist.signals[signal])


def _join(same: Same, net: Net, other: Net) -> None:
    """From now on `net` is read as `other`."""
    other = _last(same, other)
    if other != net:
        same.setdefault(net, other)


def _last(same: Same, net: Net) -> Net:
    while net in same and same[net] != net:
        net = same[net]
    return net


def _key(cell: Cell) -> Any:
    """Equal keys mean equal outputs."""
    if isinstance(cell, Operator):
        return cell.module_idx, cell.operator, cell.inputs
    if isinstance(cell, Matches):
        return cell.module_idx, "matches", cell.value, cell.patterns
    if isinstance(cell, PriorityMatch):
        return cell.module_idx, "priority", cell.en, cell.inputs
    if isinstance(cell, Part):
        return cell.module_idx, "part", cell.value, cell.value_signed, cell.offset, cell.width, cell.stride
    return None


def _aliases(cell: Cell) -> list[tuple[int, Net]]:
    """(bit, net) of outputs that are just another net."""
    if isinstance(cell, AssignmentList):
        return list(_wired(cell))
    if isinstance(cell, Operator):
        value = _folded(cell)
        return list(enumerate(value)) if value is not None else []
    if isinstance(cell, Matches) and cell.value.is_const:
        word = "".join(str(int(net)) for net in reversed(cell.value))
        return [(0, Net.from_const(int(any(_fits(word, pattern) for pattern in cell.patterns))))]
    if isinstance(cell, PriorityMatch):
        return list(_settled(cell))
    return []


def _fits(word: str, pattern: str) -> bool:
    return all(wanted in ("-", bit) for wanted, bit in zip(pattern, word, strict=True))


def _settled(cell: PriorityMatch) -> Iterator[tuple[int, Net]]:
    """Branches that are never taken, and the one that is taken whenever the match is looked at."""
    decided = cell.en == ZERO
    for bit, net in enumerate(cell.inputs):
        if decided or net == ZERO:
            yield bit, ZERO
        elif net == ONE:
            if all(before == ZERO for before in cell.inputs[:bit]):
                yield bit, cell.en
            decided = True


def _wired(cell: AssignmentList) -> list[tuple[int, Net]]:
    """Bits that take one net in every case."""
    found: dict[int, Net | None] = dict(enumerate(cell.default))
    for assign in cell.assignments:
        for bit, net in enumerate(assign.value, assign.start):
            if assign.cond == ONE:
                found[bit] = net
            elif found[bit] != net:
                found[bit] = None
    return [(bit, net) for bit, net in sorted(found.items()) if net is not None]


def _folded(cell: Operator) -> Value | None:
    """What an operator gives where an operand decides it."""
    name, first, rest = cell.operator, cell.inputs[0], cell.inputs[1:]
    if name == "m":
        test, yes, no = first[0], rest[0], rest[1]
        if test.is_const or yes == no:
            return yes if test == ONE or yes == no else no
        return None
    if name in ("b", "r|", "r&", "r^") and len(first) == 1:
        return first
    if name == "~" and first.is_const:
        return Value(Net.from_const(1 - net.const) for net in first)
    if name in ("<<", "u>>", "s>>") and rest[0].is_const:
        return _shifted(name, first, sum(net.const << bit for bit, net in enumerate(rest[0])))
    if name in ("u//", "u%") and rest[0].is_const:
        return _divided(name, first, sum(net.const << bit for bit, net in enumerate(rest[0])))
    if name in ("&", "|", "^", "+"):
        return _neutral(name, first, rest[0])
    if name in ("u<", "u>=", "u>", "u<=", "==", "!="):
        return _decided(name, first, rest[0])
    return None


def _shifted(name: str, value: Value, by: int) -> Value:
    by = min(by, len(value))
    if name == "<<":
        return Value((*[ZERO] * by, *value[:len(value) - by]))
    return Value((*value[by:], *[value[-1] if name == "s>>" else ZERO] * by))


def _divided(name: str, value: Value, by: int) -> Value | None:
    """Quotient or remainder by a power of two."""
    if by.bit_count() != 1:
        return None
    bits = by.bit_length() - 1
    return _shifted("u>>", value, bits) if name == "u//" else Value((*value[:bits], *[ZERO] * (len(value) - bits)))


def _neutral(name: str, a: Value, b: Value) -> Value | None:
    neutral = ONE if name == "&" else ZERO
    for one, other in ((a, b), (b, a)):
        if all(net == neutral for net in one):
            return other
        if name in ("&", "|") and all(net == 1 - neutral for net in one):
            return one
    return a if name in ("&", "|") and a == b else None


def _decided(name: str, a: Value, b: Value) -> Value | None:
    if a.is_const and b.is_const:
        x, y = (sum(net.const << bit for bit, net in enumerate(value)) for value in (a, b))
        return Value(Net.from_const(int({"u<": x < y, "u>=": x >= y, "u>": x > y, "u<=": x <= y, "==": x == y,
                                         "!=": x != y}[name])))
    none, full = all(net == ZERO for net in b), all(net == ONE for net in b)
    if name == "u>=" and none or name == "u<=" and full:
        return Value(ONE)
    if name == "u<" and none or name == "u>" and full:
        return Value(ZERO)
    if len(b) == 1 and (name in ("==", "u>=") and full or name in ("!=", "u>") and none):
        return a
    return None


def trimmed(name: str, a: Value, b: Value) -> tuple[Value, Value]:
    """Operands of a comparison without upper bits that are the same in both."""
    if name.startswith("s"):
        return a, b
    width = len(a)
    while width > 1 and a[width - 1] == b[width - 1]:
        width -= 1
    return Value(a[:width]), Value(b[:width])


def _many(same: Same, value: Value) -> Value:
    return value if same.keys().isdisjoint(value) else Value(_last(same, net) for net in value)


def _substitute(cell: Cell, same: Same) -> bool:
    """Let a cell read `same[net]` wherever it reads `net`; returns whether it read one."""
    changed = False

    def many(value: Value) -> Value:
        nonlocal changed
        found = _many(same, value)
        changed |= found is not value
        return found

    def one(net: Net) -> Net:
        return many(Value(net))[0]

    if isinstance(cell, Operator):
        cell.inputs = tuple(many(value) for value in cell.inputs)
    elif isinstance(cell, Part):
        cell.value, cell.offset = many(cell.value), many(cell.offset)
    elif isinstance(cell, Matches):
        cell.value = many(cell.value)
    elif isinstance(cell, PriorityMatch):
        cell.en, cell.inputs = one(cell.en), many(cell.inputs)
    elif isinstance(cell, AssignmentList):
        cell.default = many(cell.default)
        for assign in cell.assignments:
            assign.cond, assign.value = one(assign.cond), many(assign.value)
        cell.assignments = tuple(assign for assign in cell.assignments if assign.cond != ZERO)
    elif isinstance(cell, FlipFlop):
        cell.data, cell.clk, cell.arst = many(cell.data), one(cell.clk), one(cell.arst)
    elif isinstance(cell, SyncReadPort):
        cell.addr, cell.en, cell.clk = many(cell.addr), one(cell.en), one(cell.clk)
    elif isinstance(cell, SyncWritePort):
        cell.addr, cell.data, cell.en, cell.clk = many(cell.addr), many(cell.data), many(cell.en), one(cell.clk)
    elif isinstance(cell, AsyncProperty):
        cell.test, cell.en = one(cell.test), one(cell.en)
    elif isinstance(cell, Instance):
        cell.ports_i = {name: many(value) for name, value in cell.ports_i.items()}
    return changed
