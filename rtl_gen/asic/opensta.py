"""OpenSTA's figure of the same netlist with the same wires, where `sta` is on PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rtl_gen.asic.energy import Wires
from rtl_gen.asic.library import Library
from rtl_gen.asic.mapping import Netlist

_PERIOD_NS = 1000.0
_HEAD = '*DATE ""\n*VENDOR ""\n*PROGRAM ""\n*VERSION ""\n*DESIGN_FLOW ""\n'
_UNITS = '*DIVIDER /\n*DELIMITER :\n*BUS_DELIMITER [ ]\n' '*T_UNIT 1 NS\n*C_UNIT 1 FF\n*R_UNIT 1 OHM\n*L_UNIT 1 HENRY\n'


def path_ps(netlist: Netlist, library: Library, wires: Wires) -> float | None:
    """The slowest way in ps; None without `sta`, or for a netlist with memories or kept modules, which it cannot
    read."""
    program = shutil.which("sta")
    if program is None or any(kind not in library.cells for kind, _, _ in netlist.cells.values()):
        return None
    commands = ("read_liberty cells.lib", "read_verilog top.v", f"link_design {netlist.top}",
                f"create_clock -name clk -period {_PERIOD_NS / library.ns:g} [get_ports clk]",
                f"set_input_transition {library.slew / library.ns:g} [all_inputs]",
                "set_input_delay 0 -clock clk [all_inputs]", "set_output_delay 0 -clock clk [all_outputs]",
                "read_spef top.spef", "report_checks -path_delay max -digits 6", "exit")
    with tempfile.TemporaryDirectory(prefix="stamp-sta-") as name:
        folder = Path(name)
        for file, text in (("cells.lib", library.text), ("top.v", _structural(netlist, library)),
                           ("top.spef", "\n".join(_spef(netlist, library, wires))), ("run.tcl", "\n".join(commands))):
            (folder / file).write_text(text, encoding="utf-8")
        done = subprocess.run([program, "-exit", "run.tcl"], cwd=folder, capture_output=True, text=True, check=False)
    slack = re.search(r"(-?[\d.]+)\s+slack", done.stdout)
    return None if slack is None else 1000 * (_PERIOD_NS - float(slack[1]) * library.ns)


def _pins(netlist: Netlist) -> Iterator[tuple[str, str, str, str]]:
    """(instance, cell, pin, net) of every connection."""
    for number, (kind, pins, _) in enumerate(netlist.cells.values()):
        for name, bits in pins.items():
            for bit in bits:
                yield f"u{number}", kind, name, f"n{bit}" if isinstance(bit, int) else f"1'b{bit if bit in '01' else 0}"


def _structural(netlist: Netlist, library: Library) -> str:
    """The netlist as instances of cells."""
    lines = [f"module {netlist.top} ({', '.join(netlist.ports)});"]
    connected: dict[tuple[str, str], list[str]] = {}
    for instance, kind, name, net in _pins(netlist):
        connected.setdefault((kind, instance), []).append(f".{name}({net})")
    nets = {net for _, _, _, net in _pins(netlist)} | {
        f"n{bit}" for _, bits in netlist.ports.values() for bit in bits if isinstance(bit, int)}
    lines += [f"  {direction} [{len(bits) - 1}:0] {name};" for name, (direction, bits) in netlist.ports.items()]
    lines += [f"  wire {net};" for net in sorted(nets) if net.startswith("n")]
    for name, (direction, bits) in netlist.ports.items():
        for index, bit in enumerate(bits):
            port = name if len(bits) == 1 else f"{name}[{index}]"
            net = f"n{bit}" if isinstance(bit, int) else f"1'b{bit}"
            lines.append(f"  assign {port} = {net};" if direction == "output" else f"  assign {net} = {port};")
    lines = [line.replace(" [0:0] ", " ") for line in lines]
    lines += [f"  {kind} {instance} ({', '.join(pins)});" for (kind, instance), pins in connected.items()]
    return "\n".join([*lines, "endmodule", ""])


def _spef(netlist: Netlist, library: Library, wires: Wires) -> Iterator[str]:
    """Wire of each net, lumped."""
    yield f'*SPEF "IEEE 1481-1998"\n*DESIGN "{netlist.top}"\n{_HEAD}{_UNITS}'
    ends: dict[str, list[tuple[str, str, str]]] = {}
    for instance, kind, name, net in _pins(netlist):
        ends.setdefault(net, []).append((instance, kind, name))
    for net, pins in ends.items():
        sinks = [f"{instance}:{name}" for instance, kind, name in pins if name in library.cells[kind].inputs]
        drivers = [f"{instance}:{name}" for instance, kind, name in pins if name in library.cells[kind].outputs]
        if net.startswith("n") and sinks and drivers:
            yield f"*D_NET {net} {len(sinks) * wires.ff:.4f}\n*CONN\n*I {drivers[0]} O"
            yield from (f"*I {sink} I" for sink in sinks)
            yield "*CAP"
            yield from (f"{number} {sink} {wires.ff:.4f}" for number, sink in enumerate(sinks, 1))
            yield "*RES"  # nearly none; without any the reader drops the net
            yield from (f"{number} {drivers[0]} {sink} 0.001" for number, sink in enumerate(sinks, 1))
            yield "*END\n"
