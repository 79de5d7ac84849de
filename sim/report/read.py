"""Reports from their files: which kind one is of, and whether it can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.report import comparison, layers, model, sweep
from sim.report.check import PERHAPS, within
from sim.report.view import View
from stamp_hw.errors import StampError
from stamp_hw.formats.json_file import load_bytes
from stamp_hw.formats.safetensors_file import strict_json

_MAX_BYTES = 1 << 28
_WRITERS = "what `stamp-hw simulate --json`, `compare --json` or `sweep --out` writes"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of report: the keys that tell it, its schema, what checks a document of it and what makes its page."""

    keys: frozenset[str]
    schema_version: int
    check: Callable[[Mapping[str, Any]], None]
    view: Callable[[Mapping[str, Any]], View]


KINDS = {
    "layers": Kind(frozenset(("layers", "totals", "energy_set")), layers.SCHEMA_VERSION, layers.check, layers.view),
    "model": Kind(frozenset(("schemes", "workload", "energy_set")), model.SCHEMA_VERSION, model.check, model.view),
    "comparison": Kind(frozenset(("rows", "workload", "orders_by_energy")), comparison.SCHEMA_VERSION,
                       comparison.check, comparison.view),
}


def read(path: Path, objectives: Sequence[str] | None = None) -> View:
    """The page of a report's file, of a sweep with the fronts of these `objectives` (None: a sweep's default ones).

    Raises
    ------
    StampError : no such file, no JSON, no report, one of another schema, one without a key or with a figure that is
        none; objectives that are none of the sweep's, or of another report
    """
    content = load_bytes(path, "a report", _MAX_BYTES, _WRITERS)
    if sweep.is_one(content):
        found = sweep.read(content, str(path))
        return sweep.view(found) if objectives is None else sweep.view(found, objectives)
    if objectives is not None:
        raise StampError("option of sweeps", where="--objectives", expected="what `stamp-hw sweep --out` wrote")
    return view_of(strict_json(content, path), str(path))


def view_of(document: Any, where: str) -> View:
    """The page of a document. Raises StampError as `read` does."""
    keys = frozenset(document) if isinstance(document, dict) else frozenset()
    kind = next((kind for kind in KINDS.values() if kind.keys <= keys), None)
    if kind is None:
        raise StampError("not a report", where=where, got=", ".join(sorted(keys)) or type(document).__name__,
                         expected=_WRITERS)
    if document.get("schema_version") != kind.schema_version:
        raise StampError("report of another schema", where=f"{where}: schema_version",
                         got=document.get("schema_version"), expected=f"{kind.schema_version}, as this version writes")
    with within(where):
        kind.check(document)
        PERHAPS(document, "")
    return kind.view(document)
