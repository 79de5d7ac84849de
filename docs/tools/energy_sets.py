"""The figures of energy under every set at hand, and of the table of on-chip memories: `docs.tools.record` takes
them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from docs.tools.figures import whole
from sim.banks import total_bytes
from sim.workload.compare import SCHEMES
from stamp_hw.config import NpuConfig

SETS = ("horowitz45", "freepdk45", "osu018")
MACHINE = "plain"  # the hardware whose gates the sets have
PILOT_BYTES = 8192
_CHECKED = ("read_pj", "write_pj", "leakage_uw")


def by_set(report: Mapping[str, Any]) -> dict[str, Any]:
    """mJ of a unit of each phase under every set, as rows of a table; the orders of the schemes; whether they are the
    same, and what STaMP takes over 4 bits alone in the first phase."""
    found = {name: report["energy_by_set"].get(name) for name in SETS}
    lacks = [name for name, one in found.items() if one is None or MACHINE not in one["machines"]]
    whole(not lacks, f"sets {', '.join(lacks)}")
    phases = [phase["name"] for phase in report["workload"]["phases"]]
    rows, orders, over = [], [], {}
    for name, one in found.items():
        schemes = one["machines"][MACHINE]
        for phase in phases:
            cells = " | ".join(f"{1000 * schemes[scheme][phase]:.4g}" for scheme in SCHEMES)
            rows.append(f"| `{name}`, {one['node']} | {phase} | {cells} |")
        order = report["orders_by_energy"][name][MACHINE]
        orders.append(f"| `{name}` | {' < '.join(order)} |")
        over[name] = schemes["w4_stamp"][phases[0]] / schemes["w4a4"][phases[0]] - 1
    first = report["orders_by_energy"][SETS[0]][MACHINE]
    changed = [name for name in SETS if report["orders_by_energy"][name][MACHINE] != first]
    return {"table": "\n".join(rows), "orders": "\n".join(orders), "stamp_over_a4": over, "changed": len(changed),
            "said": f"The order is another under {' and '.join(f'`{name}`' for name in changed)}." if changed else
                    "The order is the same under all of them.",
            "rows": report["config"]["hw"]["rows"], "cols": report["config"]["hw"]["cols"]}


def memory_table(report: Mapping[str, Any]) -> dict[str, Any]:
    """A bank of 8 KB with words of 64 bits; how far the table is from CACTI at the banks of the shipped
    configurations."""
    banks = report["banks"]
    whole(len(banks) >= 20, f"{len(banks)} banks")
    off = {name: [abs(one[name]["table"] / one[name]["cacti"] - 1) for one in banks] for name in _CHECKED}
    pilot, chosen = report["pilot"], report["device"]
    hp_leakage_uw = pilot["itrs-hp"]["leakage_uw"] * total_bytes(NpuConfig().hw) / PILOT_BYTES
    return {**pilot[chosen], "node": report["node"], "device": chosen, "lop": pilot["itrs-lop"],
            "hp": pilot["itrs-hp"], "hp_leakage_w": hp_leakage_uw / 1e6, "banks": len(banks),
            "slow": sum(1e-9 * one["access_ns"]["table"] * NpuConfig().hw.freq_hz > 1 for one in banks),
            **{f"{name.partition('_')[0]}_off": {"median": statistics.median(values), "worst": max(values)}
               for name, values in off.items()}}
