"""Figures of `make peers`: ratios of CPU time, and a layer beside ZigZag part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docs.tools.figures import whole

_SHAPES, _DATAFLOWS, _PRODUCTS = 50, 3, 7
_SIDES = ("ours", "zigzag")
#: Parts of the cycles around the array's steps, of each side.
_AROUND = {"ours": ("wait_drain", "wait_activations", "wait_weights", "wait_output", "wait_dram_activations",
                    "wait_dram_weights", "wait_dram_bytes", "tail"),
           "zigzag": ("wait_memory", "load", "unload", "drain")}
_STEPS = {"ours": "streaming", "zigzag": "steps"}


def beside(report: Mapping[str, Any]) -> dict[str, Any]:
    """Ratios and the CPU seconds that they are of; cycles, MB and mJ of the layer by part, of both sides. Taken where
    every product and enough shapes were run."""
    scale, zigzag = report["scalesim"], report["zigzag"]
    shapes = {tuple(run[name] for name in ("m", "k", "n", "rows", "cols")) for run in scale["runs"]}
    whole(len(shapes) >= _SHAPES and len(scale["runs"]) == _DATAFLOWS * len(shapes), f"{len(shapes)} shapes")
    whole(len(zigzag["products"]) == _PRODUCTS, f"{len(zigzag['products'])} of {_PRODUCTS} products")
    total = {side: zigzag["total"][side] for side in _SIDES}
    cycles = {side: {"steps": total[side]["cycles"][_STEPS[side]], "total": total[side]["cycles"]["total"],
                     "around": sum(total[side]["cycles"][part] for part in _AROUND[side])} for side in _SIDES}
    stamp = zigzag["total"]["ours_stamp"]
    return {
        **{name: report[name] for name in ("sim_vs_scalesim", "sim_vs_zigzag", "cold_vs_scalesim", "cold_vs_zigzag")},
        "versions": {"scalesim": report["versions"]["scalesim"]["scalesim"],
                     "zigzag": report["versions"]["zigzag"]["zigzag-dse"]},
        "runs": len(scale["runs"]), "shapes": len(shapes),
        "scalesim": {"cpu_s": scale["cpu_s"], "cold_s": scale["cold_s"], "ours_ms": 1e3 * scale["ours_cpu_s"],
                     "count_us": 1e6 * scale["count_cpu_s"], "ours_cold_s": scale["ours_cold_s"]},
        "zigzag": {"cpu_s": zigzag["cpu_s"], "cold_s": zigzag["cold_s"], "ours_ms": 1e3 * zigzag["ours_cpu_s"],
                   "ours_cold_s": zigzag["ours_cold_s"]},
        "model": zigzag["model"], "opt": zigzag["opt"], "cycles": cycles,
        "loads": total["zigzag"]["cycles"]["load"],
        "mbytes": {side: {name: moved / 1e6 for name, moved in total[side]["dram_bytes"].items()} for side in _SIDES},
        "mj": {side: _millijoules(total[side]["energy_pj"]) for side in _SIDES},
        "super_tiles": max(one["ours"]["super_tiles"]["count"] for one in zigzag["products"].values()),
        "stamp": {"cycles": stamp["cycles"]["total"], "mj": stamp["energy_pj"]["total"] / 1e9,
                  "mbytes": stamp["dram_bytes"]["total"] / 1e6},
    }


def _millijoules(energy_pj: Mapping[str, float]) -> dict[str, float]:
    """By part, the external memory's operands together."""
    found = {name: pj / 1e9 for name, pj in energy_pj.items() if not name.startswith("dram_")}
    return found | {"dram": sum(pj for name, pj in energy_pj.items() if name.startswith("dram_")) / 1e9}
