"""A PE with gated clocks: Yosys makes a clock gate of each enable that flip-flops share, and what it saves is priced.

    python -m rtl_gen.asic.gating [--liberty freepdk45] [--hw block=64]

prints area, slowest path and energy of both PEs, each without and with clock gates (docs/adr/0026-split-multiplier.md).
Without them a flip-flop's clock turns in every cycle, and an enable is a multiplexer in front of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from amaranth.lib import wiring

from rtl_gen.asic import energy, liberty, libraries, pe, timing
from rtl_gen.asic.bench import Bench, seeded
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.library import Library, load
from rtl_gen.asic.mapping import Netlist, map_files
from rtl_gen.asic.simulate import Activity, simulate
from rtl_gen.mac.element import element
from rtl_gen.verilog.emit import verilog
from stamp_hw.cli.common import HardwareOptions, add_hardware
from stamp_hw.cli.show import show
from stamp_hw.errors import ConfigError, StampError
from stamp_hw.hw_config import MULTIPLIERS
from stamp_hw.params import MacParams
from stamp_hw.text import align

GATE = "stamp_clock_gate"
LEAST = 4  # flip-flops that are worth a gate
_PORTS = f"module {GATE} (input wire clk, input wire enable, output wire gated);\n"
_OUTSIDE = f"(* blackbox *) {_PORTS}endmodule\n"
_INSIDE = f"{_PORTS}  reg open;\n  always @* if (!clk) open = enable;\n  assign gated = clk & open;\nendmodule\n"
_SCRIPT = f"clockgate -pos {GATE} enable:clk:gated -min_net_size {LEAST}; opt_clean; "
IDLE_CYCLES = 512
_STEPS, _SEED = 4096, 2026
HEAD = ("multiplier", "clock", "µm²", "part", "ps", "pJ/4-bit", "part", "pJ/8-bit", "part", "pJ/bubble")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockGate:
    """A library's smallest latch with an AND: `area` (µm²), `cap` of its clock pin (fF), and what a cycle takes inside
    (fJ) in which it is `open` or `shut`."""

    area: float
    cap: float
    open: float
    shut: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`area_um2`, `path_ps`, phase of `pe.STEPS` → pJ a cycle, `leakage_uw` without that of clock gates, and
    `flip_flops`."""

    area_um2: float
    path_ps: float
    pj: Mapping[int, float]
    leakage_uw: float
    flip_flops: int


def clock_gate(library: Library) -> ClockGate:
    """Raises ConfigError for a library without."""
    cells = [cell for cell in liberty.parse(library.text, str(library.path)).of_kind("cell")
             if cell.attributes.get("clock_gating_integrated_cell") == "latch_posedge"]
    if not cells:
        raise ConfigError("a library that lacks a cell", where=str(library.path), expected="a clock gate with a latch")
    cell = min(cells, key=lambda each: float(each.attributes["area"]))
    pins = {pin.name: pin for pin in cell.of_kind("pin")}
    clock = next(pin for pin in pins.values() if pin.attributes.get("clock_gate_clock_pin") == "true")
    out = next(pin for pin in pins.values() if pin.attributes.get("clock_gate_out_pin") == "true")
    return ClockGate(area=float(cell.attributes["area"]), cap=float(clock.attributes["capacitance"]),
                     open=_both_edges(out), shut=_both_edges(clock))


def _both_edges(pin: liberty.Group) -> float:
    """The largest internal energy of a pin's rising edge and of its falling one, whatever slew and load."""
    def largest(kind: str) -> float:
        return max(float(word) for power in pin.of_kind("internal_power") for table in power.of_kind(kind)
                   for row in table.complex["values"] for word in row.replace(",", " ").split())
    return largest("rise_power") + largest("fall_power")


def figures(params: MacParams, library: Library, wires: Wires, *, gated: bool) -> Figures:
    """Of one PE, at work and at rest as `stamp-hw characterize` has it."""
    return priced(element(params), pe.bench(params, operands(), IDLE_CYCLES), library, wires, gated=gated)


def operands() -> pe.Operands:
    """What every PE is given here."""
    return pe.drawn(seeded(_SEED), _STEPS)


