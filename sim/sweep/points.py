"""Points costed, wherever that happens: texts of JSON go in and come out, the same in every process.

A point that cannot be costed has the line that says why in place of its figures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sim.cost import energy
from sim.cost.energy import EnergySet
from sim.mapping import objective
from sim.sweep import figures
from sim.sweep.workloads import Load
from sim.workload import file
from sim.workload.run import Run
from stamp_hw import rooms
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError, StampError, brief

#: What a mistake of ours at a point raises; the other points are worth having all the same.
_MISTAKES = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
MISTAKE = "a mistake of stamp-hw"
#: Key of a sweep and field of a point: `largest` super-tiles, or the objective that they are searched for.
MAPPING = "mapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all points of a sweep have in common: `base` sections of the configuration, an `energy_set` of the user's
    own or None, the `mapping` where a point has none of its own, and the digest of the `code` that costs them."""

    base: dict[str, Any]
    schemes: tuple[str, ...]
    energy_set: str | None
    mapping: str
    code: str

    def text(self) -> str:
        """As JSON."""
        return dumps({"base": self.base, "schemes": self.schemes, "energy_set": self.energy_set,
                      "mapping": self.mapping, "code": self.code})


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """`number` from 0 on, `values` of the fields that the sweep moves, `load` the text of `loaded`."""

    number: int
    values: Mapping[str, Any]
    load: str


def code_digest() -> str:
    """Tells this code from another's that might cost a point otherwise."""
    return rooms.sources_digest("stamp_hw", "sim")


def loaded(load: Load) -> str:
    """A workload as a text, or that of `refused`."""
    return dumps({"workload": file.to_dict(load.workload), "vector_lanes": load.vector_lanes,
                  "prefetch": load.prefetch})


def refused(error: StampError) -> str:
    """The text of a workload that there is none of."""
    return dumps({"error": str(error)})


def chunk(points: Iterable[Point]) -> str:
    """Several points as a text, each workload once."""
    loads: dict[str, int] = {}
    rows = [(point.number, point.values, loads.setdefault(point.load, len(loads))) for point in points]
    return dumps({"points": rows, "loads": list(loads)})


def work(setting: str, points: str) -> tuple[float, str]:
    """(seconds, a line a point) of a chunk. Raises StampError where other code than the sweep's is to cost them."""
    start = time.perf_counter()
    shared, given = _setting(setting), json.loads(points)
    if shared.code != code_here():
        raise StampError("a worker runs another stamp-hw", where="--scheduler", got=code_here()[:12],
                         expected=f"{shared.code[:12]}, the one that the sweep was started with")
    lines = [dumps({"point": number, "values": values, "schemes": _costed(shared, values, given["loads"][load])})
             for number, values, load in given["points"]]
    return time.perf_counter() - start, "\n".join(lines)


def configured(base: Mapping[str, Any], values: Mapping[str, Any]) -> NpuConfig:
    """The configuration of a point. Raises ConfigError for one that no hardware or job can have."""
    data = {"hw": {}, "job": {}, **deepcopy(dict(base))}
    for field, value in values.items():
        section, *path = field.split(".")
        if section in ("hw", "job"):
            *path, name = path
            inner = data[section]
            for part in path:
                inner = inner.setdefault(part, {})
                if not isinstance(inner, dict):
                    raise ConfigError("not a mapping", where=field, got=brief(inner), expected=f"a mapping as {part}")
            inner[name] = value
    return NpuConfig.from_dict(data)


def dumps(value: Any) -> str:
    """As JSON in one line, the same for the same value."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _costed(shared: Setting, values: Mapping[str, Any], load: str) -> dict[str, dict[str, Any]]:
    """Scheme → its figures, or `error`."""
    try:
        own = _workload(load)
        config = configured(shared.base, values)
        energy_set = _energy(shared.energy_set, config.hw.technology).with_memory(config.hw.memory)
        run = Run(own.workload, config, energy_set, own.vector_lanes,
                  objective.searched(MAPPING, values.get(MAPPING, shared.mapping)), prefetch=own.prefetch)
    except (StampError, *_MISTAKES) as error:
        return {scheme: _error(error) for scheme in shared.schemes}
    found = {}
    for scheme in shared.schemes:
        try:
            found[scheme] = figures.of(run, scheme)
        except (StampError, *_MISTAKES) as error:
            found[scheme] = _error(error)
    return found


def _error(error: Exception) -> dict[str, Any]:
    own = isinstance(error, StampError)
    return {"error": str(error) if own else f"{MISTAKE}: {type(error).__name__}: {error}"}


@lru_cache(maxsize=1)
def code_here() -> str:
    """`code_digest` of this process."""
    return code_digest()


@lru_cache(maxsize=4)
def _setting(text: str) -> Setting:
    data = json.loads(text)
    return Setting(base=data["base"], schemes=tuple(data["schemes"]), energy_set=data["energy_set"],
                   mapping=data["mapping"], code=data["code"])


@lru_cache(maxsize=64)
def _workload(text: str) -> Load:
    """The workload of a text. Raises StampError with what the text of none says."""
    data = json.loads(text)
    if "error" in data:
        raise StampError(data["error"])
    return Load(workload=file.from_dict(data["workload"]), vector_lanes=data["vector_lanes"],
                prefetch=data["prefetch"])


@lru_cache(maxsize=4)
def _energy(text: str | None, technology: str) -> EnergySet:
    return energy.load(technology) if text is None else energy.parse(text, "energy_set")
