"""The super-tiles that `stamp-hw simulate --mapping searched` found for a trace's layers, from its JSON report.

The search needs the cycle and energy models, which generated hardware does without: what it found travels as a file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stamp_hw.config import NpuConfig
from stamp_hw.engine.super_tile import Size
from stamp_hw.errors import StampError
from stamp_hw.formats.safetensors_file import strict_json

_MAX_BYTES = 1 << 28
_EXPECTED = "what `stamp-hw simulate TRACE --mapping searched --json` writes"
_SCHEME = "stamp"  # the configuration's own job, which a program is of


def read(path: Path, names: Sequence[str], config: NpuConfig, trace_sha256: str) -> dict[str, Size]:
    """Layer → (width, height) of its super-tiles, of the layers named.

    Raises StampError for a file that is no such report, one of another trace, hardware or job, and one in which a
    layer or the scheme `stamp` is missing.
    """
    report = _load(path)
    layers = report.get("layers")
    if "mapping" not in report or not isinstance(layers, dict):
        raise StampError("no searched mapping in this file", where=str(path), expected=_EXPECTED)
    if report.get("trace_sha256") != trace_sha256:
        raise StampError("a mapping of another trace", where=str(path), got=report.get("trace_sha256"),
                         expected=trace_sha256)
    ours = json.loads(json.dumps(config.to_dict()))
    for section in sorted({*ours, *_mapping(report.get("config"))}):
        theirs, own = _mapping(report.get("config")).get(section, {}), ours.get(section, {})
        if theirs != own:
            key = next((key for key in own if _mapping(theirs).get(key) != own[key]), "")
            raise StampError(f"a mapping of another {section}", where=f"{path}: config.{section}.{key}".rstrip("."),
                             got=_mapping(theirs).get(key), expected=repr(own.get(key)))
    return {name: _size(path, layers, name) for name in names}


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_BYTES)
    except OSError as error:
        raise StampError("cannot read a mapping", where=str(path), got=error.strerror, expected=_EXPECTED) from None
    return _mapping(strict_json(text, path))


def _mapping(value: Any) -> dict[str, Any]:
    """The value, if it is one of keys and values; nothing else is asked for by its keys."""
    return value if isinstance(value, dict) else {}


def _size(path: Path, layers: dict[str, Any], name: str) -> Size:
    found = _mapping(_mapping(_mapping(layers.get(name)).get(_SCHEME)).get("mapping"))
    width, height = found.get("tile_width"), found.get("tile_height")
    if type(width) is not int or type(height) is not int:
        raise StampError(f"no mapping of this layer under {_SCHEME}", where=f"{path}: layers.{name}",
                         expected=f"tile_width and tile_height: {_EXPECTED}")
    return width, height
