"""A comparison as text: a line a machine and scheme, and one a machine, phase and energy set."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from sim.studies.tables import clock
from sim.workload.compare import SCHEMES
from sim.workload.tables import cycles, external_memory, missing, rate, searched, title
from stamp_hw.text import WIDTH, align, number, plural


def render(report: Mapping[str, Any]) -> str:
    """The table of costs, that of the machines, that of the energy sets, and where the figures come from."""
    return "\n\n".join([_costs(report), _machines(report), *_areas(report), _sets(report), "\n".join(
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
    """What each machine has, its schemes by energy, and whether that order is the same under the sets that fit it."""
    orders = report["orders_by_energy"]
    rows = []
    for name, parts in report["hardware"].items():
        count = sum(name in by_machine for by_machine in orders.values())
        same = f"{'yes' if report['survives'][name] else 'no'}, {plural(count, 'set')}"
        rows.append((name, f"{parts['multipliers']:,}", f"{parts['memory_bytes'] / 1024:,.0f}",
                     " < ".join(orders[report["energy_set"]["name"]].get(name, ("–",))), same))
    return align(("machine", "multipliers", "memory KiB", "energy, least first", "the same"), rows)


def _areas(report: Mapping[str, Any]) -> list[str]:
    """mm² of each machine under every set of gates that fits it; no table where there is none."""
    rows = [(machine, name, f"{area['gates']:.3f}", area["node"],
             f"{area['memories']:.2f}" if "memories" in area else "–", area.get("memories_node", "–"))
            for machine, parts in report["hardware"].items() for name, area in parts["area_mm2"].items()]
    return [align(("machine", "energy set", "gates mm²", "node", "memories mm²", "node"), rows, left=2)] if rows else []


def _sets(report: Mapping[str, Any]) -> str:
    """J of a unit of each phase under every set."""
    rows = [(machine, phase["name"], name, *(f"{found[scheme][phase['name']]:.4g}" if scheme in found else "–"
                                             for scheme in SCHEMES))
            for machine in report["hardware"] for phase in report["workload"]["phases"]
            for name, one in report["energy_by_set"].items() if (found := one["machines"].get(machine))]
    return align(("machine", "J each", "energy set", *SCHEMES), rows, left=3)


def _notes(report: Mapping[str, Any]) -> list[str]:
    refused = sorted({f"{row['machine']}: {row['refusal']}" for row in report["rows"] if row["refusal"]})
    chosen = report["energy_set"]
    bytes_alone = [] if report["config"]["hw"]["packed_weights"] else [
        "4-bit weights travel as bytes here, so that w8a8 and w4a8 cost the same: --hw packed_weights=true packs them."]
    return [
        *refused, *_no_sets(report), *bytes_alone,
        "hadamard: a block Hadamard unit in front of the lifting; blocks: a scale a block of channels; both: both.",
        "transf., scale, resc.: part of the energy (lifting and Hadamard; quantizer; rescale and combine).",
        cycles(report["prefetch"]),
        *searched(report), *external_memory(report), *clock({
            name: one["clock_mhz"] for name, one in report["energy_by_set"].items() if one["machines"]}, report),
        f"Energy: modelled, event counts times the constants of set {chosen['name']} ({chosen['node']}); "
        f"{'gates with clocks and rest' if 'gates' in chosen else 'arithmetic'}, memories and DRAM"
        f"{'' if 'gates' in chosen else ' alone'}. Sets: " + ", ".join(
            f"{name} ({one['node']})" for name, one in report["energy_by_set"].items() if one["machines"]) + ".",
        *([] if "accuracy" not in report else [f"Accuracy: {report['accuracy']['source']}."]),
        "Multipliers and memory stand for area where no set has gates of a machine; areas are of cells before "
        "placement and of banks alone.",
        f"Not included: {missing(report)}.",
    ]


def _no_sets(report: Mapping[str, Any]) -> list[str]:
    """The machines that a set beside the first has no figures of."""
    found = []
    for name, one in list(report["energy_by_set"].items())[1:]:
        if not one["machines"]:
            found.append(f"Energy set {name} is left out: {one['refused']['plain']}.")
        elif one["refused"]:
            found.append(f"Energy set {name} has gates of other hardware than {', '.join(one['refused'])}.")
    return found
