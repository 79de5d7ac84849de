"""Output SQNR of layers by kind and by block: where in a model the noise is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_BLOCK = re.compile(r"\.(\d+)\.")


def grouped(row: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """`kinds` and `blocks` of a report's row: kind, and number of the block, → mean dB of its layers with a finite
    figure. Nothing where no layer was watched; layers outside blocks (an output layer) are in none."""
    found = {name: layer["sqnr_db"] for name, layer in row.get("layers", {}).items()
             if abs(layer["sqnr_db"]) != float("inf")}
    return {"kinds": _means(found, kinds.__getitem__), "blocks": _means(found, block_of)} if found else {}


def block_of(name: str) -> str:
    """The first number among a layer's name's parts; "" without one."""
    match = _BLOCK.search(name)
    return match[1] if match else ""


def _means(found: Mapping[str, float], group: Callable[[str], str]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for name, decibels in found.items():
        values.setdefault(group(name), []).append(decibels)
    return {name: sum(of) / len(of) for name, of in values.items() if name}