def priced(component: wiring.Component, bench: Bench, library: Library, wires: Wires, *, gated: bool) -> Figures:
    """Of any PE: its gates run on its bench, which has phases of `pe.STEPS`."""
    files = {**verilog(component, pe.MODULE), **({f"{GATE}.v": _OUTSIDE} if gated else {})}
    netlist = map_files(files, pe.MODULE, library, kept=(GATE,) if gated else (), between=_SCRIPT if gated else "")
    activity = simulate(netlist, library, bench, {f"{GATE}.v": _INSIDE} if gated else {})
    cells = {kind: count for kind, count in netlist.counts().items() if kind in library.cells}
    area = sum(library.cells[kind].area * count for kind, count in cells.items())
    taken = {phase: energy.energy(netlist, library, found, wires).total for phase, found in activity.items()}
    if gated:
        gate = clock_gate(library)
        area += gate.area * netlist.counts().get(GATE, 0)
        taken = {phase: total - saved(netlist, library, activity[phase], wires, gate) for phase, total in taken.items()}
    return Figures(area_um2=area, path_ps=timing.path_ps(netlist, library, wires),
                   pj={phase: taken[phase] / 1000 for phase in bench.steps},
                   leakage_uw=energy.leakage_uw(cells, library), flip_flops=len(energy.flip_flops(netlist, library)))


def saved(netlist: Netlist, library: Library, activity: Activity, wires: Wires, gate: ClockGate) -> float:
    """fJ a cycle that clock gates save, less what they take: behind one that is shut, clock pins, their wires and the
    last buffers of the tree rest."""
    flops = len(energy.flip_flops(netlist, library))
    still = energy.energy(netlist, library, Activity(cycles=1, toggles={}, ones={}), wires)
    each = still.clock_pins / flops + still.clock_tree / (flops + wires.fanout)
    total = 0.0
    for kind, pins, _ in netlist.cells.values():
        if kind != GATE:
            continue
        (enable,), (out,) = pins["enable"], pins["gated"]
        opened = activity.ones[enable] / activity.cycles if isinstance(enable, int) else float(enable == "1")
        behind = sum(out in connected[cell.ff.clock] for type_, connected, _ in netlist.cells.values()
                     if (cell := library.cells.get(type_)) is not None and cell.ff is not None)
        taken = opened * gate.open + (1 - opened) * gate.shut + library.voltage ** 2 * (gate.cap + wires.ff)
        total += (1 - opened) * behind * each - taken
    return total


def table(library: Library, wires: Wires, params: MacParams) -> list[tuple[str, ...]]:
    """A row a PE: without and with clock gates, packed, then split; parts are of the first row."""
    rows: list[tuple[str, ...]] = []
    first: Figures | None = None
    for multiplier in MULTIPLIERS:
        for gated in (False, True):
            found = figures(replace(params, multiplier=multiplier), library, wires, gated=gated)
            first = first or found
            four, eight = (found.pj[phase] for phase in (pe.FOUR, pe.EIGHT))
            rows.append((multiplier, "gated" if gated else "free", f"{found.area_um2:.0f}",
                         f"{found.area_um2 / first.area_um2:.2f}", f"{found.path_ps:.0f}", f"{four / 2:.2f}",
                         f"{four / first.pj[pe.FOUR]:.2f}", f"{eight:.2f}", f"{eight / first.pj[pe.EIGHT]:.2f}",
                         f"{found.pj[pe.IDLE]:.2f}"))
    return rows


def program(name: str, head: Sequence[str], rows: Callable[[Library, Wires, MacParams], Sequence[tuple[str, ...]]],
            words: Sequence[str] | None) -> None:
    """Print a table of a PE of a configuration in the cells of a library: `rows` of both."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description="Print the table.")
    parser.add_argument("--liberty", default="freepdk45", help="as of stamp-hw characterize")
    add_hardware(parser)
    given = parser.parse_args(words)
    try:
        params = MacParams.of(HardwareOptions(config=given.config, hw=given.hw, job=given.job).configuration().hw)
        known = libraries.find(given.liberty)
        show(align(head, rows(load(known.path, known.slew), Wires(ff=known.wire_ff), params)))
    except StampError as error:
        parser.exit(2, f"stamp-hw: {error}\n")


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    program("rtl_gen.asic.gating", HEAD, table, words)


if __name__ == "__main__":
    main()
