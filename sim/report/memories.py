"""The table of on-chip memories: the banks of each, what an access costs, how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.report import cells
from sim.report.check import above_zero, figure, mapping, record
from sim.report.view import Table

#: What a report may have: of each memory its banks and the price of an access; and what a model's scheme may have.
DESCRIBED = {"memories": mapping(record({**dict.fromkeys(("banks", "words", "bits"), above_zero),
                                         "access_pj": figure}))}
SPENT = {"memories": mapping(record({"accesses": figure, "energy_fj": figure}))}

Figures = Mapping[str, Any]


def table(document: Figures, scheme: str, spent: Mapping[str, tuple[float, float]], whole: float) -> list[Table]:
    """`spent` memory → accesses and joules under the scheme, of `whole` joules; nothing of a report without
    memories."""
    found = [(name, one, *spent[name]) for name, one in document.get("memories", {}).items() if name in spent]
    if not found:
        return []
    return [cells.table(f"On-chip memories as the banks that they are, {scheme}", [
        ("memory", cells.words([name.replace("_", " ") for name, *_ in found])),
        *((heading, cells.counts([one[key] for _, one, *_ in found])) for heading, key in (
            ("banks", "banks"), ("words of a bank", "words"), ("bits of a word", "bits"))),
        cells.scaled("size of all", [one["banks"] * one["words"] * one["bits"] / 8 for _, one, *_ in found], "B"),
        ("pJ an access", cells.plain([one["access_pj"] for _, one, *_ in found], 3)),
        ("accesses", cells.counts([count for *_, count, _ in found])),
        cells.scaled("energy", [joules for *_, joules in found], "J"),
        ("of all, %", cells.plain([100 * joules / whole if whole else None for *_, joules in found], 2)),
    ], (0,), origin="energy", note="An access reads or writes a word of one bank.")]
