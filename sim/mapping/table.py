"""The mapping that was found, as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from stamp_hw.text import WIDTH, align, labels

NAMES = {"cycles": "fewest cycles", "energy": "least energy", "edp": "least energy · delay"}


def title(objective: str) -> str:
    """What was searched for."""
    return f"Super-tiles searched for the {NAMES.get(objective, objective)}, each scheme its own"


def render(report: Mapping[str, Any]) -> str:
    """A line a layer and scheme: the job registers, and what other numbers of 8-bit tokens would take."""
    header = ("layer", "scheme", "super-tile", "of them", "8 bits", "array tiles", "fewer at", "as many to")
    rows = []
    for label, layer in zip(labels(list(report["layers"])), report["layers"].values(), strict=True):
        for scheme, figures in layer.items():
            found = figures["mapping"]
            fewer = "–" if found["fewer_tiles"] is None else f"{found['n_hi_of_fewer_tiles']}: {found['fewer_tiles']}"
            rows.append((label, scheme, f"{found['tile_width']}x{found['tile_height']}", str(figures["super_tiles"]),
                         str(figures["n_hi"]), str(found["array_tiles_a_column"]), fewer,
                         str(found["n_hi_of_as_many"])))
    said = ("array tiles: of a column tile; fewer at: the most tokens at 8 bits that take fewer, and how many; as many "
            "to: the most that take no more.")
    return "\n".join([title(report["mapping"]["objective"]), align(header, rows, left=2), *textwrap.wrap(said, WIDTH)])
