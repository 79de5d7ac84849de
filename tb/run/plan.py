"""The functional test plan (tb/run/plan.yaml): shapes × stalls × modes × corners of each unit, and the tests to meet
them.

A section of the file is a unit of a testbench. `axes` lists the values of each axis; a point says which of them its
tests bring together, all with all. Two values of the axes in PAIRS must meet in some point, unless `apart` says why
they cannot: a corner is a shape of its own, and `state`, what came before a job, has nothing to do with its shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from stamp_hw.errors import ConfigError
from stamp_hw.formats.yaml_file import load_yaml

FILE = Path(__file__).with_name("plan.yaml")
AXES = ("shape", "stall", "mode", "corner", "state")
PAIRS = (("shape", "stall"), ("shape", "mode"), ("stall", "mode"), ("corner", "stall"), ("corner", "mode"),
         ("state", "mode"))
ANY = "any"
_SECTION, _POINT = {"block", "axes", "apart", "points"}, {"point", "tests", "collected"}
_APART = {"these", "those", "why"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A point of the plan: `axes` → the values that `tests` (of the block's bench) and `collected` (by pytest,
    `file::test`) bring together."""

    block: str
    name: str
    axes: Mapping[str, tuple[str, ...]]
    tests: tuple[str, ...]
    collected: tuple[str, ...]

    def pairs(self) -> Iterator[frozenset[str]]:
        """Every two values of PAIRS that meet here."""
        for left, right in PAIRS:
            for pair in product(self.axes[left], self.axes[right]):
                yield frozenset(pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The plan of one unit. `apart`: two values that never meet → why."""

    name: str
    axes: Mapping[str, tuple[str, ...]]
    apart: Mapping[frozenset[str], str]
    entries: tuple[Entry, ...]

    def wanted(self) -> Iterator[frozenset[str]]:
        """Every two values that must meet."""
        for left, right in PAIRS:
            for pair in product(self.axes[left], self.axes[right]):
                yield frozenset(pair)

    def missing(self) -> tuple[frozenset[str], ...]:
        """Pairs that no point brings together and nothing keeps apart."""
        met = {pair for entry in self.entries for pair in entry.pairs()}
        return tuple(pair for pair in self.wanted() if pair not in met and pair not in self.apart)

    def idle(self) -> tuple[frozenset[str], ...]:
        """Pairs that are kept apart and meet all the same, or that nobody asks for."""
        met, wanted = {pair for entry in self.entries for pair in entry.pairs()}, set(self.wanted())
        return tuple(pair for pair in self.apart if pair in met or pair not in wanted)


def load(path: Path = FILE) -> tuple[Section, ...]:
    """The sections of the plan. Raises ConfigError for a file that is no plan."""
    data = load_yaml(path, "test plan")
    if not isinstance(data, dict):
        raise ConfigError("not a test plan", where=str(path), got=data, expected="a mapping of units")
    return tuple(_section(str(name), section, f"{path}: {name}") for name, section in data.items())


def entries(path: Path = FILE) -> tuple[Entry, ...]:
    """The points of all sections."""
    return tuple(entry for section in load(path) for entry in section.entries)


def _keys(value: Any, wanted: set[str], where: str, optional: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict) or not wanted - (optional or set()) <= set(value) <= wanted:
        raise ConfigError("wrong keys", where=where, got=sorted(value) if isinstance(value, dict) else value,
                          expected=", ".join(sorted(wanted)))
    return value


def _names(value: Any, where: str) -> tuple[str, ...]:
    """One name or a list of different ones."""
    names = tuple([value] if isinstance(value, str) else value if isinstance(value, list) else [])
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ConfigError("wrong names", where=where, got=value, expected="a name, or a list of different names")
    return names


def _section(name: str, data: Any, where: str) -> Section:
    data = _keys(data, _SECTION, where, optional={"apart"})
    given = _keys(data["axes"], set(AXES), f"{where}.axes")
    axes = {axis: _names(given[axis], f"{where}.axes.{axis}") for axis in AXES}
    known = [value for values in axes.values() for value in values]
    if len(set(known)) != len(known) or ANY in known:
        raise ConfigError("a value of two axes", where=f"{where}.axes", got=sorted(known), expected="different names")
    apart: dict[frozenset[str], str] = {}
    for index, item in enumerate(data.get("apart", [])):
        item = _keys(item, _APART, f"{where}.apart[{index}]")
        both = [_names(item[key], f"{where}.apart[{index}].{key}") for key in ("these", "those")]
        if unknown := {value for values in both for value in values} - set(known):
            raise ConfigError("unknown value", where=f"{where}.apart[{index}]", got=sorted(unknown),
                              expected=", ".join(known))
        apart |= {frozenset(pair): str(item["why"]) for pair in product(*both)}
    found = tuple(_entry(str(data["block"]), name, point, axes, f"{where}.points[{index}]")
                  for index, point in enumerate(data["points"]))
    return Section(name=name, axes=axes, apart=apart, entries=found)


def _entry(block: str, section: str, data: Any, axes: Mapping[str, tuple[str, ...]], where: str) -> Entry:
    data = _keys(data, _POINT | set(AXES), where, optional={"collected"})
    chosen = {}
    for axis, values in axes.items():
        chosen[axis] = values if data[axis] == ANY else _names(data[axis], f"{where}.{axis}")
        if not set(chosen[axis]) <= set(values):
            raise ConfigError("unknown value", where=f"{where}.{axis}", got=data[axis], expected=", ".join(values))
    return Entry(block=block, name=f"{section}.{data['point']}", axes=chosen,
                 tests=_names(data["tests"], f"{where}.tests"),
                 collected=_names(data["collected"], f"{where}.collected") if "collected" in data else ())
