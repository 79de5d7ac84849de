"""A mapped module as Verilog for Verilator: an expression a gate, a register a flip-flop, both from the functions of
the liberty file; its nets are counted in C++ (`rtl_gen/asic/toggles.cpp`) in every cycle.

The module has the ports of the one it was made from and takes its place under any testbench that has `phase`, a
number below 8 of what is going on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rtl_gen.asic.library import Cell, Library
from rtl_gen.asic.mapping import Netlist
from stamp_hw.errors import ToolError

CHUNK = 512  # nets a call hands over
MEMORY = "$mem_v2"


def nets(netlist: Netlist) -> list[int]:
    """The nets that are driven, in a fixed order, which is that of the counts."""
    found: dict[int, None] = {}
    for direction, bits in netlist.ports.values():
        if direction == "input":
            found |= {bit: None for bit in bits if isinstance(bit, int)}
    for _, pins, _ in netlist.cells.values():
        for bits in pins.values():
            found |= {bit: None for bit in bits if isinstance(bit, int)}
    return list(found)


def verilog(netlist: Netlist, library: Library, phase: str) -> str:
    """Text of the module; `phase` is the hierarchical name of the testbench's."""
    wires = nets(netlist)
    lines = [f"module {netlist.top} ({', '.join(netlist.ports)});"]
    for name, (direction, bits) in netlist.ports.items():
        lines.append(f"  {direction} wire [{len(bits) - 1}:0] {name};")
    registers = {net for kind, pins, _ in netlist.cells.values() if kind in library.cells and library.cells[kind].ff
                 for net in _state(library.cells[kind], pins)}
    lines += [f"  {'reg' if net in registers else 'wire'} n{net};" for net in wires]
    for name, (direction, bits) in netlist.ports.items():
        for index, bit in enumerate(bits):
            if direction == "input" and isinstance(bit, int):
                lines.append(f"  assign n{bit} = {name}[{index}];")
            elif direction == "output":
                lines.append(f"  assign {name}[{index}] = {_net(bit)};")
    for number, (kind, pins, parameters) in enumerate(netlist.cells.values()):
        if kind == MEMORY:
            lines += _memory(f"memory{number}", pins, parameters)
        elif kind in library.cells:
            lines += _gate(library.cells[kind], pins)
        else:
            lines += _kept(f"kept{number}", kind, netlist.kept[kind], pins)
    lines += _counted(wires, phase)
    return "\n".join([*lines, "endmodule", ""])


def _net(bit: int | str) -> str:
    return f"n{bit}" if isinstance(bit, int) else f"1'b{bit if bit in ('0', '1') else '0'}"


def _vector(bits: list[int | str]) -> str:
    return f"{{{', '.join(_net(bit) for bit in reversed(bits))}}}"


def _state(cell: Cell, pins: dict[str, list[int | str]]) -> Iterator[int]:
    for name in cell.outputs:
        yield from (bit for bit in pins.get(name, ()) if isinstance(bit, int))


def _gate(cell: Cell, pins: dict[str, list[int | str]]) -> Iterator[str]:
    """Assignments of a gate, or the clocked ones of a flip-flop: of IQ the next state, of IQN its inverse."""
    values = {name: _net(pins[name][0]) if name in pins and pins[name] else "1'b0" for name in cell.inputs}
    for name, pin in cell.outputs.items():
        outputs = [bit for bit in pins.get(name, ()) if isinstance(bit, int)]
        if not outputs or pin.function is None:
            continue
        if cell.ff is None:
            yield f"  assign n{outputs[0]} = {pin.function.verilog(values)};"
        else:
            after = cell.ff.next_state.verilog(values)
            state = dict(zip(cell.ff.state, (after, f"(~{after})"), strict=False))
            yield f"  always @(posedge {values[cell.ff.clock]}) n{outputs[0]} <= {pin.function.verilog(state)};"


def _kept(name: str, module: str, directions: dict[str, str], pins: dict[str, list[int | str]]) -> Iterator[str]:
    ports = []
    for port, bits in pins.items():
        if directions[port] == "output":
            yield f"  wire [{len(bits) - 1}:0] {name}_{port};"
            yield from (f"  assign n{bit} = {name}_{port}[{index}];" for index, bit in enumerate(bits)
                        if isinstance(bit, int))
            ports.append(f".{port}({name}_{port})")
        else:
            ports.append(f".{port}({_vector(bits)})")
    yield f"  {module} {name} ({', '.join(ports)});"


def _memory(name: str, pins: dict[str, list[int | str]], parameters: dict[str, Any]) -> Iterator[str]:
    """A memory of one writing port, any number of reading ones, one clock; what is read while it is written is the old
    word, which the generated Verilog never uses."""
    width, size, address, reads = (int(str(parameters[key]), 2) for key in ("WIDTH", "SIZE", "ABITS", "RD_PORTS"))
    writes = int(str(parameters["WR_PORTS"]), 2)
    clocked = str(parameters["RD_CLK_ENABLE"])[::-1]
    yield f"  reg [{width - 1}:0] {name} [0:{size - 1}];"
    for port in range(writes):
        where = _vector(pins["WR_ADDR"][port * address : (port + 1) * address])
        word = _vector(pins["WR_DATA"][port * width : (port + 1) * width])
        mask = _vector(pins["WR_EN"][port * width : (port + 1) * width])
        yield (f"  always @(posedge {_net(pins['WR_CLK'][port])}) if (|{mask}) {name}[{where}] <= "
               f"({name}[{where}] & ~{mask}) | ({word} & {mask});")
    for port in range(reads):
        where = _vector(pins["RD_ADDR"][port * address : (port + 1) * address])
        read = f"{name}_read{port}"
        if clocked[port] == "1":
            yield f"  reg [{width - 1}:0] {read};"
            yield (f"  always @(posedge {_net(pins['RD_CLK'][port])}) if ({_net(pins['RD_EN'][port])}) "
                   f"{read} <= {name}[{where}];")
        else:
            yield f"  wire [{width - 1}:0] {read} = {name}[{where}];"
        for index in range(width):
            bit = pins["RD_DATA"][port * width + index]
            if isinstance(bit, int):
                yield f"  assign n{bit} = {read}[{index}];"


def _counted(wires: list[int], phase: str) -> Iterator[str]:
    """Hands the nets to C++ as they are before a rising edge, when everything of the cycle has settled."""
    yield (f'  import "DPI-C" function void stamp_nets(input int first, input int phase, input bit [{CHUNK - 1}:0] '
           'nets);')
    yield "  always @(posedge clk) begin"
    for first in range(0, len(wires), CHUNK):
        part: list[int | str] = [*wires[first : first + CHUNK]]
        part += ["0"] * (CHUNK - len(part))
        yield f"    stamp_nets({first}, {phase}, {_vector(part)});"
    yield "  end"
    yield '  import "DPI-C" function void stamp_counted();'
    yield "  final stamp_counted();"


def check(netlist: Netlist, library: Library) -> None:
    """Raise ToolError for what `verilog` cannot express."""
    for kind, pins, parameters in netlist.cells.values():
        if kind == MEMORY and int(str(parameters["WR_PORTS"]), 2) > 1:
            raise ToolError("a memory of several writing ports", where=netlist.top, got=len(pins["WR_CLK"]),
                            expected="one")
