"""A gate level module under Verilator: whether its outputs are what must come, and what each of its nets did."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from rtl_gen import toolchain
from rtl_gen.asic import gates
from rtl_gen.asic.bench import Bench
from rtl_gen.asic.library import Library
from rtl_gen.asic.mapping import Netlist
from stamp_hw.errors import ToolError


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Of one phase: its `cycles`, and net → changes from cycle to cycle (`toggles`) and cycles in which it is 1
    (`ones`)."""

    cycles: int
    toggles: dict[int, int]
    ones: dict[int, int]


def simulate(netlist: Netlist, library: Library, bench: Bench, modules: Mapping[str, str]) -> dict[int, Activity]:
    """Phase → activity. `modules` is the Verilog of the modules that the netlist keeps.

    Raises ToolError where Verilator is missing, refuses, or an output differs from what `bench` expects.
    """
    return simulate_all(netlist, library, bench, modules)[""]


def simulate_all(netlist: Netlist, library: Library, bench: Bench, modules: Mapping[str, str]
                 ) -> dict[str, dict[int, Activity]]:
    """The same of each further run of the bench, by name; of its own vectors by ""."""
    gates.check(netlist, library)
    env = toolchain.verilator_env()
    nets = gates.nets(netlist)
    found = {}
    with tempfile.TemporaryDirectory(prefix="stamp-gates-") as name:
        folder = Path(name)
        texts = {**bench.files, **modules, f"{netlist.top}.v": gates.verilog(netlist, library, bench.phase),
                 "toggles.cpp": (resources.files("rtl_gen.asic") / "toggles.cpp").read_text(encoding="utf-8")}
        _write(folder, texts)
        sources = [file for file in texts if file.endswith((".v", ".cpp"))]
        _run(["verilator", "--cc", "--exe", "--build", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--timescale",
              "1ns/1ps", "--x-assign", "fast", "--x-initial", "fast", "--Mdir", "build", "--prefix", "Vtb",
              "--top-module", bench.module, "-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
              *(f"../{file}" if file.endswith(".cpp") else file for file in sources)], folder, env, "Verilator failed")
        for run, files in {"": {}, **bench.runs}.items():
            _write(folder, files)
            said = _run([str(folder / "build" / "Vtb")], folder, env, "gates that do not do what the golden model does")
            if "PASS" not in said:
                raise ToolError("a simulation without a result", where=netlist.top, got=said[-200:], expected="PASS")
            found[run] = _read((folder / "toggles.txt").read_text(encoding="utf-8"), nets)
    return found


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")


def _run(command: list[str], folder: Path, env: Mapping[str, str], failed: str) -> str:
    done = subprocess.run(command, cwd=folder, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        toolchain.check_memory(command[0], done.stderr)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        told = [line for line in lines if "%Error" in line or "expected" in line] or lines
        raise ToolError(failed, where=folder.name, got=told[0] if told else f"exit code {done.returncode}")
    return done.stdout


def _read(text: str, nets: list[int]) -> dict[int, Activity]:
    found = {}
    for part in text.split("phase ")[1:]:
        head, _, body = part.partition("\n")
        phase, cycles = (int(word) for word in head.split())
        if cycles:
            counts = np.array(body.split(), dtype=np.int64).reshape(-1, 2)[: len(nets)]
            found[phase] = Activity(cycles=cycles, toggles=dict(zip(nets, counts[:, 0].tolist(), strict=True)),
                                    ones=dict(zip(nets, counts[:, 1].tolist(), strict=True)))
    return found
