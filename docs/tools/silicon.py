"""Figures of docs/silicon.md, from what `python -m tb.asic.silicon` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNITS = ("lifting", "hadamard", "scale", "combine", "inverse", "rescale", "finish", "array", "control", "pe")
HAAR = ("lifting", "inverse")
ALL = (*HAAR, "hadamard", "combine")


def silicon(report: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of both sizes, what STaMP has of each, and the published figures as a table."""
    sizes = report["engines"]
    pes = {name: one["units"]["pe"]["area_um2"] for name, one in sizes["16"].items()}
    return {**{key: report[key] for key in ("clock_mhz", "voltage", "slowest", "tokens", "mapped", "off")},
            **{f"r{rows}": _size(engines) for rows, engines in sizes.items()},
            "pe_over_a8": pes["stamp"] / pes["a8"], "pe_over_a4": pes["stamp"] / pes["a4"],
            "published": _published(report)}


def _size(engines: Mapping[str, Any]) -> dict[str, Any]:
    stamp = engines["stamp"]

    def part(key: str, names: tuple[str, ...]) -> float:
        return sum(float(stamp["units"][name][key]) for name in names)

    def over(name: str, *keys: str) -> float:
        return sum(float(stamp[key]) for key in keys) / sum(float(engines[name][key]) for key in keys)

    return {"table": _units(stamp), "engines": _engines(engines),
            "haar_memories_mm2": part("memories_um2", HAAR) / 1e6, "haar_mm2": part("area_um2", HAAR) / 1e6,
            "block_memories_mm2": part("memories_um2", ("combine",)) / 1e6, "mm2": stamp["area_um2"] / 1e6,
            "memories_over_a8": over("a8", "memories_um2"), "whole_over_a8": over("a8", "area_um2", "memories_um2"),
            "haar_area": part("area_share", HAAR), "haar_energy": part("share", HAAR),
            "all_area": part("area_share", ALL), "all_energy": part("share", ALL),
            "scale_over_a8": stamp["units"]["scale"]["area_um2"] / engines["a8"]["units"]["scale"]["area_um2"],
            "area_over_a8": over("a8", "area_um2"), "energy_over_a8": over("a8", "gates_pj"),
            "energy_over_a4": over("a4", "gates_pj"), "all_over_a8": over("a8", "gates_pj", "memories_pj")}


def _units(stamp: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {one['area_um2']:,.0f} | {one['area_share']:.1%} | {one['clock_mhz']:.0f} | "
            f"{one['pj']:,.0f} | {one['share']:.1%} | {one['memories_um2']:,.0f} | "
            f"{one['memories_pj']:,.0f} |"
            for name in UNITS for one in (stamp["units"][name],)]
    return "\n".join(["| unit | µm² | of the area | MHz | pJ a token, gates | of the energy | its memories, µm² | pJ a "
                      "token |",
                      "|---|---|---|---|---|---|---|---|", *(row.replace("%", " %") for row in rows)])


def _engines(engines: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {one['area_um2'] / 1e6:.3f} | {one['gates_pj'] / 1e3:,.0f} | "
            f"{one['memories_pj'] / 1e3:,.0f} | {one['cycles']:,} | {one['tops']:.3f} | "
            f"{one['tops_w']:.2f} | {one['tops_w_memories']:.2f} | "
            f"{one['tops_mm2']:.3f} | {one['memories_um2'] / 1e6:.2f} | "
            f"{one['tops_mm2_memories']:.4f} |" for name, one in engines.items()]
    return "\n".join(["| engine | mm² | nJ a token, gates | memories | cycles | TOPS | TOPS/W, gates | with memories | "
                      "TOPS/mm², gates | memories, mm² | TOPS/mm², with memories |",
                      "|---|---|---|---|---|---|---|---|---|---|---|", *rows])


def _published(report: Mapping[str, Any]) -> str:
    ours = [(f"{rows} × {rows}, {name}", "45 nm", {"stamp": "4 and 8 bits", "a8": "INT8", "a4": "INT4"}[name],
             report["clock_mhz"], one["tops_w_memories"], one["tops_mm2_memories"], "with",
             "gates, before placement", "this page") for rows, engines in report["engines"].items()
            for name, one in engines.items()]
    theirs = [(one["name"], one["node"], one["precision"], one["mhz"], one["tops_w"], one["tops_mm2"], one["memories"],
               f"{one['stage']}; {one['derived']}", one["source"]) for one in report["published"]]
    rows = [f"| {name} | {node} | {bits} | {'–' if mhz is None else format(mhz, '.0f')} | {watt:.3g} | {area:.3g} | "
            f"{memories} | {stage} | {source} |"
            for name, node, bits, mhz, watt, area, memories, stage, source in [*ours, *theirs]]
    return "\n".join(["| | node | operands | MHz | TOPS/W | TOPS/mm² | memories | what it is | source |",
                      "|---|---|---|---|---|---|---|---|---|", *rows])
