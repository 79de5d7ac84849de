"""Registers behind block memories, moved into the DP16KD that they stand behind.

A DP16KD has a register at each output of its own. Data leave it 0.9 ns after the clock's edge, where a memory without
it takes 5.7 ns (speed grade 6 in nextpnr 0.11). Yosys never uses it, and leaves a flip-flop in the fabric behind each
bit (https://github.com/YosysHQ/yosys/issues/5814); so does place and route.

What the primitive does is in Lattice's guide to the memories of the ECP5 (FPGA-TN-02204): a port's register moves with
the port's clock where `OCE` is 1, whatever `CE` says; where words are 36 bits wide, port B reads into both halves, and
its clock and `OCEB` are those of both. It is 0 when the part wakes up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stamp_hw.formats.files import write_json

Cell = dict[str, Any]
Net = int | str
#: What a flip-flop is that such a register can be: rising edge, 0 at first, never reset, moved always or by an enable.
_FLIP_FLOP = {"CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"}
_ALWAYS, _BY_ENABLE = "1", "CE"
_WIDE = 36


def use_registers(path: Path, top: str) -> int:
    """Move them in the flat netlist of `top` that Yosys wrote to `path`; returns how many flip-flops became part of a
    memory. A port whose outputs do not all end in such flip-flops, moved alike, stays as it is."""
    document = json.loads(path.read_text(encoding="utf-8"))
    module = document["modules"][top]
    found = absorb(module["cells"], [net for port in module["ports"].values() for net in port["bits"]])
    write_json(path, document)
    return found


def absorb(cells: dict[str, Cell], ports: Sequence[Net]) -> int:
    """The same of the `cells` of a module whose `ports` are these nets, in place."""
    readers: dict[Net, list[tuple[str, str]]] = {}
    for name, cell in cells.items():
        for port, nets in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for net in nets:
                    readers.setdefault(net, []).append((name, port))
    outside, count = set(ports), 0
    for memory in [cell for cell in cells.values() if cell["type"] == "DP16KD"]:
        for sides in ("AB",) if _is_wide(memory) else ("A", "B"):
            behind = _flip_flops(memory, sides, cells, readers, outside)
            if behind:
                _take(memory, sides, cells, behind)
                count += len(behind)
    return count


def _is_wide(memory: Cell) -> bool:
    return _WIDE in (int(memory["parameters"][f"DATA_WIDTH_{side}"], 2) for side in "AB")


def _outputs(memory: Cell, sides: str) -> dict[str, Net]:
    """Port → net of the outputs of these sides."""
    return {port: nets[0] for port, nets in memory["connections"].items()
            if port.startswith(tuple(f"DO{side}" for side in sides)) and nets}


def _flip_flops(memory: Cell, sides: str, cells: Mapping[str, Cell], readers: Mapping[Net, list[tuple[str, str]]],
                outside: set[Net]) -> dict[str, str]:
    """Port → name of the one flip-flop behind it, of the outputs that are read; nothing if one of them is read by
    something else, or if they cannot be one register of this memory."""
    reading, pins, settings = sides[-1], memory["connections"], memory["parameters"]
    if (pins[f"RST{reading}"] != ["0"] or settings[f"CLK{reading}MUX"] != f"CLK{reading}"
            or any(settings[f"REGMODE_{side}"] != "NOREG" for side in sides)):
        return {}
    behind, enables = {}, set[Net]()
    for port, net in _outputs(memory, sides).items():
        if net in outside:
            return {}
        for name, pin in readers.get(net, []):
            if pin != "DI" or port in behind:
                return {}
            enable = _enable(cells[name], pins[f"CLK{reading}"])
            if enable is None:
                return {}
            behind[port] = name
            enables.add(enable)
    return behind if len(enables) == 1 and pins[f"OCE{reading}"] == ["1"] else {}


def _enable(cell: Cell, clock: list[Net]) -> Net | None:
    """The net by which a flip-flop that can move with `clock` into a memory is enabled, "1" for always; else None."""
    if cell["type"] != "TRELLIS_FF":
        return None
    settings, pins = cell["parameters"], cell["connections"]
    if (any(settings[name] != value for name, value in _FLIP_FLOP.items()) or pins["CLK"] != clock
            or pins.get("LSR", ["0"]) != ["0"] or settings["CEMUX"].strip() not in (_ALWAYS, _BY_ENABLE)):
        return None
    return "1" if settings["CEMUX"].strip() == _ALWAYS else pins["CE"][0]


def _take(memory: Cell, sides: str, cells: dict[str, Cell], behind: Mapping[str, str]) -> None:
    """The outputs drive what the flip-flops drove, which are gone."""
    flip_flops = {port: cells.pop(name) for port, name in behind.items()}
    for port, flip_flop in flip_flops.items():
        memory["connections"][port] = flip_flop["connections"]["Q"]
    one, clock = next(iter(flip_flops.values())), memory["connections"][f"CLK{sides[-1]}"]
    memory["connections"][f"OCE{sides[-1]}"] = [_enable(one, clock)]
    for side in sides:
        memory["parameters"][f"REGMODE_{side}"] = "OUTREG"
