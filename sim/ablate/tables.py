"""The report as text for the terminal: a section a feature transform, what is left out and why, what figures mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from sim.studies.tables import decibels
from stamp_hw.text import align, plural, shorten

FEATURE_TITLES = {
    "none": "no feature transform",
    "hadamard": "Hadamard rotation with random signs",
    "smooth": "SmoothQuant's scales, α = 0.5",
}
SINK_TITLES = {"none": "", "out": ", sinks out of the transform at 8 bits", "in": ", sinks in the transform"}
_HEADER = ("bits", "transform along tokens", "levels", "in dB", "engine", "gain", "out dB", "engine", "out, fp weights",
           "bound dB", "noise/bound", "engine − float, worst")
_SIDES = {"sqnr": "in", "output_sqnr": "out"}


def render(report: Mapping[str, Any]) -> str:
    """All tables and the footer."""
    sections = [section(list(rows)) for _, rows in
                groupby(report["rows"], key=lambda row: (row["feature"], row["sinks"]))]
    return "\n\n".join([summary(report), *sections, _left_out(report), _footer(report)])


def summary(report: Mapping[str, Any]) -> str:
    """SQNR of the input at n_hi 8-bit coefficients: transforms along tokens down, feature transforms across."""
    found: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    for row in report["rows"]:
        if row["high"]:
            found.setdefault(_name(row), {})[row["feature"], row["sinks"]] = row
    columns = list(next(iter(found.values())))
    heads = [feature + ("" if sinks == "none" else f", sinks {sinks}") for feature, sinks in columns]
    lines = [(name, *(decibels(cells[column], "sqnr_db") for column in columns)) for name, cells in found.items()]
    plain = [row for row in report["rows"] if not row["high"] and row["transform"] == "identity"]
    lines.insert(0, ("identity, every token at 4 bits", *(decibels(row, "sqnr_db") for row in plain)))
    bits = sorted({f"{row['average_bits']:.3f}" for row in report["rows"] if row["high"]})
    title = (f"SQNR of the input, dB, float, {' or '.join(bits)} bits on average: "
             f"mean of {plural(len(report['layers']), 'layer')}")
    return f"{title}\n{align(('transform along tokens', *heads), lines)}"


def _name(row: Mapping[str, Any]) -> str:
    return str(row["label"] + (f", {plural(row['levels'], 'level')}" if row["levels"] is not None else ""))


def section(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of one feature transform, those of 4 bits first."""
    title = f"{FEATURE_TITLES[rows[0]['feature']]}{SINK_TITLES[rows[0]['sinks']]}"
    cells = [_cells(row) for row in rows]
    later = next((place for place, row in enumerate(rows) if row["high"]), 0)
    # A blank line between rows of 4 bits and those with 8-bit coefficients, in columns that both share.
    tables = [table.splitlines() for table in align(_HEADER, cells, left=3).split("\n\n")]
    parted = ["\n".join([*lines[: 2 + later], *([""] if later else []), *lines[2 + later :]]) for lines in tables]
    return f"{title[0].upper()}{title[1:]}\n" + "\n\n".join(parted)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['average_bits']:.3f}", row["label"], "–" if row["levels"] is None else str(row["levels"]),
        decibels(row, "sqnr_db"), decibels(row, "engine_sqnr_db"), _signed(row["gain_db"], 2),
        decibels(row, "output_sqnr_db"), decibels(row, "engine_output_sqnr_db"), decibels(row, "total_output_sqnr_db"),
        decibels(row, "bound_sqnr_db"), f"{row['noise_over_bound']['largest']:.3f}",
        _worst(row))


def _worst(row: Mapping[str, Any]) -> str:
    """The larger of both losses against float, where it is."""
    found = {name: lost for name, lost in row["engine_minus_float"].items() if lost is not None}
    if not found:
        return "–"
    name = min(found, key=lambda name: found[name]["db"])
    return f"{_signed(found[name]['db'], 3)} {_SIDES[name]} {shorten(found[name]['layer'], 28)}"


def _signed(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{round(value, digits) + 0.0:+.{digits}f}"


def _left_out(report: Mapping[str, Any]) -> str:
    lines = [f"  {entry['rows']}: {entry['reason']}" for entry in report["left_out"]]
    skipped = report["skipped_layers"]
    if skipped:
        named = ", ".join(shorten(name, 40) for name in skipped[:4]) + (", …" if len(skipped) > 4 else "")
        lines.append(f"  {plural(len(skipped), 'layer')} whose input is no token sequence worth a transform, as the "
                     f"trace says: {named}")
    return "\n".join(["Left out:", *lines])


def _footer(report: Mapping[str, Any]) -> str:
    fitted = report["fit_sequences"]
    own = f"on {plural(fitted, 'other sequence')}" if fitted else "on the measured sequence itself (no --fit)"
    losses = [(row["engine_minus_float"][name], row, name) for row in report["rows"]
              for name in ("sqnr", "output_sqnr") if row["engine_minus_float"][name] is not None]
    lines = [
        "in dB: input quantized and transformed back, against the captured one; engine: the bit-accurate model; "
        "gain: over identity at the same bits.",
        "out dB: output against the float layer with the same quantized weights, which all rows of a section share; "
        "out, fp weights: against float weights.",
        "bound dB: what theorem 1 guarantees of `in dB`; noise/bound: largest share of the bound that a layer's noise "
        "takes.",
        f"SmoothQuant's scales{' and the KLT' if fitted else ''} fitted {own}; seed of signs and permutations "
        f"{report['seed']}.",
        f"Engine: the trace's scales ({report['calibration']}) without feature transform; folded layers are calibrated "
        "on themselves.",
    ]
    if losses:
        worst, row, name = min(losses, key=lambda loss: loss[0]["db"])
        lines.append(f"Engine against float, worst of all rows and layers: {_signed(worst['db'], 3)} dB of the "
                     f"{'input' if name == 'sqnr' else 'output'} in {shorten(worst['layer'])} ({_name(row)}, "
                     f"{row['average_bits']:.3f} bits, {FEATURE_TITLES[row['feature']]}).")
    return "\n".join(lines)
