"""A sweep's YAML, read strictly: what is swept, over what, and what for (docs/sweep.md says what each key means)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from sim.cost import energy
from sim.mapping import objective
from sim.sweep import axes, workloads
from sim.sweep.axes import Axis, Steps, Values
from sim.sweep.points import MAPPING
from sim.sweep.workloads import Load
from stamp_hw import schemes
from stamp_hw.config import HwConfig, JobConfig, NpuConfig
from stamp_hw.errors import ConfigError, StampError, brief
from stamp_hw.formats.values import check_whole, name
from stamp_hw.formats.yaml_file import load_yaml

_KEYS = ("name", "base", "workload", "schemes", MAPPING, "axes", "together", "samples", "seed", "objectives",
         "energy_set")
_FIELDS = {"hw": tuple(item.name for item in fields(HwConfig)), "job": tuple(item.name for item in fields(JobConfig)),
           "workload": workloads.KEYS}
OBJECTIVES = ("time_s", "energy_fj", "pes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep that can be run.

    `base` sections of a configuration, as the user wrote them, so that what they leave out follows from a point's own
    values; `workload` that section; `folder` where its paths are looked for; `mapping` the `largest` super-tiles, or
    the objective that they are searched for, where no axis moves it; `energy_set` a set's YAML, None for the one that
    the configuration names; `samples` random points, None for all combinations; `seed` of these; `files` what
    it is read from, by key.
    """

    name: str
    base: dict[str, Any]
    workload: dict[str, Any]
    folder: Path
    schemes: tuple[str, ...]
    mapping: str
    axes: tuple[Axis, ...]
    samples: int | None
    seed: int
    objectives: tuple[str, ...]
    energy_set: str | None
    files: dict[str, Path]

    @property
    def moved(self) -> list[str]:
        """The fields that its axes move."""
        return [field for one in self.axes for field in one.fields]

    def points(self) -> Iterator[Values]:
        """The values of every point, in their order: the same whenever asked."""
        if self.samples is not None:
            return axes.samples(self.axes, self.samples, np.random.default_rng(self.seed))
        return axes.grid([one for one in self.axes if isinstance(one, Steps)])

    def load_of(self, values: Values) -> Load:
        """The workload of a point. Raises StampError for an impossible one."""
        own = {field.partition(".")[2]: value for field, value in values.items() if field.startswith("workload.")}
        return workloads.build({**self.workload, **own}, self.folder)


def read(path: Path) -> Sweep:
    """The sweep of a file. Raises StampError naming file and place for what is none, whatever its points."""
    try:
        return _sweep(load_yaml(path, "sweep"), path)
    except StampError as error:
        if error.where.startswith(str(path)):
            raise
        raise ConfigError(error.what, where=f"{path}: {error.where}" if error.where else str(path), got=error.got,
                          expected=error.expected) from None


def _sweep(data: Any, path: Path) -> Sweep:
    if not isinstance(data, dict):
        raise ConfigError("not a mapping", got=brief(data), expected=f"keys among {', '.join(_KEYS)}")
    for key in data:
        if key not in _KEYS:
            raise ConfigError("unknown key", where=str(key), expected=f"one of {', '.join(_KEYS)}")
    samples, seed = data.get("samples"), data.get("seed", 0)
    check_whole("samples", samples, 1, axes.MOST_POINTS, optional=True)
    check_whole("seed", seed, 0, 2**63)
    moved = _axes(data, samples is not None)
    sweep = Sweep(
        name=name("name", data.get("name", path.stem)), base=_base(data.get("base"), path.parent),
        workload=_mapping("workload", data.get("workload")), folder=path.parent,
        schemes=tuple(_texts("schemes", data.get("schemes", ["stamp"]))),
        mapping=data.get(MAPPING, objective.LARGEST), axes=moved, samples=samples, seed=seed,
        objectives=tuple(_texts("objectives", data.get("objectives", list(OBJECTIVES)))),
        energy_set=_energy_set(data.get("energy_set"), path.parent), files=_files(data, path.parent))
    _check(sweep)
    return sweep


