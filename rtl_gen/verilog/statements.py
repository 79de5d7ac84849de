"""Conditional assignments: as `if` and `else` for registers, as a choice for wires."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from amaranth.hdl._nir import AssignmentList, Net, Netlist, PriorityMatch, Value

from rtl_gen.verilog.text import Expr, bare, concatenation, ternary


class Writer(Protocol):
    """What writes expressions (`rtl_gen.verilog.expressions.Expressions`)."""

    netlist: Netlist

    def value(self, value: Value) -> Expr: ...

    def case(self, match: PriorityMatch, bit: int) -> Expr | None: ...


@dataclass(slots=True)
class Assign:
    """`target` takes `value`."""

    target: Any
    value: Value


@dataclass(slots=True)
class Switch:
    """One priority match: a block for each of its branches."""

    cell: int
    branches: dict[int, list[Assign | Switch]] = field(default_factory=dict)


Block = list[Assign | Switch]


def path(netlist: Netlist, cond: Net) -> list[tuple[int, int]]:
    """(priority match, branch) from the outermost condition to the innermost."""
    steps: list[tuple[int, int]] = []
    while cond != 1:
        cell = netlist.cells[cond.cell]
        assert isinstance(cell, PriorityMatch)
        steps.append((cond.cell, cond.bit))
        cond = cell.en
    return steps[::-1]


class Tree:
    """Assignments of one or more registers in one nest of conditions, each register's in their order."""

    def __init__(self, netlist: Netlist) -> None:
        self.netlist = netlist
        self.root: Block = []

    def add(self, assignments: Iterable[tuple[Net, int, Value]],
            split: Callable[[int, Value], list[tuple[Any, Value]]]) -> None:
        """The assignments of one register, (condition, first bit, value) each, in their order; `split` says which
        targets bits from a place on are."""
        reached: dict[int, int] = {}  # block → how far this register has come in it
        for cond, start, taken in assignments:
            targets = split(start, taken)
            if not targets:
                continue
            block = self.root
            for match, branch in path(self.netlist, cond):
                place, node = self._switch(block, reached.get(id(block), 0), match)
                reached[id(block)] = place
                block = node.branches.setdefault(branch, [])
            block += [Assign(target, value) for target, value in targets]
            reached[id(block)] = len(block) - 1

    @staticmethod
    def _switch(block: Block, first: int, match: int) -> tuple[int, Switch]:
        """The switch on a priority match from a place of a block on, a new one at the end where there is none."""
        for place in range(first, len(block)):
            node = block[place]
            if isinstance(node, Switch) and node.cell == match:
                return place, node
        new = Switch(match)
        block.append(new)
        return len(block) - 1, new


def assigned(cell: AssignmentList, *, but: Net | None = None) -> Iterator[tuple[Net, int, Value]]:
    """The assignments of a list for `Tree.add`, without those under the condition `but`."""
    return ((each.cond, each.start, each.value) for each in cell.assignments if each.cond != but)


def chosen(expressions: Writer, cell: AssignmentList, low: int, high: int) -> Expr:
    """Bits of what an assignment list gives, as a nest of choices."""
    netlist = expressions.netlist
    tree = Tree(netlist)

    def split(start: int, value: Value) -> list[tuple[Any, Value]]:
        first, last = max(start, low), min(start + len(value), high)
        return [((first - low, last - low), Value(value[first - start:last - start]))] if first < last else []

    tree.add(assigned(cell), split)
    default = Value(cell.default[low:high])

    def boundaries(block: Block, found: set[int]) -> set[int]:
        for node in block:
            if isinstance(node, Assign):
                found |= set(node.target)
            else:
                for branch in node.branches.values():
                    boundaries(branch, found)
        return found

    edges = sorted(boundaries(tree.root, {0, high - low}))
    pieces = [_evaluate(expressions, tree.root, expressions.value(Value(default[a:b])), a, b)
              for a, b in zip(edges, edges[1:], strict=False)]
    return pieces[0] if len(pieces) == 1 else concatenation([bare(piece) for piece in pieces])


def _evaluate(expressions: Writer, block: Block, current: Expr, low: int, high: int) -> Expr:
    """Bits `low` to `high`, which no assignment cuts, behind a block."""
    for node in block:
        if isinstance(node, Assign):
            start, stop = node.target
            if start <= low and high <= stop:
                current = expressions.value(Value(node.value[low - start:high - start]))
            continue
        match = expressions.netlist.cells[node.cell]
        result, before = current, current
        for bit in reversed(range(len(match.inputs))):
            if match.inputs[bit] == 0:
                continue
            branch = _evaluate(expressions, node.branches.get(bit, []), before, low, high)
            test = expressions.case(match, bit)
            if bit not in node.branches and result.text == before.text:
                continue
            result = branch if test is None else ternary(test, branch, result)
        current = result
    return current
