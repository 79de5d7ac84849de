"""Lookup tables of a liberty file over slew and load: bilinear between the points, extended along the outer ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from rtl_gen.asic.liberty import Group
from stamp_hw.errors import ConfigError

_LOAD = "total_output_net_capacitance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`values[i][j]` at `slews[i]` (ns) and `loads[j]` (fF); a table without one of the two has one point there."""

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, slew: float, load: float) -> float:
        low, high, part = _between(self.slews, slew)
        left, right, along = _between(self.loads, load)
        first, second = ((1 - along) * row[left] + along * row[right] for row in (self.values[low], self.values[high]))
        return (1 - part) * first + part * second


def _between(points: tuple[float, ...], place: float) -> tuple[int, int, float]:
    """Two neighbouring points and the part of the way from the first to the second."""
    if len(points) == 1:
        return 0, 0, 0.0
    low = min(max(bisect_right(points, place) - 1, 0), len(points) - 2)
    return low, low + 1, (place - points[low]) / (points[low + 1] - points[low])


def read(group: Group, templates: Mapping[str, Group], ns: float, ff: float, unit: float, where: str) -> Table:
    """A table. `ns` and `ff` turn the file's times and capacitances into ns and fF, `unit` its values.

    Raises ConfigError for a table of other variables, or whose points do not fit its values.
    """
    template = templates.get(group.name)
    rows = [_numbers(row, f"{where}: values") for row in group.complex.get("values", ())]
    flat = [value * unit for row in rows for value in row]
    if group.name == "scalar" or len(flat) == 1:
        return Table(slews=(0.0,), loads=(0.0,), values=((flat[0] if flat else 0.0,),))
    if template is None:
        raise ConfigError("unknown template of a table", where=where, got=group.name,
                          expected="a template of the library")
    axes = []
    for number in (1, 2):
        variable = template.attributes.get(f"variable_{number}")
        if variable is None:
            continue
        texts = group.complex.get(f"index_{number}") or template.complex.get(f"index_{number}") or ("",)
        points = _numbers(" ".join(texts), f"{where}: index_{number}")
        axes.append((variable, points))
    size = 1
    for _, points in axes:
        size *= len(points)
    if size != len(flat) or any(list(points) != sorted(set(points)) for _, points in axes):
        raise ConfigError("a table whose points do not fit its values", where=where, got=f"{len(flat)} values",
                          expected=f"{size}, at ascending points")
    if len(axes) == 1:
        variable, points = axes[0]
        if variable == _LOAD:
            return Table(slews=(0.0,), loads=tuple(ff * x for x in points), values=(tuple(flat),))
        return Table(slews=tuple(ns * x for x in points), loads=(0.0,), values=tuple((value,) for value in flat))
    (first, ones), (_, others) = axes
    cut = [tuple(flat[start : start + len(others)]) for start in range(0, len(flat), len(others))]
    if first == _LOAD:  # the file's rows are loads
        return Table(slews=tuple(ns * x for x in others), loads=tuple(ff * x for x in ones),
                     values=tuple(zip(*cut, strict=True)))
    return Table(slews=tuple(ns * x for x in ones), loads=tuple(ff * x for x in others), values=tuple(cut))


def _numbers(text: str, where: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise ConfigError("not numbers", where=where, got=text[:60], expected="numbers") from None
