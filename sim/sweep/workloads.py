"""The workload of a point: one layer, several layers, or a whole model, from the section `workload` of a sweep.

The process that reads the sweep makes every workload that differs, so that workers need none of the user's files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sim.workload import find
from sim.workload.ops import MOST, Linear, Phase, Workload
from stamp_hw.errors import ConfigError, brief
from stamp_hw.formats.values import check_whole

_ASK = tuple(item.name for item in fields(find.Ask))
_LANES, _PREFETCH = "vector_lanes", "prefetch"
_OWN = {"layer": ("tokens", "k", "n"), "layers": ("shapes",), "model": ("model", *_ASK, _PREFETCH)}
#: Every key of the section, and so every field `workload.…` of an axis.
KEYS = tuple(dict.fromkeys((*(key for keys in _OWN.values() for key in keys), _LANES)))
_FORMS = "tokens, k and n of a layer; shapes; or model"
_SHAPE = re.compile(r"([0-9]{1,8})x([0-9]{1,8})(?:x([0-9]{1,8})|,([0-9]{1,8}),([0-9]{1,8}))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A workload, the lanes of a vector unit beside the array, None where its work is not included, and whether jobs
    are prefetched: those of a model, whose layers follow each other."""

    workload: Workload
    vector_lanes: int | None
    prefetch: bool = True


def check_keys(where: str, keys: Iterable[str]) -> None:
    """Raise ConfigError unless the keys, given or moved by an axis, are those of one kind of workload."""
    keys = list(keys)
    for key in keys:
        if key not in KEYS:
            raise ConfigError("unknown key", where=f"{where}.{key}", expected=f"one of {', '.join(KEYS)}")
    kind = "model" if "model" in keys else "layers" if "shapes" in keys else "layer"
    if missing := [key for key in _OWN[kind] if key not in keys and key not in (*_ASK, _PREFETCH)]:
        raise ConfigError("key is missing", where=where, got=", ".join(keys) or "none",
                          expected=", ".join(missing) if keys else _FORMS)
    if strange := [key for key in keys if key not in (*_OWN[kind], _LANES)]:
        raise ConfigError(f"no key of a {kind}", where=f"{where}.{strange[0]}",
                          expected=f"one of {', '.join((*_OWN[kind], _LANES))}")


def build(data: Mapping[str, Any], folder: Path) -> Load:
    """The workload of a point's section. Paths are looked for in `folder`. Raises StampError for an impossible one."""
    lanes = data.get(_LANES)
    check_whole(f"workload.{_LANES}", lanes, 1, MOST, optional=True)
    prefetch = data.get(_PREFETCH, "model" in data)
    _check_flag(_PREFETCH, prefetch)
    if "model" in data:
        found = _model(data, folder)
    else:
        layers = [_layer("layer", data["tokens"], data["k"], data["n"])] if "tokens" in data else _shapes(data)
        produces = max(layer.tokens for layer in layers)
        phase = Phase(name="layers", unit="token", produces=produces, ops=tuple(layers))
        found = Workload(name="layers", phases=(phase,))
    return Load(workload=found, vector_lanes=lanes, prefetch=prefetch)


def _check_flag(key: str, value: Any) -> None:
    if type(value) is not bool:
        raise ConfigError("impossible value", where=f"workload.{key}", got=brief(value), expected="true or false")


def _model(data: Mapping[str, Any], folder: Path) -> Workload:
    word = data["model"]
    if not isinstance(word, str) or not word:
        raise ConfigError("not a model", where="workload.model", got=brief(word), expected="a name or a path")
    ask = {key: data[key] for key in _ASK if data.get(key) is not None}
    for key, value in ask.items():
        if key == "guidance":
            _check_flag(key, value)
        else:
            check_whole(f"workload.{key}", value, 0 if key in ("prefill", "decode") else 1, MOST)
    beside = folder / word
    return find.workload(str(beside) if beside.exists() else word, find.Ask(**ask))


def _shapes(data: Mapping[str, Any]) -> list[Linear]:
    texts = data["shapes"]
    if not isinstance(texts, list) or not texts:
        raise ConfigError("not a list", where="workload.shapes", got=brief(texts), expected="shapes: [2048x4096x4096]")
    layers = []
    for text in texts:
        match = _SHAPE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ConfigError("not a shape", where="workload.shapes", got=brief(text),
                              expected="tokens, inputs and outputs, as in 2048x4096x4096 or 16x16,192,192")
        sizes = [int(size) for size in match.groups() if size is not None]
        layers.append(_layer(text, sizes[0] if len(sizes) == 3 else sizes[:2], *sizes[-2:]))
    return layers


def _layer(name: str, tokens: Any, k: Any, n: Any) -> Linear:
    """A layer of so many tokens in a sequence, or on a grid [H, W]."""
    if not isinstance(tokens, list):
        return Linear(name=name, tokens=tokens, k=k, outputs=((name, n),))
    for side in tokens:
        check_whole("workload.tokens", side, 1, MOST)
    if len(tokens) != 2:
        raise ConfigError("impossible value", where="workload.tokens", got=brief(tokens), expected="a number or [H, W]")
    return Linear(name=name, tokens=tokens[0] * tokens[1], k=k, outputs=((name, n),), grid=(tokens[0], tokens[1]))
