"""Memories, instances and properties of a module."""

from __future__ import annotations

from amaranth.hdl._nir import AsyncProperty, Instance, Memory, Net, SyncReadPort, SyncWritePort, Value

from rtl_gen.verilog.body import COLUMNS, Body, always, bits, wrapped
from rtl_gen.verilog.netlist import Port

BLOCK_BITS = 4096  # a memory of so many bits is asked for as a block RAM, by the names of AMD's and of Lattice's tools
BLOCK_RAM = '(* ram_style = "block", syn_ramstyle = "block_ram" *) '


def memory_declarations(body: Body, *, attributes: bool) -> list[str]:
    """The memories."""
    lines = []
    for index, cell in body.live(Memory):
        name = body.wires.memories[index]
        block = BLOCK_RAM if attributes and cell.width * cell.depth >= BLOCK_BITS else ""
        lines.append(f"  {block}reg {bits(cell.width)}{name} [0:{cell.depth - 1}];")
    return lines


def add_memory_ports(body: Body) -> None:
    """Writes and reads of memories, each at a clock edge."""
    value = body.expressions.value
    for index, cell in body.live(SyncWritePort):
        name, lines, at = body.wires.memories[cell.memory], [], 0
        while at < len(cell.en):
            end = at
            while end < len(cell.en) and cell.en[end] == cell.en[at]:
                end += 1
            part = "" if (at, end) == (0, len(cell.en)) else f"[{end - 1}:{at}]"
            lines += wrapped(f"    {_enable(body, cell.en[at])}{name}[{value(cell.addr).text}]{part} <= "
                             f"{value(Value(cell.data[at:end])).text};")
            at = end
        body.add(cell.src_loc, index, always(value(Value(cell.clk)).text, lines, single=len(set(cell.en)) == 1))
    for index, cell in body.live(SyncReadPort):
        name = body.wires.memories[cell.memory]
        word = body.expressions.use(body.wires.of_net[Net.from_cell(index, 0)][0][0])
        lines = wrapped(f"    {_enable(body, cell.en)}{word} <= {name}[{value(cell.addr).text}];")
        body.add(cell.src_loc, index, always(value(Value(cell.clk)).text, lines, single=True))


def _enable(body: Body, net: Net) -> str:
    return "" if net == 1 else f"if ({body.expressions.value(Value(net)).text}) "


def add_instances(body: Body, modules: dict[int, str]) -> None:
    """Instances of the module's parts, called by `modules`, and of shared modules."""
    for part in body.scope.parts:
        pins = [(port.name, struct(body, port, "      ") if port.is_input else _carried(body, port))
                for port in part.ports]
        location = body.design.netlist.modules[part.index].cell_src_loc
        body.add(location, part.index, instance(modules[part.index], body.wires.short(part), pins))
    for index, cell in body.live(Instance):
        pins = [(name, body.expressions.value(value).text) for name, value in cell.ports_i.items()]
        for name, (start, width) in cell.ports_o.items():
            value = Value(Net.from_cell(index, start + bit) for bit in range(width))
            wire = next((wire for wire, _ in body.wires.of_net.get(value[0], []) if wire.value == value), None)
            pins.append((name, body.expressions.use(wire) if wire is not None else ""))
        body.add(body.scope.instances.get(cell.name), index, instance(cell.type, cell.name, pins))


def _carried(body: Body, port: Port) -> str:
    """The wire of an output port of a part."""
    return next(body.expressions.use(wire) for net in port.value if not net.is_const
                for wire, _ in body.wires.of_net[net] if wire.value == port.value and wire.parent is None)


def struct(body: Body, port: Port, indent: str) -> str:
    """What a port carries; a struct that does not fit a line has a line for each field, with its name."""
    text = body.expressions.value(port.value).text
    fields = sorted((field for field in body.wires.fields(port.signal, port.value) if len(field.path) == 1),
                    key=lambda field: -field.low)
    if len(text) + len(port.name) <= COLUMNS - 20 or len(fields) < 2 or isinstance(fields[0].path[0], int) or (
            sum(field.width for field in fields) != len(port.value)):
        return text
    lines = []
    for field in fields:
        value = body.expressions.value(field.of(port.value)).text
        lines += wrapped(f"{indent}{value}{',' if field.low else ''}  // {field.path[0]}")
    return "{\n" + "\n".join(lines) + f"\n{indent[2:]}}}"


def instance(module: str, name: str, pins: list[tuple[str, str]]) -> list[str]:
    """Lines of an instance."""
    lines = []
    for place, (port, value) in enumerate(pins):
        lines += wrapped(f"    .{port}({value}){',' if place + 1 < len(pins) else ''}")
    return [f"  {module} {name} (", *lines, "  );"]


def add_properties(body: Body) -> None:
    """What a checker of a proof asserts, assumes or wants to be reached."""
    for index, cell in body.live(AsyncProperty):
        enable, test = (body.expressions.value(Value(net)).text for net in (cell.en, cell.test))
        body.add(cell.src_loc, index, wrapped(f"  always @* if ({enable}) {cell.kind} ({test});"))
