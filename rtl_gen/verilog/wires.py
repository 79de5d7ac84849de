"""Names in a module of Verilog: which wire or register carries a net, fields of structs included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.hdl._ast import Signal
from amaranth.hdl._nir import AssignmentList, Cell, FlipFlop, Instance, Memory, Net, Operator, Part, SyncReadPort, Value

from rtl_gen.verilog.cells import inputs, width_of
from rtl_gen.verilog.netlist import Design, Scope
from rtl_gen.verilog.struct_fields import Field, fields
from rtl_gen.verilog.text import legal


@dataclass(slots=True, eq=False)
class Wire:
    """A name for nets; one with a `parent` names bits of that from bit `low` on."""

    name: str
    value: Value
    kind: str  # input, output, reg, wire
    parent: Wire | None = None
    low: int = 0
    used: bool = False
    enum: dict[int, str] | None = None


class Wires:
    """The named wires of a module."""

    def __init__(self, design: Design, scope: Scope) -> None:
        self.design, self.scope = design, scope
        self.all: list[Wire] = []
        self.of_net: dict[Net, list[tuple[Wire, int]]] = {}
        self._known: dict[Net, int] = {}  # names of a net that are not of a part that hands it through
        self.of_cell: dict[int, list[Wire]] = {}  # the wires that an operator drives
        self.fields_of: dict[int, list[Wire]] = {}  # a flip-flop that is written field by field
        self.memories: dict[int, str] = {}
        self._taken: set[str] = {port.name for port in scope.ports} | {self.short(part) for part in scope.parts}
        self._taken |= {cell.name for _, cell in design.cells(scope, Instance)}
        self._by_value: dict[Value, list[Signal]] = {}
        netlist = design.netlist
        for signal in netlist.modules[scope.index].signal_names:
            self._by_value.setdefault(netlist.signals[signal], []).append(signal)
        self.lists = self._lists_of_registers()
        self._inputs()
        self._registers()
        self._operators()

    def fresh(self, name: str) -> str:
        """A name that nobody has."""
        name = base = legal(name)
        number = 0
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name

    def add(self, name: str, value: Value, kind: str, parent: Wire | None = None, low: int = 0,
            part: Scope | None = None) -> Wire:
        """A wire, and its nets' name from now on. Of a `part`'s output what the part only hands through has its name
        first from where it comes from: named after the part, it could drive itself."""
        wire = Wire(name, value, kind, parent, low)
        self.all.append(wire)
        for bit, net in enumerate(value):
            if not net.is_const:
                names = self.of_net.setdefault(net, [])
                through = part is not None and not self.design.drives(part, net)
                names.insert(len(names) if through else self._known.get(net, 0), (wire, bit))
                self._known[net] = self._known.get(net, 0) + (not through)
        return wire

    def fields(self, signal: Signal | None, value: Value) -> list[Field]:
        """The fields at any depth of a signal, or of one with the same value, outer ones first."""
        for each in ([signal] if signal is not None else []) + self._by_value.get(value, []):
            found = [field for field in fields(each) if field.path]
            if found:
                return found
        return []

    def _vector(self, name: str, value: Value, kind: str, signal: Signal | None, part: Scope | None = None) -> Wire:
        wire = self.add(name, value, kind, part=part)
        for field in self.fields(signal, value):
            self.add(self.fresh(_joined(name, field)), field.of(value), "wire", wire, field.low, part)
        return wire

    def _inputs(self) -> None:
        for port in self.scope.ports:
            if port.is_input:
                self._vector(port.name, port.value, "input", port.signal)
        for part in self.scope.parts:
            short = self.short(part)
            for port in part.ports:
                if not port.is_input:
                    self._vector(self.fresh(f"{short}_{port.name}"), port.value, "wire", port.signal, part)
        for index, cell in self.design.cells(self.scope, Instance):
            for name, (start, width) in cell.ports_o.items():
                value = Value(Net.from_cell(index, start + bit) for bit in range(width))
                if any(net in self.design.live for net in value):
                    self._vector(self.fresh(f"{cell.name}_{name}"), value, "wire", None)
        for index, cell in self.design.cells(self.scope, Memory):
            self.memories[index] = self.fresh(cell.name)

    def short(self, part: Scope) -> str:
        """Name of a part's instance."""
        return str(self.design.netlist.modules[part.index].name[-1])

    def _registers(self) -> None:
        """Flip-flops under the name of their signal: as a vector, or field by field where they are written so."""
        names = {id(signal): name for signal, name in self.scope.own}
        outputs = {port.value: port for port in self.scope.ports if not port.is_input}
        for index, cell in self.design.cells(self.scope, FlipFlop):
            value = self.design.outputs(index, len(cell.data))
            signals = [signal for signal in self._by_value.get(value, []) if id(signal) in names]
            signals.sort(key=lambda signal: (signal.src_loc != cell.src_loc, names[id(signal)].startswith("$")))
            signal = signals[0] if signals else None
            leaves = [field for field in self.fields(signal, value) if field.leaf]
            port = outputs.get(value)
            own = names[id(signal)] if signal is not None else "register"
            if leaves and self._by_field(cell, index, leaves):
                self.fields_of[index] = list(self._pieces(legal(own), value, leaves, "reg"))
                continue
            kind, name = ("output reg", port.name) if port is not None else ("reg", self.fresh(own))
            wire = self._vector(name, value, kind, signal)
            wire.enum = self._enum(signal)
            self.fields_of[index] = [wire]
        for index, cell in self.design.cells(self.scope, SyncReadPort):
            value = self.design.outputs(index, cell.width)
            name = self.fresh(f"{self.memories[cell.memory]}_read")
            self._vector(name, value, "reg", None)

    def _enum(self, signal: Signal | None) -> dict[int, str] | None:
        if signal is None:
            return None
        return next((field.names for field in fields(signal) if not field.path), None)

    def _by_field(self, cell: FlipFlop, index: int, leaves: list[Field]) -> bool:
        """Whether some field is written by itself, or nobody reads one."""
        live = self.design.live
        if any(not any(Net.from_cell(index, leaf.low + bit) in live for bit in range(leaf.width)) for leaf in leaves):
            return True
        if index not in self.lists:
            return False
        return self._in_pieces(self.lists[index], len(cell.data))

    def _in_pieces(self, index: int, width: int) -> bool:
        """Whether some assignment of a list is of a part of its bits."""
        cell = self.design.netlist.cells[index]
        return isinstance(cell, AssignmentList) and any(len(assign.value) < width for assign in cell.assignments)

    def _pieces(self, name: str, value: Value, leaves: list[Field], kind: str) -> Iterator[Wire]:
        """A wire for each field that somebody reads."""
        for leaf in leaves:
            if any(net in self.design.live for net in leaf.of(value)):
                wire = self.add(self.fresh(_joined(name, leaf)), leaf.of(value), kind)
                wire.low = leaf.low
                yield wire

    def _operators(self) -> None:
        """Signals that an operator drives, from bit 0 on, as far as anyone reads it."""
        outputs = [port for port in self.scope.ports if not port.is_input]
        whole = [(port.name, port.signal, port.value, True) for port in outputs]
        whole += [(name, signal, self.design.netlist.signals[signal], False) for signal, name in self.scope.own
                  if not name.startswith("$")]
        named = [entry for entry in whole if entry[3]]
        for name, owner, value, is_port in whole:
            if not is_port:
                named.append((name, owner, value, False))
            named += [(_joined(name, field), None, field.of(value), False) for field in self.fields(owner, value)]
        cells = {index for index, _ in self.design.cells(self.scope, Operator, Part, AssignmentList)}
        cells -= set(self.lists.values())
        for name, signal, value, is_port in named:
            first = value[0] if value else None
            if first is None or not first.is_cell or first.cell not in cells or first.bit or first.cell in self.of_cell:
                continue
            if not any(net in self.design.live for net in value):
                continue
            core = 0
            while core < len(value) and value[core] == first + core:
                core += 1
            width = width_of(self.design.netlist.cells[first.cell])
            if core not in (width, self.design.used_width(first.cell)):
                continue
            if core < len(value):  # what widens it is no part of it: a port of its own, and whoever reads it, says so
                if is_port or any(net not in (0, value[core - 1]) for net in value[core:]):
                    continue
                value, signal = Value(value[:core]), None
            leaves = [field for field in self.fields(signal, value) if field.leaf]
            if leaves and self._in_pieces(first.cell, core):
                self.of_cell[first.cell] = list(self._pieces(name, value, leaves, "wire"))
                continue
            wire = self._vector(name if is_port else self.fresh(name), value, "output" if is_port else "wire", signal)
            self.of_cell[first.cell] = [wire]

    def _lists_of_registers(self) -> dict[int, int]:
        """Flip-flop → the assignment list that it takes, where nobody else reads that."""
        readers: dict[int, set[int]] = {}
        for index, cell in self.design.cells(self.scope, Cell):
            for net in inputs(cell):
                readers.setdefault(net.cell, set()).add(index)
        shared = {net.cell for port in (*self.scope.ports, *(port for part in self.scope.parts for port in part.ports))
                  for net in port.value if not net.is_const}
        found = {}
        for index, cell in self.design.cells(self.scope, FlipFlop):
            data = cell.data
            source = data[0].cell if data[0].is_cell else 0
            if isinstance(self.design.netlist.cells[source], AssignmentList) and source not in shared and (
                    readers[source] == {index} and data == self.design.outputs(source, len(data))):
                found[index] = source
        return found


def _joined(name: str, field: Field) -> str:
    return "_".join(map(str, (name, *field.path)))
