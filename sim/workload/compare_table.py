"""A comparison as text: a line a machine and scheme."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from sim.workload.tables import cycles, external_memory, missing, rate, searched, title
from stamp_hw.text import WIDTH, align, number, plural


def render(report: Mapping[str, Any]) -> str:
    """The table of costs, that of the machines, and where the figures come from."""
    return "\n\n".join([_costs(report), _machines(report), "\n".join(
        line for text in _notes(report) for line in textwrap.wrap(text, WIDTH, subsequent_indent="  "))])


def _costs(report: Mapping[str, Any]) -> str:
    phases = [phase["name"] for phase in report["workload"]["phases"]]
    accuracy = report.get("accuracy")
    header = ["machine", "scheme", *(() if accuracy is None else (accuracy["figure"],))]
    for name in phases:
        header += [f"{name}/s", "J each"]
    header += ["GB", "transf. %", "scale %", "resc. %"]
    rows = [_row(row, phases, accuracy) for row in report["rows"]]
    return f"{title(report)}\n" + align(header, rows, left=2)


def _row(row: Mapping[str, Any], phases: Sequence[str], accuracy: Mapping[str, Any] | None) -> list[str]:
    cells = [row["machine"], row["scheme"]]
    if accuracy is not None:
        value = accuracy["rows"].get(f"{row['machine']} {row['scheme']}")
        cells.append("–" if value is None else number(value, 2))
    if row["refusal"] is not None:
        return [*cells, *["–"] * (2 * len(phases) + 4)]
    for name in phases:
        phase = row["phases"][name]
        cells += [rate(phase["units_per_s"]), number(phase["energy_j_per_unit"], 3)]
    shares = row["share_of_energy"]
    return [*cells, number(row["total"]["dram_bytes"] / 1e9, 1),
            *(f"{100 * shares[name]:.2f}" for name in ("lifting", "scale", "rescale"))]


def _machines(report: Mapping[str, Any]) -> str:
    rows = [(name, f"{parts['multipliers']:,}", f"{parts['memory_bytes'] / 1024:,.0f}",
             " < ".join(report["orders_by_energy"][report["energy_set"]["name"]][name]),
             "yes" if report["survives"][name] else "no") for name, parts in report["hardware"].items()]
    count = len(report["orders_by_energy"])
    same = f"same in {plural(count, 'set')}"
    return align(("machine", "multipliers", "memory KiB", "energy, least first", same), rows)


def _notes(report: Mapping[str, Any]) -> list[str]:
    refused = sorted({f"{row['machine']}: {row['refusal']}" for row in report["rows"] if row["refusal"]})
    chosen = report["energy_set"]
    bytes_alone = [] if report["config"]["hw"]["packed_weights"] else [
        "4-bit weights travel as bytes here, so that w8a8 and w4a8 cost the same: --hw packed_weights=true packs them."]
    return [
        *refused, *bytes_alone,
        "hadamard: a block Hadamard unit in front of the lifting; blocks: a scale a block of channels; both: both.",
        "transf., scale, resc.: part of the energy (lifting and Hadamard; quantizer; rescale and combine).",
        cycles(report["prefetch"]),
        *searched(report), *external_memory(report),
        f"Energy: modelled, event counts times the constants of set {chosen['name']} ({chosen['node']}); arithmetic, "
        "memories and DRAM alone.",
        *([] if "accuracy" not in report else [f"Accuracy: {report['accuracy']['source']}."]),
        "Multipliers and memory stand for area; `stamp-hw synth` counts cells of the generated Verilog.",
        f"Not included: {missing(report)}.",
    ]
