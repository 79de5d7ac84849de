"""What was measured of a model's answers under the schemes, for the table of costs: a report of `stamp-hw eval`, which
runs the model, or of `stamp-hw simulate TRACE`, which measures layers of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.workload.find import ALIASES
from sim.workload.ops import Linear, Workload
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from stamp_hw.formats.json_file import load_json

_MAX_BYTES = 1 << 26
#: Kind of a report of `eval` → what its rows hold, and what a column is called.
_FIGURES = {"text": ("perplexity", "perplexity"), "images": ("picture_sqnr_db", "picture dB")}
#: What of the hardware decides a result beside cycles.
_NUMERIC = ("in_width", "recip_frac", "z_frac", "max_levels", "axes", "block", "hadamard")


def read(path: Path, workload: Workload, config: NpuConfig) -> dict[str, Any]:
    """`figure` (a column's name), `schemes` (scheme → value), `source` of a report.

    Raises StampError for a file that is no such report, one of another model, or of a job or hardware that computes
    something else.
    """
    report = _load(path)
    traced = isinstance(report.get("trace_sha256"), str)
    kind, rows, model = report.get("kind"), report.get("rows"), report.get("model")
    if not traced and (kind not in _FIGURES or not isinstance(rows, list) or not isinstance(model, str)):
        raise StampError("not a report of eval", where=str(path),
                         expected="what `stamp-hw eval --json` or `stamp-hw simulate TRACE --json` writes")
    if traced:
        found = _of_trace(path, report, workload)
        _check_numbers(path, report, config)
        return found
    name = Path(str(model)).name.lower()
    if ALIASES.get(name, name) != workload.name.lower():
        raise StampError("accuracy of another model", where=str(path), got=model, expected=workload.name)
    _check_numbers(path, report, config)
    key, figure = _FIGURES[str(kind)]
    return {"figure": figure, "schemes": {row["scheme"]: row.get(key) for row in rows or ()},
            "source": f"{figure} measured by `stamp-hw eval` on {_what(report)}"}


def _check_numbers(path: Path, report: dict[str, Any], config: NpuConfig) -> None:
    """Raise StampError for a report of a job or hardware that computes something else."""
    theirs, ours = report.get("config", {}), config.to_dict()
    for section, keys in (("hw", _NUMERIC), ("job", tuple(ours["job"]))):
        for key in keys:
            got, own = theirs.get(section, {}).get(key), ours[section][key]
            if got != (list(own) if isinstance(own, tuple) else own):
                raise StampError(f"accuracy of another {section}", where=f"{path}: config.{section}.{key}", got=got,
                                 expected=repr(own))


def _of_trace(path: Path, report: dict[str, Any], workload: Workload) -> dict[str, Any]:
    """Mean SQNR of a trace's layers, which must all be layers of the workload by kind and output channels."""
    known = {pair for phase in workload.phases for op in phase.ops if isinstance(op, Linear) for pair in op.outputs}
    for name, schemes in report["layers"].items():
        layer = next(iter(schemes.values()))
        if (layer["kind"], layer["n"]) not in known:
            raise StampError("accuracy of another model", where=f"{path}: layer {name}",
                             got=f"{layer['kind']} of {layer['n']} outputs", expected=f"a layer of {workload.name}")
    return {"figure": "SQNR dB", "schemes": {name: found["sqnr_db"] for name, found in report["totals"].items()},
            "source": f"mean SQNR of the quantized inputs of {len(report['layers'])} layers of a trace, by the "
                      "bit-accurate model"}


def _what(report: dict[str, Any]) -> str:
    return f"{report['tokens']} tokens" if report["kind"] == "text" else f"{len(report['prompts'])} prompts"


def _load(path: Path) -> dict[str, Any]:
    data = load_json(path, "a report", _MAX_BYTES, "what `stamp-hw eval --json` writes")
    if not isinstance(data, dict):
        raise StampError("not a report of eval", where=str(path), got=type(data).__name__, expected="a JSON object")
    return data
