"""From totals to the figures of a report, as dictionaries that JSON holds (docs/workloads.md defines every figure).

Counts are whole numbers that add up: operations to phases, phases to the run, parts to cycles, components to energy.
Rates are ratios of them, rounded to nine digits. The same input gives the same bytes: no paths, no dates.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import IO, Any

from sim import dram
from sim.cost import bank_prices
from sim.cost.bank_prices import nine_digits
from sim.cost.energy import EnergySet
from sim.engine.closed_form import PARTS
from sim.memory import OPERANDS
from sim.studies import drains
from sim.studies.report import mapping, memory_figures
from sim.workload import file
from sim.workload.ops import Phase
from sim.workload.run import Run
from sim.workload.totals import Totals, total
from stamp_hw.config import HwConfig

SCHEMA_VERSION = 1
CSV_FIELDS = ("jobs", "cycles", "time_s", "macs", "array_tiles", "utilization", "average_bits", "dram_bytes",
              "energy_fj", "power_w", "tops", "tops_per_w", "macs_per_byte", "bottleneck")


def document(run: Run, schemes: Sequence[str], energy_set: EnergySet, version: str) -> dict[str, Any]:
    """A workload under each scheme. Raises StampError for a job beyond the hardware."""
    return {
        "schema_version": SCHEMA_VERSION, "version": version, "workload": file.to_dict(run.workload),
        "config": run.config.to_dict(), "energy_set": energy_set.describe(), **memory_figures(run.config.hw.memory),
        "memories": bank_prices.described(run.config.hw, energy_set),
        "vector_lanes": run.vector_lanes, "prefetch": run.prefetch,
        **mapping(run.objective),
        "schemes": {scheme: of_scheme(run, scheme) for scheme in schemes},
    }


def of_scheme(run: Run, scheme: str) -> dict[str, Any]:
    """Phase → its figures and those of its operations; and of all phases, with accesses and energy of each memory."""
    hw = run.config.hw
    phases, sums = {}, []
    for phase in run.workload.phases:
        ops = run.of(phase, scheme)
        sums.append(total(ops.values()))
        phases[phase.name] = {**phase_figures(sums[-1], phase, hw),
                              "ops": {name: {**figures(part, hw), "drain": _drain(part, hw)}
                                      for name, part in ops.items()}}
    whole = total(sums)
    return {"phases": phases, "total": figures(whole, hw), "memories": whole.memories()}


def phase_figures(totals: Totals, phase: Phase, hw: HwConfig) -> dict[str, Any]:
    """Those of `figures`, and rates by what the phase produces: what it does, what the bytes alone would allow, and
    what an array would whose row slots never idle."""
    found = figures(totals, hw)
    full = -(-totals.slot_steps // (8 * hw.rows * hw.cols))

    def rate(cycles: int) -> float | None:
        return _ratio(phase.produces * float(hw.freq_hz), cycles)

    return {
        "unit": phase.unit, "produces": phase.produces, "steps": phase.steps, "batch": phase.batch, **found,
        "units_per_s": rate(totals.all_cycles), "memory_units_per_s": rate(dram.cycles(totals.dram_bytes, hw)),
        "array_units_per_s": rate(full), "energy_j_per_unit": nine_digits(totals.energy_fj / 1e15 / phase.produces),
    }


def figures(totals: Totals, hw: HwConfig) -> dict[str, Any]:
    """The figures of an operation, a phase or a run."""
    seconds = totals.all_cycles / hw.freq_hz
    return {
        "jobs": totals.jobs, "cycles": totals.all_cycles, "engine_cycles": totals.cycles,
        "prefetch_saved_cycles": totals.saved,
        "cycles_by_part": {part: totals.parts[part] for part in PARTS},
        "cycles_by_limit": dict(sorted(totals.limits.items())),
        "vector_operations": totals.vector, "vector_cycles": totals.vector_cycles,
        "array_tiles": totals.array_tiles, "macs": totals.macs, "dram_bytes": totals.dram_bytes,
        "dram_bytes_by_operand": {operand: totals.dram[operand] for operand in OPERANDS},
        **_port(totals, hw, seconds),
        "energy_fj": totals.energy_fj, "energy_fj_by_component": totals.components(),
        "time_s": nine_digits(seconds), "power_w": _ratio(totals.energy_fj / 1e15, seconds),
        "tops": _ratio(2 * totals.macs / 1e12, seconds), "tops_per_w": _ratio(2000 * totals.macs, totals.energy_fj),
        "utilization": _ratio(totals.slot_steps, 8 * hw.rows * hw.cols * totals.cycles),
        "average_bits": _ratio(totals.value_bits, totals.values),
        "macs_per_byte": _ratio(totals.macs, totals.dram_bytes), "bottleneck": bottleneck(totals),
    }


def _drain(totals: Totals, hw: HwConfig) -> dict[str, int] | None:
    """What would lift the drain of the jobs that it paces, those of most cycles; None where it paces none."""
    if not totals.drained:
        return None
    return drains.figures(max(totals.drained, key=lambda steps: (totals.drained[steps], -steps)), hw)


def _port(totals: Totals, hw: HwConfig, seconds: float) -> dict[str, Any]:
    """What the one port moves in whole bursts, and the part of the time that this takes it; nothing without a port."""
    if hw.memory is None:
        return {}
    return {"port_bytes": totals.port_bytes,
            "port_utilization": _ratio(totals.port_bytes, hw.memory.effective_bytes_per_s * seconds)}


def write_csv(report: Mapping[str, Any], stream: IO[str]) -> None:
    """A line an operation, phase and scheme."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("scheme", "phase", "operation", *CSV_FIELDS))
    for scheme, found in report["schemes"].items():
        for phase, of_phase in found["phases"].items():
            for name, op in of_phase["ops"].items():
                writer.writerow((scheme, phase, name, *("" if op[field] is None else op[field]
                                                        for field in CSV_FIELDS)))


def bottleneck(totals: Totals) -> str | None:
    """What paces the jobs that take the most cycles, or the vector unit where that takes more than any."""
    limits: Mapping[str, int] = {**totals.limits, "vector": totals.vector_cycles}
    name = max(limits, key=lambda limit: limits[limit])
    return name if limits[name] else None


def _ratio(part: float, whole: float) -> float | None:
    return nine_digits(part / whole) if whole else None
