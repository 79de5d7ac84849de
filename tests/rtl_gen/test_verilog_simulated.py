"""The Verilog that users get does in Verilator what the component does in Amaranth's own simulator.

`test_verilog_equal` reads the text through Yosys, which is not the only reader, and not always right
(`rtl_gen/verilog/order.py`); Verilator follows the rules of the language by itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module, ValueCastable
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from rtl_gen.axi.event_counters import EventCounters
from rtl_gen.toolchain import verilator_env
from rtl_gen.verilog.emit import verilog
from tests.support.constructs import Everything

CYCLES = 4000
MAIN = """#include <cstdio>
#include "Vtop.h"
int main() {{
  Vtop top;
  unsigned long long in[{inputs}];
  for (;;) {{
    for (auto &value : in) if (scanf("%llx", &value) != 1) return 0;
    {set}
    top.clk = 0;
    top.eval();
    printf("{format}\\n", {get});
    top.clk = 1;
    top.eval();
  }}
}}
"""
Rows = list[list[int]]


def ports(component: wiring.Component, flow: wiring.Flow) -> dict[str, Any]:
    """Port → what it carries, as a value."""
    found = {}
    for path, member, value in component.signature.flatten(component):
        if member.flow is flow:
            found["__".join(map(str, path))] = value.as_value() if isinstance(value, ValueCastable) else value
    assert all(len(value) <= 64 for value in found.values())
    return found


def simulated(component: wiring.Component, stimuli: Rows) -> Rows:
    """Outputs of each cycle in Amaranth's simulator; the first stimulus of a cycle is the reset."""
    m = Module()
    m.domains.sync = domain = ClockDomain()
    m.submodules.unit = component
    inputs, outputs = ports(component, In).values(), ports(component, wiring.Out).values()
    found: Rows = []

    async def drive(ctx: Any) -> None:
        for row in stimuli:
            for signal, value in zip((domain.rst, *inputs), row, strict=True):
                ctx.set(signal, value)
            found.append([ctx.get(signal) & ((1 << len(signal)) - 1) for signal in outputs])
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return found


def verilated(files: Mapping[str, str], component: wiring.Component, stimuli: Rows, folder: Path) -> Rows:
    """The same of Verilog in Verilator."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    inputs, outputs = ["rst", *ports(component, In)], list(ports(component, wiring.Out))
    setting = " ".join(f"top.{name} = in[{place}];" for place, name in enumerate(inputs))
    reading = ", ".join(f"(unsigned long long)top.{name}" for name in outputs)
    (folder / "main.cpp").write_text(MAIN.format(inputs=len(inputs), set=setting, get=reading,
                                                 format=" ".join(["%llx"] * len(outputs))), "utf-8")
    env = verilator_env()
    subprocess.run(["verilator", "--cc", "--exe", "--build", "--x-initial", "0", "--top-module", "top", "-Wno-fatal",
                    "-O3", "main.cpp", *files], cwd=folder, env=env, check=True, capture_output=True)
    text = "\n".join(" ".join(f"{value:x}" for value in row) for row in stimuli)
    run = subprocess.run([folder / "obj_dir/Vtop"], input=text, check=True, capture_output=True, text=True)
    return [[int(value, 16) for value in row.split()] for row in run.stdout.splitlines()]


def random_stimuli(component: wiring.Component, rng: np.random.Generator, chances: Mapping[str, float]) -> Rows:
    """A reset, then random inputs with a reset now and then; a port of `chances` is 1 so often."""
    widths = {name: len(value) for name, value in ports(component, In).items()}
    rows = [[1, *(0 for _ in widths)]]
    for _ in range(CYCLES):
        values = (rng.random() < chances[name] if name in chances else rng.integers(1 << width)
                  for name, width in widths.items())
        rows.append([int(rng.random() < 0.005), *map(int, values)])
    return rows


def comparable(stimuli: Rows, read: int | None) -> list[int]:
    """Rows behind the first reset, before which registers hold anything. A reset also sets what a memory's port has
    read in Amaranth's simulator, and not in its netlist nor in the text, so that of a component with such a port, whose
    enable is input `read`, rows count again once something was read."""
    rows, known = [], True
    for number, row in enumerate(stimuli):
        if number and known:
            rows.append(number)
        if read is not None:
            known = not row[0] and (known or row[read] == 1)
    return rows


def counters() -> EventCounters:
    return EventCounters(data.StructLayout({"a": 1, "b": 2, "c": 1}))


@pytest.mark.rtl
@pytest.mark.parametrize(("make", "chances"), [(Everything, {}), (counters, {"clear": 0.02})], ids=["everything",
                                                                                                    "counters"])
def test_the_text_in_verilator_is_the_component_in_amaranths_simulator(
        make: Callable[[], wiring.Component], chances: Mapping[str, float], rng: np.random.Generator,
        tmp_path: Path) -> None:
    component = make()
    files, stimuli = verilog(component, "top"), random_stimuli(component, rng, chances)
    expected, found = simulated(make(), stimuli), verilated(files, component, stimuli, tmp_path)
    place = 1 + list(ports(component, In)).index("c") if make is Everything else None
    rows = comparable(stimuli, place)
    assert [found[row] for row in rows] == [expected[row] for row in rows]
    assert len({tuple(row) for row in found}) > CYCLES // 50


@pytest.mark.rtl
def test_an_assignment_that_moved_behind_its_condition_is_told_apart(rng: np.random.Generator, tmp_path: Path) -> None:
    component = counters()
    files = verilog(component, "top")
    plain, clear = (next(line for line in files["top.v"].splitlines(keepends=True) if line.startswith(start))
                    for start in ("      waiting_b <= ((turn", "      if (clear) waiting_b <="))
    text = files["top.v"].replace(plain + clear, clear + plain)
    assert text != files["top.v"]
    stimuli = random_stimuli(component, rng, {"clear": 0.02})
    assert verilated({"top.v": text}, component, stimuli, tmp_path)[1:] != simulated(counters(), stimuli)[1:]
