"""A workload's report as text: an answer that fits a screen of 100 columns, and where every figure comes from."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from sim.mapping import table
from sim.studies import drains
from sim.studies.tables import BOTTLENECK_NAMES, clock, external
from stamp_hw.text import WIDTH, align, number, plural

LIMITS = {**BOTTLENECK_NAMES, "vector": "vector unit", "weights": "weights enter the array"}


def render(report: Mapping[str, Any]) -> str:
    """All tables and the footer."""
    return "\n\n".join([_rates(report), _operations(report), _footer(report)])


def _rates(report: Mapping[str, Any]) -> str:
    """A line a phase and scheme."""
    accuracy = report.get("accuracy")
    measured = () if accuracy is None else (accuracy["figure"],)
    header = ("phase", "scheme", "bits", *measured, "time s", "per s", "J each", "W", "DRAM GB", "util %", "bytes ≤",
              "array ≤")
    rows = []
    for scheme, found in report["schemes"].items():
        for place, (name, p) in enumerate(found["phases"].items()):
            cell = () if accuracy is None else (_accuracy(accuracy, scheme),)
            rows.append((place, (
                name, scheme, number(p["average_bits"], 3) if p["average_bits"] else "–", *cell,
                number(p["time_s"], 3), rate(p["units_per_s"]), number(p["energy_j_per_unit"], 3),
                _cell(p["power_w"], 2), number(p["dram_bytes"] / 1e9, 2), _cell(p["utilization"], 1, 100),
                rate(p["memory_units_per_s"]), rate(p["array_units_per_s"]))))
    rows.sort(key=lambda row: row[0])
    return "\n".join([title(report), align(header, [cells for _, cells in rows], left=2), *_said(report)])


def _accuracy(accuracy: Mapping[str, Any], scheme: str) -> str:
    value = accuracy["schemes"].get(scheme)
    return "–" if value is None else number(value, 2)


def _cell(value: float | None, decimals: int, times: float = 1) -> str:
    """A figure, or a dash where a phase has no engine's time that it could be of."""
    return "–" if value is None else number(times * value, decimals)


def rate(value: float | None) -> str:
    """A rate a second with four digits or so."""
    return "–" if value is None else number(value, 1 if value >= 10 else 3)


def title(report: Mapping[str, Any]) -> str:
    """What runs, and on what."""
    hw, job = report["config"]["hw"], report["config"]["job"]
    phases = "; ".join(f"{p['name']}: {plural(p['produces'], p['unit'])} in {plural(p.get('steps', 1), 'step')}"
                       + (f", {p['batch']} side by side" if p.get("batch", 1) > 1 else "")
                       for p in report["workload"]["phases"])
    return (f"{report['workload']['name']} ({phases})\n{hw['rows']} × {hw['cols']} array, {hw['freq_hz'] / 1e6:g} MHz, "
            f"{external(report)}, {job['weight_bits']}-bit weights")


