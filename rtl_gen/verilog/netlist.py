"""The netlist behind a component: Amaranth's own, cell by cell, with what nobody reads left out.

Amaranth lowers a design to cells (operators, flip-flops, lists of conditional assignments, memory ports) whose operands
are already as wide as their result. `rtl_gen.verilog.module` writes those as Verilog. The netlist is internal to
Amaranth; the version is bound in pyproject.toml, and tests/rtl_gen/test_verilog_equal.py proves the text equal to what
Amaranth writes by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from amaranth.hdl._ast import Signal, ValueCastable
from amaranth.hdl._ir import Fragment, PortDirection, build_netlist
from amaranth.hdl._mem import MemoryInstance
from amaranth.hdl._nir import AsyncProperty, Cell, Instance, Net, Netlist, SyncReadPort, SyncWritePort, Value
from amaranth.lib import wiring

from rtl_gen.verilog.cells import check, inputs, needed, width_of
from rtl_gen.verilog.order import drop_overwritten
from rtl_gen.verilog.simplify import simplify
from rtl_gen.verilog.text import legal


@dataclass(slots=True)
class Port:
    """A port of a module: `value` is what it carries."""

    name: str
    is_input: bool
    value: Value
    signal: Signal | None


@dataclass(slots=True)
class Scope:
    """A module of the netlist: its component, the signals that are its own, its ports, the modules in it."""

    index: int
    name: str
    component: Any
    own: list[tuple[Signal, str]]
    ports: list[Port] = field(default_factory=list)
    parts: list[Scope] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    instances: dict[str, tuple[str, int]] = field(default_factory=dict)  # name of a shared module's instance → source


class Design:
    """The netlist of `component`, and which of its nets and cells are of use."""

    def __init__(self, component: wiring.Component, name: str) -> None:
        ports = {}
        for path, member, value in component.signature.flatten(component):
            direction = PortDirection.Input if member.flow is wiring.In else PortDirection.Output
            ports["__".join(map(str, path))] = _plain(value), direction
        fragment = Fragment.get(component, None)
        self._design = fragment.prepare(ports=ports, hierarchy=(name,))
        self.netlist: Netlist = build_netlist(self._design)
        simplify(self.netlist)
        drop_overwritten(self.netlist)
        for cell in self.netlist.cells:
            check(cell)
        self._modules = iter(range(len(self.netlist.modules)))
        self.top = self._scope(self._design.fragment)
        self.live: set[Net] = set()
        self.live_cells: set[int] = set()
        self._results = {net for value in self.netlist.top.ports_o.values() for net in value}
        wanted = list(self._results)
        while wanted:  # a port is there in whole or not at all, so what it carries is wanted as well
            self._mark(wanted)
            self._locate()
            self._ports(self.top)
            wanted = [net for net in self._carried(self.top) if not net.is_const and net not in self.live]

    def scopes(self) -> list[Scope]:
        """The modules that have something in them, the top first, then as they are instantiated."""
        found: list[Scope] = []

        def visit(scope: Scope) -> None:
            found.append(scope)
            for part in scope.parts:
                visit(part)

        def prune(scope: Scope) -> bool:
            scope.parts = [part for part in scope.parts if prune(part)]
            return bool(scope.parts) or any(self.cells(scope, Cell))

        prune(self.top)
        visit(self.top)
        return found

    def cells(self, scope: Scope, *kinds: type) -> Iterator[tuple[int, Any]]:
        """(index, cell) of a module's cells that somebody needs, of these kinds."""
        for index in scope.cells:
            cell = self.netlist.cells[index]
            if index in self.live_cells and isinstance(cell, kinds):
                yield index, cell

    def cell(self, net: Net) -> Cell:
        """The cell that drives a net."""
        return self.netlist.cells[net.cell]

    def drives(self, scope: Scope, net: Net) -> bool:
        """Whether a net is driven in a module or in one below it."""
        return net.cell != 0 and self.cell(net).module_idx in _subtree(scope)

    def outputs(self, cell: int, width: int) -> Value:
        """The nets that a cell with one output drives."""
        return Value(Net.from_cell(cell, bit) for bit in range(width))

    def used_width(self, cell: int) -> int:
        """Bits of a cell's output up to the highest that somebody reads."""
        width = width_of(self.netlist.cells[cell])
        while width > 1 and Net.from_cell(cell, width - 1) not in self.live:
            width -= 1
        return width

    def _scope(self, fragment: Fragment) -> Scope:
        """Scopes in the order in which Amaranth numbers its modules."""
        index = next(self._modules)
        module = self.netlist.modules[index]
        component = next((origin for origin in fragment.origins or () if isinstance(origin, wiring.Component)), None)
        scope = Scope(index, "_".join(module.name), component, [])
        foreign = set()
        for part, name, location in fragment.subfragments:
            if type(part) is Fragment:
                scope.parts.append(self._scope(part))
                foreign |= {id(signal) for _, _, signal in _members(scope.parts[-1].component)}
            elif isinstance(part, MemoryInstance):
                for port in (*part._write_ports, *part._read_ports):
                    foreign |= {id(signal) for signal in (port._addr, port._en, port._data)}
            else:
                scope.instances[name] = location
                foreign |= {id(signal) for origin in part.origins or () if isinstance(origin, wiring.Component)
                            for _, _, signal in _members(origin)}
        scope.own = [(signal, name) for signal, name in module.signal_names.items() if id(signal) not in foreign]
        scope.cells = list(module.cells)
        return scope

    def _carried(self, scope: Scope) -> Iterator[Net]:
        """Nets of the ports of all modules below one."""
        for part in scope.parts:
            for port in part.ports:
                yield from port.value
            yield from self._carried(part)

    def _mark(self, wanted: list[Net]) -> None:
        """Find what the wanted nets, an instance or a memory depend on."""
        cells, nets = self.netlist.cells, list(wanted)
        memories: dict[int, list[int]] = {}
        for index, cell in enumerate(cells):
            if isinstance(cell, Instance | AsyncProperty):
                self.live_cells.add(index)
                nets += inputs(cell)
            elif isinstance(cell, SyncWritePort):
                memories.setdefault(cell.memory, []).append(index)
        while nets:
            net = nets.pop()
            if net.is_const or net in self.live:
                continue
            self.live.add(net)
            if not net.cell:
                continue
            cell = cells[net.cell]
            self.live_cells.add(net.cell)
            nets += needed(cell, net.bit)
            if isinstance(cell, SyncReadPort) and cell.memory not in self.live_cells:
                self.live_cells |= {cell.memory, *memories.get(cell.memory, ())}
                for write in memories.get(cell.memory, ()):
                    nets += inputs(cells[write])

    def _locate(self) -> None:
        """In which modules each net is read, and which nets each module reads and drives."""
        self._users: dict[Net, set[int]] = {}
        self._read_in: dict[int, set[Net]] = {}
        self._driven_in: dict[int, set[Net]] = {}
        for index in self.live_cells:
            cell = self.netlist.cells[index]
            for net in inputs(cell):
                self._users.setdefault(net, set()).add(cell.module_idx)
                self._read_in.setdefault(cell.module_idx, set()).add(net)
        for net in self.live:
            self._driven_in.setdefault(self.netlist.cells[net.cell].module_idx, set()).add(net)

    def _ports(self, scope: Scope) -> set[int]:
        """Give a scope and those in it their ports; returns the modules of its subtree."""
        inside = {scope.index}
        scope.ports = []
        for part in scope.parts:
            inside |= self._ports(part)
        top = scope is self.top
        covered: set[Net] = set()
        for name, is_input, signal in _members(scope.component):
            value = self.netlist.signals[signal] if signal in self.netlist.signals else Value()
            if value and (top or any(self._crosses(net, inside, is_input) for net in value)):
                scope.ports.append(Port(legal(name), is_input, value, signal))
                covered |= set(value)
        # What no port of the component carries: the clock and its reset.
        names = {self.netlist.signals[signal]: name
                 for signal, name in self.netlist.modules[scope.index].signal_names.items()}
        if top:
            names |= {self._top_input(name): name for name in self.netlist.top.ports_i}
        for is_input in (True, False):
            near = self._read_in if is_input else self._driven_in
            left = sorted({net for module in inside for net in near.get(module, set()) - covered
                           if self._crosses(net, inside, is_input)})
            starts = {Net.from_cell(0, start) for start, _ in self.netlist.top.ports_i.values()}
            for value in _consecutive(left, starts):
                name = legal(names.get(value, f"net_{value[0].cell}_{value[0].bit}"))
                while any(port.name == name for port in scope.ports):
                    name += "_"
                scope.ports.append(Port(name, is_input, value, None))
        scope.ports.sort(key=lambda port: ("clk", "rst").index(port.name) if port.name in ("clk", "rst") else 2)
        return inside

    def _top_input(self, name: str) -> Value:
        start, width = self.netlist.top.ports_i[name]
        return Value(Net.from_cell(0, bit) for bit in range(start, start + width))

    def _crosses(self, net: Net, inside: set[int], is_input: bool) -> bool:
        """Whether a net comes into a subtree where it is read, or leaves it to where it is read."""
        if net.is_const or net not in self.live:
            return False
        driven_inside = self.netlist.cells[net.cell].module_idx in inside and net.cell != 0
        users = self._users.get(net, set())
        if is_input:
            return not driven_inside and bool(users & inside)
        return driven_inside and (bool(users - inside) or net in self._results)


def _consecutive(nets: list[Net], starts: set[Net]) -> Iterator[Value]:
    """Runs of nets of one cell, cut where one of `starts` begins."""
    at = 0
    while at < len(nets):
        end = at + 1
        while end < len(nets) and nets[end] == nets[at] + (end - at) and nets[end] not in starts:
            end += 1
        yield Value(nets[at:end])
        at = end


def _subtree(scope: Scope) -> set[int]:
    """A module and those below it."""
    return {scope.index}.union(*(_subtree(part) for part in scope.parts))


def _plain(value: Any) -> Any:
    return value.as_value() if isinstance(value, ValueCastable) else value


def _members(component: Any) -> Iterator[tuple[str, bool, Signal]]:
    """(name, is input, signal) of a component's ports."""
    if component is None:
        return
    for path, member, value in component.signature.flatten(component):
        signal = _plain(value)
        if isinstance(signal, Signal) and len(signal):
            yield "__".join(map(str, path)), member.flow is wiring.In, signal
