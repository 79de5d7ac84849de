"""A workload as YAML that a user edits: written by `--dump-workload`, read back to the same workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import IO, Any

import yaml

from sim.workload.ops import OPS, Linear, Op, Phase, Workload
from stamp_hw.errors import ConfigError, brief
from stamp_hw.formats.values import name
from stamp_hw.formats.yaml_file import load_yaml

HEAD = """\
# A workload of `stamp-hw simulate --model` and `stamp-hw compare`: phases, one after the other; each makes `produces`
# tokens or images in so many equal `steps` of its operations, for `batch` sequences or images side by side.
# docs/workloads.md says what each field means.
"""


def read(path: Path) -> Workload:
    """The workload of a file. Raises ConfigError naming file and place for what is none."""
    try:
        return from_dict(load_yaml(path, "workload"))
    except ConfigError as error:
        if error.where.startswith(str(path)):
            raise
        raise ConfigError(error.what, where=f"{path}: {error.where}" if error.where else str(path), got=error.got,
                          expected=error.expected) from None


def write(workload: Workload, stream: IO[str]) -> None:
    """As YAML, an operation a line where it fits."""
    stream.write(HEAD)
    yaml.safe_dump(to_dict(workload), stream, sort_keys=False, allow_unicode=True, default_flow_style=None, width=200)


def to_dict(workload: Workload) -> dict[str, Any]:
    """What `from_dict` reads back; fields that have their defaults are left out."""
    return {"name": workload.name, "not_included": list(workload.not_included),
            "phases": [{**_values(phase, ("ops",)), "ops": [_op_values(op) for op in phase.ops]}
                       for phase in workload.phases]}


def from_dict(data: Any) -> Workload:
    """Raises ConfigError naming the place."""
    _keys("workload", data, {"name", "phases"}, {"not_included"})
    phases = _list("phases", data["phases"])
    notes = _list("not_included", data.get("not_included", []))
    return Workload(name=name("name", data["name"]), phases=tuple(_phase(f"phases[{n}]", p)
                                                                   for n, p in enumerate(phases)),
                    not_included=tuple(name("not_included", note) for note in notes))


def _op_values(op: Op) -> dict[str, Any]:
    values = {"op": op.OP, **_values(op, ("outputs",))}
    if isinstance(op, Linear):
        values["outputs"] = dict(op.outputs)
        if op.grid is not None:
            values["grid"] = list(op.grid)
    return values


def _values(owner: Op | Phase, apart: tuple[str, ...]) -> dict[str, Any]:
    return {item.name: getattr(owner, item.name) for item in fields(owner)
            if item.name not in apart and getattr(owner, item.name) != item.default}


def _phase(where: str, data: Any) -> Phase:
    known = {item.name: item for item in fields(Phase)}
    _keys(where, data, _needed(known), set(known))
    ops = tuple(_op(f"{where}.ops[{n}]", op) for n, op in enumerate(_list(f"{where}.ops", data["ops"])))
    return Phase(**{**data, "name": name(f"{where}.name", data["name"]), "ops": ops})


def _op(where: str, data: Any) -> Op:
    if not isinstance(data, dict) or data.get("op") not in OPS:
        got = data.get("op") if isinstance(data, dict) else data
        raise ConfigError("no such operation", where=f"{where}.op", got=brief(got), expected=f"one of {', '.join(OPS)}")
    kind = OPS[data["op"]]
    values = {key: value for key, value in data.items() if key != "op"}
    known = {item.name: item for item in fields(kind)}
    _keys(where, values, _needed(known), set(known))
    values["name"] = name(f"{where}.name", values["name"])
    if kind is Linear:
        outputs = values["outputs"]
        if not isinstance(outputs, dict):
            raise ConfigError("not a mapping", where=f"{where}.outputs", got=brief(outputs),
                              expected="kinds of layers and their output channels, as in {q_proj: 576}")
        values["outputs"] = tuple((name(f"{where}.outputs", kind), n) for kind, n in outputs.items())
        if values.get("grid") is not None:
            values["grid"] = tuple(_list(f"{where}.grid", values["grid"]))
    return kind(**values)


def _needed(known: Mapping[str, Field[Any]]) -> set[str]:
    return {name for name, item in known.items() if item.default is MISSING}


def _keys(where: str, data: Any, needed: set[str], known: set[str]) -> None:
    """Raise ConfigError unless `data` is a mapping with all keys that it needs and no others than those known."""
    if not isinstance(data, dict):
        raise ConfigError("not a mapping", where=where, got=brief(data), expected=f"keys {', '.join(sorted(needed))}")
    for key in data:
        if key not in needed | known:
            raise ConfigError("unknown key", where=f"{where}.{key}",
                              expected=f"one of {', '.join(sorted(needed | known))}")
    if missing := sorted(needed - set(data)):
        raise ConfigError("key is missing", where=where, expected=", ".join(missing))


def _list(where: str, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise ConfigError("not a list", where=where, got=brief(data), expected="a list")
    return data