def _check(sweep: Sweep) -> None:
    """Raise StampError for what is wrong at every point."""
    for field in sweep.moved:
        _check_field(field)
    if len(set(sweep.moved)) < len(sweep.moved):
        twice = next(field for field in sweep.moved if sweep.moved.count(field) > 1)
        raise ConfigError("field on two axes", where="axes", got=twice, expected="each once")
    objective.searched(MAPPING, sweep.mapping)
    schemes.check(sweep.schemes, where="schemes", data=False)
    there = axes.combinations(sweep.axes)
    if sweep.samples is None and there is not None and there > axes.MOST_POINTS:
        raise ConfigError("too many points", where="axes", got=there,
                          expected=f"at most {axes.MOST_POINTS}, or samples")
    if sweep.samples is not None and there is not None and there < sweep.samples:
        raise ConfigError("more samples than points", where="samples", got=sweep.samples, expected=f"at most {there}")
    own = [field.partition(".")[2] for field in sweep.moved if field.startswith("workload.")]
    workloads.check_keys("workload", dict.fromkeys([*sweep.workload, *own]))
    if not own:
        sweep.load_of({})


def _axes(data: dict[str, Any], random: bool) -> tuple[Axis, ...]:
    alone = _mapping("axes", data.get("axes", {}))
    beside = data.get("together", [])
    if not isinstance(beside, list):
        raise ConfigError("not a list", where="together", got=brief(beside), expected="mappings of fields to lists")
    if not alone and not beside:
        raise ConfigError("nothing to sweep", where="axes", expected="fields and their values, as in hw.rows: [8, 16]")
    return (*(axes.together(f"together[{place}]", one) for place, one in enumerate(beside)),
            *(axes.axis(f"axes.{field}", str(field), one, random=random) for field, one in alone.items()))


def _check_field(field: str) -> None:
    if field == MAPPING:
        return
    section, _, key = field.partition(".")
    known = _FIELDS.get(section, ())
    if key.partition(".")[0] not in known:
        every = [MAPPING, *(f"{part}.{one}" for part, names in _FIELDS.items() for one in names)]
        near = difflib.get_close_matches(field, every, 1)
        raise ConfigError("no such field", where="axes", got=field, expected=f"{near[0]}?" if near else
                          f"{section}. and one of {', '.join(known)}" if known else
                          f"hw.…, job.…, workload.… or {MAPPING}")


def _base(data: Any, folder: Path) -> dict[str, Any]:
    """The sections of a configuration, of a file or given here; it has to be one without a point's values as well."""
    if isinstance(data, str):
        path = folder / data
        NpuConfig.load(path)
        data = load_yaml(path, "configuration")
    try:
        NpuConfig.from_dict(data)
    except ConfigError as error:
        raise ConfigError(error.what, where=f"base.{error.where}".rstrip("."), got=error.got,
                          expected=error.expected) from None
    return {section: values for section, values in (data or {}).items() if values is not None}


def _energy_set(data: Any, folder: Path) -> str | None:
    if data is None:
        return None
    path = folder / name("energy_set", data)
    if not path.exists() and data in (*energy.shipped(), *energy.MADE):
        energy.load(data, "energy_set")
        return energy.shipped_text(data)
    energy.load_file(path)
    return path.read_text("utf-8")


def _files(data: dict[str, Any], folder: Path) -> dict[str, Path]:
    words = {"base": data.get("base"), "workload.model": data["workload"].get("model"),
             "energy_set": data.get("energy_set")}
    return {key: folder / word for key, word in words.items() if isinstance(word, str) and (folder / word).exists()}


def _mapping(where: str, data: Any) -> dict[str, Any]:
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ConfigError("not a mapping", where=where, got=brief(data), expected="keys and values")
    return data


def _texts(where: str, data: Any) -> list[str]:
    if not isinstance(data, list) or not data or not all(isinstance(item, str) for item in data):
        raise ConfigError("not a list of names", where=where, got=brief(data), expected="names, at least one")
    if len(set(data)) < len(data):
        raise ConfigError("name given twice", where=where, got=brief(data), expected="each once")
    return data
