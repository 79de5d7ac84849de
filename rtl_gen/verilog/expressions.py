"""Verilog expressions of nets: names where there are any, else the operators that drive them, written in place.

Amaranth's operands are as wide as their results, so no expression here relies on Verilog's widening: what is wider says
so, by zeros or by copies of the sign.
"""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl._nir import AssignmentList, FlipFlop, Matches, Net, Operator, Part, PriorityMatch, Value

from rtl_gen.verilog import source, statements
from rtl_gen.verilog.cells import can_slice, cared, operands, shortened, width_of
from rtl_gen.verilog.netlist import Design
from rtl_gen.verilog.simplify import trimmed
from rtl_gen.verilog.text import BINARY, UNARY, Expr, bare, concatenation, constant, inside, inverted, ternary
from rtl_gen.verilog.wires import Wire, Wires

_COMPARE = {"u<": "<", "u>": ">", "u<=": "<=", "u>=": ">=", "s<": "<", "s>": ">", "s<=": "<=", "s>=": ">=", "==": "==",
            "!=": "!="}
_SYMBOLS = {"u>>": ">>", "<<": "<<", "+": "+", "-": "-", "&": "&", "|": "|", "^": "^"}
SHORT = 28  # an expression of so many characters is written again rather than given a name


class Expressions:
    """Expressions in one module."""

    def __init__(self, design: Design, wires: Wires, uses: Mapping[int, int]) -> None:
        self.design, self.wires, self.netlist, self._uses = design, wires, design.netlist, uses
        self.temporary: dict[int, Wire] = {}
        self._cache: dict[tuple[int, int, int], Expr] = {}

    def value(self, value: Value, hint: Wire | None = None) -> Expr:
        """An expression of as many bits as `value`; a constant beside an enumeration is called by its name."""
        if hint is not None and hint.enum and all(net.is_const for net in value):
            number = sum(int(net) << bit for bit, net in enumerate(value))
            if number in hint.enum:
                return Expr(enum_name(hint, hint.enum[number]))
        chunks = self._chunks(value)
        if len(chunks) == 1:
            return chunks[0][1]
        merged: list[tuple[Net | None, int, str]] = []  # (bit that is repeated, how often, text)
        for net, expr in chunks:
            if net is not None and merged and merged[-1][0] == net:
                merged[-1] = (net, merged[-1][1] + 1, merged[-1][2])
            else:
                merged.append((net, 1, bare(expr)))
        return concatenation([text if times == 1 else f"{{{times}{{{text}}}}}" for _, times, text in merged])

    def root(self, value: Value, hint: Wire | None = None) -> Expr:
        """What stands alone at the right of an assignment to as many bits."""
        net = value[0]
        if net.is_cell and net.cell and net not in self.wires.of_net and self._alone(net.cell):
            whole = len(value) == width_of(self.netlist.cells[net.cell])
            product = self.netlist.cells[net.cell].operator == "*"  # its lower bits are the product of lower bits
            if self._uses.get(net.cell) == 1 and (whole or product) and (
                    value == self.design.outputs(net.cell, len(value))):
                return self.drive(net.cell, 0, len(value))
        return self.value(value, hint)

    def _chunks(self, value: Value) -> list[tuple[Net | None, Expr]]:
        """Pieces from the lowest bit up; a single net comes with itself."""
        found: list[tuple[Net | None, Expr]] = []
        at = 0
        while at < len(value):
            end, expr = self._run(value, at)
            found.append((value[at] if end == at + 1 and not value[at].is_const else None, expr))
            at = end
        return found

    def _run(self, value: Value, at: int) -> tuple[int, Expr]:
        """The longest piece from a bit on that is one constant, wire or operator: where it ends, and its text."""
        net = value[at]
        if net.is_const:
            end = at
            whole = self._whole_wire(value, at)
            if whole is not None:
                return whole
            while end < len(value) and value[end].is_const:
                end += 1
            return end, Expr(constant(sum(int(value[bit]) << (bit - at) for bit in range(at, end)), end - at))
        whole = self._whole_wire(value, at)
        if whole is not None:
            return whole
        homes = self.wires.of_net.get(net)
        if homes:
            wire, bit = min(homes, key=lambda home: len(home[0].value))
            return self._slice(wire, bit, value, at)
        end, low = at, net.bit
        unread = isinstance(self.netlist.cells[net.cell], FlipFlop)  # a field of a register that nobody reads
        while end < len(value) and value[end] == Net.from_cell(net.cell, low + end - at) and not (
                unread and value[end] in self.wires.of_net):
            end += 1
        if unread:
            return end, Expr(constant(0, end - at))
        return end, self.cell(net.cell, low, low + end - at)

    def _whole_wire(self, value: Value, at: int) -> tuple[int, Expr] | None:
        homes = [wire for wire, bit in self.wires.of_net.get(value[at], []) if bit == 0
                 and value[at:at + len(wire.value)] == wire.value]
        if not homes:
            return None
        wire = max(homes, key=lambda wire: len(wire.value))
        return at + len(wire.value), Expr(self.use(wire))

    def _slice(self, wire: Wire, bit: int, value: Value, at: int) -> tuple[int, Expr]:
        end = at
        while end < len(value) and bit + end - at < len(wire.value) and value[end] == wire.value[bit + end - at]:
            end += 1
        high = bit + end - at - 1
        name = self.use(wire)
        if len(wire.value) == 1:
            return end, Expr(name)
        return end, Expr(f"{name}[{bit}]" if high == bit else f"{name}[{high}:{bit}]")

    def use(self, wire: Wire) -> str:
        """A wire's name; its declaration is wanted."""
        wire.used = True
        if wire.parent is not None:
            wire.parent.used = True
        return wire.name

    # Operators.

    def cell(self, index: int, low: int, high: int) -> Expr:
        """Bits of what a cell without a name drives: in place, or through a wire that is called by the function that
        made it, or by a number."""
        cell = self.netlist.cells[index]
        if index in self.temporary:
            return self._of_temporary(index, low, high)
        if self._may_inline(index) and can_slice(cell, low, high):
            return self.drive(index, low, high)
        if self._cheap(index) and can_slice(cell, low, high):
            expr = self.drive(index, low, high)
            if len(expr.text) <= SHORT:
                return expr
        width = self.design.used_width(index)
        if not can_slice(cell, 0, width):
            width = width_of(cell)
        function = source.function_at(cell.src_loc)
        name = self.wires.fresh(function) if function else f"_{len(self.temporary)}_"
        wire = Wire(name, self.design.outputs(index, width), "wire")
        self.temporary[index] = wire
        return self._of_temporary(index, low, high)

    def _of_temporary(self, index: int, low: int, high: int) -> Expr:
        wire = self.temporary[index]
        wire.used = True
        beyond = high - max(low, len(wire.value))
        if beyond > 0:  # bits that only bits depend on that nobody reads
            zeros = constant(0, beyond)
            return Expr(zeros) if low >= len(wire.value) else concatenation(
                [bare(self._of_temporary(index, low, len(wire.value))), zeros])
        if len(wire.value) == 1:
            return Expr(wire.name)
        if low == 0 and high == len(wire.value):
            return Expr(wire.name)
        return Expr(f"{wire.name}[{low}]" if high == low + 1 else f"{wire.name}[{high - 1}:{low}]")

    def _may_inline(self, index: int) -> bool:
        return self._uses.get(index, 0) <= 1 and not self._alone(index)

    def _alone(self, index: int) -> bool:
        """Whether a cell's meaning depends on the width around it, so that it stands in an assignment of its own."""
        cell = self.netlist.cells[index]
        return isinstance(cell, Operator) and cell.operator in ("*", "s>>")

    def _cheap(self, index: int) -> bool:
        cell = self.netlist.cells[index]
        if not isinstance(cell, Operator) or self._alone(index):
            return False
        return all(net.is_const or net in self.wires.of_net for value in cell.inputs for net in value)

    def drive(self, index: int, low: int, high: int) -> Expr:
        """The expression that drives bits of a cell's output."""
        key = index, low, high
        if key not in self._cache:
            self._cache[key] = self._drive(index, low, high)
        return self._cache[key]

    def _drive(self, index: int, low: int, high: int) -> Expr:
        cell = self.netlist.cells[index]
        if isinstance(cell, AssignmentList):
            return statements.chosen(self, cell, low, high)
        if isinstance(cell, Part):
            return self._part(cell, low, high)
        assert isinstance(cell, Operator), cell
        return self._operator(cell, low, high)

    def _operator(self, cell: Operator, low: int, high: int) -> Expr:
        name = cell.operator
        sliced = operands(cell, low, high)
        if name == "m":
            return ternary(self.value(sliced[0]), self.value(sliced[1]), self.value(sliced[2]))
        if name == "*":
            return self._product(*sliced)
        if name == "s>>":
            return Expr(f"$signed({self.value(sliced[0]).text}) >>> {inside(self.value(sliced[1]))}", BINARY, ">>>")
        if len(sliced) == 1:
            operand = self.value(sliced[0])
            if name in ("~", "-"):
                return Expr(f"{name}{inside(operand, 'unary')}", UNARY)
            symbol = {"b": "|", "r|": "|", "r&": "&", "r^": "^"}[name]
            if len(sliced[0]) == 1:
                return operand
            return Expr(f"{symbol}{inside(operand, 'unary')}", UNARY)
        if name in _COMPARE:
            return self._comparison(name, *sliced)
        if name not in _SYMBOLS:
            raise ValueError(f"no Verilog for the operator {name}: a divider is a unit, not an expression")
        symbol = _SYMBOLS[name]
        left, right = (self.value(value) for value in sliced)
        return Expr(f"{inside(left, name)} {symbol} {inside(right, name if name in ('&', '|', '^') else '')}", BINARY,
                    name)

    def _comparison(self, name: str, a: Value, b: Value) -> Expr:
        a, b = trimmed(name, a, b)
        left, right = self.value(a, self._enum(b)), self.value(b, self._enum(a))
        if name.startswith("s"):
            return Expr(f"$signed({left.text}) {_COMPARE[name]} $signed({right.text})", BINARY, "compare")
        return Expr(f"{inside(left)} {_COMPARE[name]} {inside(right)}", BINARY, "compare")

    def _enum(self, value: Value) -> Wire | None:
        for wire, bit in self.wires.of_net.get(value[0], []) if value else []:
            if wire.enum and bit == 0 and wire.value == value:
                return wire
        return None

    def _product(self, a: Value, b: Value) -> Expr:
        """A product of operands without their extensions: a multiplier is as large as those."""
        zeros = [shortened(value, signed=False) for value in (a, b)]
        signs = [shortened(value, signed=True) for value in (a, b)]
        width = len(a)
        if sum(map(len, zeros)) <= sum(map(len, signs)) and all(len(value) < width for value in zeros):
            left, right = (self.value(value) for value in zeros)
            return Expr(f"{inside(left)} * {inside(right)}", BINARY, "*")
        left, right = (self.value(value) for value in signs)
        return Expr(f"$signed({left.text}) * $signed({right.text})", BINARY, "*")

    def _part(self, cell: Part, low: int, high: int) -> Expr:
        """Bits that a signal chooses: an index where the value has a name, else a choice of its pieces."""
        pieces = -(-len(cell.value) // cell.stride)
        fill = cell.value[-1] if cell.value_signed else Net.from_const(0)
        value = Value((*cell.value, *[fill] * (cell.width + len(cell.value))))
        count = min(pieces, 1 << len(cell.offset))
        wire = self._named(cell.value)
        if wire is not None and count == 1 << len(cell.offset) and cell.stride == cell.width and (
                len(cell.value) == count * cell.stride) and (low, high) == (0, cell.width) and count > 2:
            offset = self.value(cell.offset).text
            if cell.width == 1:
                return Expr(f"{wire}[{offset}]")
            return Expr(f"{wire}[{offset} * {cell.width} +: {cell.width}]")
        result = self.value(Value([fill] * (high - low)))
        if count == 1 << len(cell.offset):
            count -= 1
            result = self.value(Value(value[count * cell.stride + low:count * cell.stride + high]))
        for place in reversed(range(count)):
            one = Value(value[place * cell.stride + low:place * cell.stride + high])
            test = Expr(f"{inside(self.value(cell.offset))} == {constant(place, len(cell.offset))}", BINARY, "compare")
            if len(cell.offset) == 1:
                test = inverted(self.value(cell.offset))
            result = ternary(test, self.value(one), result)
        return result

    def _named(self, value: Value) -> str | None:
        homes = [wire for wire, bit in self.wires.of_net.get(value[0], []) if wire.value == value]
        return self.use(homes[0]) if homes else None

    # Conditions.

    def case(self, match: PriorityMatch, bit: int) -> Expr | None:
        """What chooses a branch, given that none before it was chosen; None where nothing else is left."""
        net = match.inputs[bit]
        if net.is_const:
            return None if net.const else Expr(constant(0, 1))
        cell = self.design.cell(net)
        assert isinstance(cell, Matches)
        tests = [self._pattern(cell.value, pattern) for pattern in cell.patterns]
        if len(tests) == 1:
            return tests[0]
        return Expr(" | ".join(inside(test, "|") for test in tests), BINARY, "|")

    def _pattern(self, value: Value, pattern: str) -> Expr:
        bits = cared(pattern)
        chosen = Value(value[bit] for bit in bits)
        wanted = Value(Net.from_const(int(pattern[-1 - bit])) for bit in bits)
        if len(bits) == 1:
            return self.value(chosen) if wanted[0].const else inverted(self.value(chosen))
        return self._comparison("==", chosen, wanted)


def enum_name(wire: Wire, name: str) -> str:
    """A state's name in Verilog."""
    return f"{wire.name}_{name}".upper()
