"""One module in standard cells: Yosys maps it, flattened, ABC sizes its gates.

Memories stay whole (`$mem_v2`): in silicon they are banks (`sim/banks.py`), never flip-flops. Modules in `kept` stay
modules, which are mapped by themselves.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_gen.asic.library import Library
from rtl_gen.flow.synth import run_yosys
from stamp_hw.errors import ToolError

#: ps between registers that ABC sizes its gates for.
TARGET_PS = 2000
_FINE = ("synth -flatten -top {top} -run begin:fine; opt -fast -full; opt_clean; opt -full; techmap; opt -fast")
#: Yosys' own script for ABC but for its two searches for equal nodes by proof (`&fraig`, `scorr`), which take minutes
#: on a wide multiplier and find nothing in it, and without retiming: registers stay where the Verilog has them.
_ABC = "+strash;dc2;strash;&get,-n;&dch,-f;&nf;&put;buffer,-c;topo;upsize,-D,{target};dnsize,-D,{target}"
_MAP = ("dfflibmap -liberty cells.lib; opt_clean; abc -liberty cells.lib -constr constraint.txt "
        "-D {target} -script \"{abc}\"; opt_clean -purge; setundef -zero; write_json netlist.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Netlist:
    """A mapped module. `ports` name → (direction, bits), `cells` name → (type, pin → bits, parameters); a bit is a
    net's number, "0", "1" or "x". `kept` module → port → direction."""

    top: str
    ports: dict[str, tuple[str, list[int | str]]]
    cells: dict[str, tuple[str, dict[str, list[int | str]], dict[str, Any]]]
    kept: dict[str, dict[str, str]]

    def counts(self) -> dict[str, int]:
        """Cell type → instances."""
        found: dict[str, int] = {}
        for kind, _, _ in self.cells.values():
            found[kind] = found.get(kind, 0) + 1
        return found


def map_files(files: Mapping[str, str], top: str, library: Library, *, kept: Collection[str] = (),
              target_ps: int = TARGET_PS, between: str = "") -> Netlist:
    """Map the module `top` of `files` (name → Verilog); `between` are Yosys commands in front of the mapping to cells.
    Raises ToolError when Yosys is missing or refuses."""
    buffer = library.buffers()[0]
    constraint = (f"set_driving_cell {buffer.name}\n"
                  f"set_load {4 * next(iter(library.gate().inputs.values())).cap:g} [all_outputs]\n")  # fF: four gates
    keep = "".join(f"blackbox {module}; " for module in kept)
    mapping = _MAP.format(target=target_ps, abc=_ABC.format(target=target_ps))
    script = f"hierarchy -top {top}; {keep}{_FINE.format(top=top)}; {between}{mapping}"
    with tempfile.TemporaryDirectory(prefix="stamp-asic-") as name:
        folder = Path(name)
        (folder / "cells.lib").write_text(library.text, encoding="utf-8")
        (folder / "constraint.txt").write_text(constraint, encoding="utf-8")
        run_yosys(folder, files, top, script)
        modules = json.loads((folder / "netlist.json").read_text(encoding="utf-8"))["modules"]
    module = modules[top]
    unknown = sorted({cell["type"] for cell in module["cells"].values()}
                     - set(library.cells) - set(kept) - {"$mem_v2", "$scopeinfo"})
    if unknown:
        raise ToolError("cells that the library does not have", where=top, got=", ".join(unknown[:4]),
                        expected=f"cells of {library.name}")
    return Netlist(
        top=top, ports={name: (port["direction"], port["bits"]) for name, port in module["ports"].items()},
        cells={name: (cell["type"], cell["connections"], cell["parameters"]) for name, cell in module["cells"].items()
               if cell["type"] != "$scopeinfo"},
        kept={name: {port: value["direction"] for port, value in modules[name]["ports"].items()} for name in kept})
