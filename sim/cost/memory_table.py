"""What banks of SRAM cost, from a table over words and bits that a memory compiler or CACTI made (`sim.studies.cacti`).

Between the table's points every figure goes along a power of words and of bits (linear in the logarithms of all
three), beyond its last ones as between the two before. A bank of fewer words than the table's least costs what one of
those does: decoder and control do not shrink with it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib import resources
from typing import Any

from stamp_hw.errors import ConfigError
from stamp_hw.formats.yaml_file import parse_yaml
from stamp_hw.hw_config import require

MOST = 1e12  # of any figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """One bank with a read and a write port: pJ of an access, leakage in µW, area in µm², and the times in ns from
    address to word and between accesses."""

    read_pj: float
    write_pj: float
    leakage_uw: float
    area_um2: float
    access_ns: float
    cycle_ns: float


NAMES = tuple(field.name for field in fields(Bank))


@dataclass(frozen=True, kw_only=True)
class MemoryTable:
    """`rows[i][j]` is the bank of `words[i]` words of `bits[j]` bits; `node`, and the `source` that it came from."""

    name: str
    node: str
    source: str
    words: tuple[int, ...]
    bits: tuple[int, ...]
    rows: tuple[tuple[Bank, ...], ...]

    def bank(self, words: int, bits: int) -> Bank:
        """What a bank of so many words of so many bits costs."""
        low, along = _place(self.words, max(words, self.words[0]))
        left, across = _place(self.bits, bits)
        parts = ((1 - along) * (1 - across), (1 - along) * across, along * (1 - across), along * across)
        corners = (self.rows[low][left], self.rows[low][left + 1], self.rows[low + 1][left],
                   self.rows[low + 1][left + 1])
        return Bank(**{name: math.exp(sum(part * math.log(getattr(corner, name))
                                          for part, corner in zip(parts, corners, strict=True))) for name in NAMES})


def _place(points: tuple[int, ...], value: float) -> tuple[int, float]:
    """The point at or below a value, but for the last, and the part of the way to the next in the logarithm."""
    low = min(max(bisect_right(points, value) - 1, 0), len(points) - 2)
    return low, math.log(value / points[low]) / math.log(points[low + 1] / points[low])


@lru_cache(maxsize=4)
def load(name: str, where: str) -> MemoryTable:
    """The table of that name in the package. Raises ConfigError, in which `where` says who asks."""
    folder = resources.files("sim.cost") / "memory_tables"
    known = sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))
    if name not in known:
        raise ConfigError("no such table of memories", where=where, got=name, expected=" or ".join(known))
    file = f"{name}.yaml"
    return parse(parse_yaml((folder / file).read_text(encoding="utf-8"), file), file)


def parse(data: Any, where: str) -> MemoryTable:
    """A table from what its file holds: `name`, `node`, `source`, and of `words` words of `bits` bits each of the
    figures as a list a number of words. Raises ConfigError naming the place."""
    keys = ("name", "node", "source", "words", "bits", *NAMES)
    if not isinstance(data, Mapping) or set(data) != set(keys):
        raise ConfigError("not a table of memories", where=where, got=type(data).__name__ if not isinstance(
            data, Mapping) else ", ".join(map(str, data)), expected=f"keys {', '.join(keys)}")
    for key in keys[:3]:
        require(isinstance(data[key], str) and bool(data[key]), f"{where}: {key}", data[key], "a text")
    words, bits = (_points(data[key], f"{where}: {key}") for key in ("words", "bits"))
    for name in NAMES:
        grid = data[name]
        require(isinstance(grid, list) and len(grid) == len(words), f"{where}: {name}", grid, f"{len(words)} lists")
        for place, row in enumerate(grid):
            ok = isinstance(row, list) and len(row) == len(bits) and all(
                isinstance(x, int | float) and not isinstance(x, bool) and 0 < x <= MOST for x in row)
            require(ok, f"{where}: {name}[{place}]", row, f"{len(bits)} positive numbers")
    rows = tuple(tuple(Bank(**{name: float(data[name][i][j]) for name in NAMES}) for j in range(len(bits)))
                 for i in range(len(words)))
    return MemoryTable(name=data["name"], node=data["node"], source=data["source"], words=words, bits=bits, rows=rows)


def _points(value: Any, where: str) -> tuple[int, ...]:
    ok = isinstance(value, list) and len(value) >= 2 and all(type(x) is int and 0 < x <= MOST for x in value)
    require(ok and value == sorted(set(value)), where, value, "whole numbers from 1 on, ascending, at least two")
    return tuple(value)