def _said(report: Mapping[str, Any]) -> list[str]:
    """What limits each phase under the last scheme."""
    scheme, found = list(report["schemes"].items())[-1]
    told = []
    for name, phase in found["phases"].items():
        shares = {**phase["cycles_by_limit"], "vector": phase["vector_cycles"]}
        worst = sorted(shares, key=lambda limit: -shares[limit])[:2]
        told.append(f"{name} " + ", ".join(f"{LIMITS[limit]} {number(100 * shares[limit] / phase['cycles'], 1)} %"
                                           for limit in worst if shares[limit]))
    lines = [f"Time by what paces it ({scheme}): {'; '.join(told)}",
             *drains.said(drained(found["phases"]), report["config"]["hw"]["rescale_lanes"])]
    return [line for text in lines for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")]


def drained(phases: Mapping[str, Any]) -> list[tuple[str, Mapping[str, int]]]:
    """(operation with its part of a phase that the drain paces, what would lift that) where it paces any."""
    return [(f"{phase_name} {name} {number(100 * op['cycles_by_limit']['drain'] / phase['cycles'], 1)} %", op["drain"])
            for phase_name, phase in phases.items() for name, op in phase["ops"].items() if op.get("drain")]


def _operations(report: Mapping[str, Any]) -> str:
    """Share of a phase's time and energy by operation, under the last scheme, and what paces each."""
    scheme, found = list(report["schemes"].items())[-1]
    rows = []
    for phase_name, phase in found["phases"].items():
        energy = phase["energy_fj"] or 1
        for name, op in phase["ops"].items():
            if op["cycles"]:
                rows.append((phase_name, name, number(100 * op["cycles"] / phase["cycles"], 1),
                             number(100 * op["energy_fj"] / energy, 1), f"{op['macs'] / 1e9:,.1f}",
                             number(op["dram_bytes"] / 1e9, 2), number(100 * (op["utilization"] or 0), 1),
                             LIMITS[op["bottleneck"]]))
    header = ("phase", f"operation ({scheme})", "time %", "energy %", "G products", "DRAM GB", "util %", "paced by")
    return align(header, rows, left=2)


def searched(report: Mapping[str, Any]) -> list[str]:
    """What super-tiles were searched for, where they were."""
    return [f"{table.title(report['mapping']['objective'])}."] if "mapping" in report else []


def external_memory(report: Mapping[str, Any]) -> list[str]:
    """The constants of `hw.memory`, where there is one."""
    if "memory" not in report:
        return []
    memory = report["memory"]
    return [f"Memory: {memory['kind']} behind one port: {memory['latency_ns']:g} ns, bursts of {memory['burst']} "
            f"bytes, {memory['efficiency']:g} of the peak; sources in the JSON, `memory`."]


def _footer(report: Mapping[str, Any]) -> str:
    chosen, lanes = report["energy_set"], report["vector_lanes"]
    kept = {op.get("kv_bits") for phase in report["workload"]["phases"] for op in phase["ops"]}
    lines = [
        cycles(report["prefetch"]),
        *_saved(report),
        *([] if lanes is None else [f"Vector unit: {plural(lanes, 'lane')}, operations a value assumed, energy not "
                                    "modelled (docs/workloads.md)."]),
        *searched(report), *external_memory(report),
        *clock({chosen["name"]: chosen.get("gates", {}).get("clock_mhz")}, report),
        f"Energy: modelled, event counts times the constants of set {chosen['name']} ({chosen['node']}).",
        *([] if "accuracy" not in report else [f"Accuracy: {report['accuracy']['source']}."]),
        *(["Keys and values of 4 bits travel as bytes here: --hw packed_weights=true packs them."]
          if 4 in kept and not report["config"]["hw"]["packed_weights"] else []),
        f"Not included: {missing(report)}.",
        "bytes ≤: what the memory's rate alone would allow; array ≤: what an array whose row slots never idle would.",
    ]
    return "\n".join(line for text in lines for line in textwrap.wrap(text, WIDTH, subsequent_indent="  "))


def cycles(prefetch: bool) -> str:
    """Where cycles come from, and how jobs follow each other."""
    order = ("the next job's registers and first weights come while one runs" if prefetch
             else "each job on an engine at rest")
    return f"Cycles: cycle model of the engine, RTL-checked beat by beat; {order}; the DRAM is modelled."


def _saved(report: Mapping[str, Any]) -> list[str]:
    """What prefetch saves of each phase under the last scheme."""
    if not report["prefetch"]:
        return []
    scheme, found = list(report["schemes"].items())[-1]
    told = [f"{name} {number(100 * phase['prefetch_saved_cycles'] / alone, 2)} %"
            for name, phase in found["phases"].items()
            if (alone := phase["engine_cycles"] + phase["prefetch_saved_cycles"])]
    return [f"Prefetch saves of the engine's cycles ({scheme}): {'; '.join(told)}."] if told else []


def missing(report: Mapping[str, Any]) -> str:
    """What of the model is in no figure."""
    parts = list(report["workload"]["not_included"])
    if report["vector_lanes"] is None:
        parts.insert(0, "norms, rotary positions, softmax, activations (--vector-lanes N counts them)")
    return "; ".join(parts)
