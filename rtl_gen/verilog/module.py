"""A module of Verilog from a scope of the netlist: ports, declarations, and statements in the order of the source."""

from __future__ import annotations

from amaranth.hdl._nir import AssignmentList

from rtl_gen.verilog.body import Body, bits, text, wrapped
from rtl_gen.verilog.expressions import enum_name
from rtl_gen.verilog.netlist import Design, Scope
from rtl_gen.verilog.parts import add_instances, add_memory_ports, add_properties, memory_declarations, struct
from rtl_gen.verilog.registers import add_registers
from rtl_gen.verilog.text import constant
from rtl_gen.verilog.wires import Wire


def module_text(design: Design, scope: Scope, modules: dict[int, str], *, field_wires: bool, memory_attributes: bool
                ) -> str:
    """The module of a scope, from `module` to `endmodule`.

    Parameters
    ----------
    modules : scope → module name, of the scope's parts
    field_wires : declare also the fields that nobody reads
    memory_attributes : ask for block RAM where a memory is large
    """
    body = Body(design, scope)
    add_registers(body)
    add_memory_ports(body)
    add_instances(body, modules)
    add_properties(body)
    _add_outputs(body)
    _add_operators(body)  # the last, for what the others read and could not write in place
    statements = "".join(body.text())
    memories = memory_declarations(body, attributes=memory_attributes)
    head = f"module {scope.name} (\n{_ports(body)}\n);\n"
    return head + _declarations(body, memories, field_wires=field_wires) + statements + "endmodule\n"


def _add_outputs(body: Body) -> None:
    """Output ports that are not the name of a register or an operator themselves."""
    named = {wire.name for wire in body.wires.all if wire.kind.startswith("output")}
    for order, port in enumerate(port for port in body.scope.ports if not port.is_input):
        if port.name not in named:
            body.add_last(order, wrapped(f"  assign {port.name} = {struct(body, port, '    ')};"))


def _add_operators(body: Body) -> None:
    """Wires that operators drive: those with a name, and what the statements so far could not write in place."""
    for index, wires in body.wires.of_cell.items():
        for wire in wires:
            _add_operator(body, index, wire)
    done: set[int] = set()
    while len(done) < len(body.expressions.temporary):
        for index, wire in list(body.expressions.temporary.items()):
            if index not in done:
                done.add(index)
                _add_operator(body, index, wire)


def _add_operator(body: Body, index: int, wire: Wire) -> None:
    cell = body.design.netlist.cells[index]
    low, width = wire.low, len(wire.value)
    value = body.expressions.drive(index, low, low + width)
    location = cell.src_loc
    if isinstance(cell, AssignmentList):
        location = next((assign.src_loc for assign in cell.assignments if assign.start < low + width
                         and low < assign.start + len(assign.value)), location)
    body.add(location, index, wrapped(f"  assign {body.expressions.use(wire)} = {value.text};"))


def _ports(body: Body) -> str:
    kinds = {wire.name: wire.kind for wire in body.wires.all if wire.kind == "output reg"}
    return ",\n".join(f"  {'input wire' if port.is_input else kinds.get(port.name, 'output wire')} "
                      f"{bits(len(port.value))}{port.name}" for port in body.scope.ports)


def _declarations(body: Body, memories: list[str], *, field_wires: bool) -> str:
    """States, registers and wires by width, memories, and names of fields."""
    groups: dict[tuple[str, int], list[str]] = {}
    states: list[str] = []
    fields: list[str] = []
    for wire in (*body.wires.all, *body.expressions.temporary.values()):
        width = len(wire.value)
        if wire.enum:
            states += [f"  localparam {bits(width)}{enum_name(wire, name)} = {constant(value, width)};"
                       for value, name in wire.enum.items()]
        if wire.parent is not None:
            if field_wires or wire.used:
                place = f"[{wire.low}]" if width == 1 else f"[{wire.low + width - 1}:{wire.low}]"
                whole = width == len(wire.parent.value)
                fields.append(f"  wire {bits(width)}{wire.name} = {wire.parent.name}{'' if whole else place};")
        elif wire.kind in ("reg", "wire") and wire.used:
            groups.setdefault((wire.kind, width), []).append(wire.name)
    lines = [line for (kind, width), names in groups.items()
             for line in wrapped(f"  {kind} {bits(width)}{', '.join(names)};")]
    return text([*states, *lines, *memories, *fields])
