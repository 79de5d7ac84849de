"""From figures to a report: JSON-able dictionaries and CSV (docs/ablate.md defines every figure).

A row's figures are means over layers: of the finite dB, and of bits weighted by activations. The same input gives the
same bytes: no paths, no dates, dB rounded to four decimals, ratios to six.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from typing import IO, Any

from sim.ablate.rows import Plan, Row
from sim.ablate.study import Figures, Study
from sim.studies.report import mean_decibels
from stamp_hw.config import NpuConfig

SCHEMA_VERSION = 1
KEYS = ("feature", "sinks", "transform", "levels", "shuffled", "high")
DECIBELS = ("sqnr_db", "engine_sqnr_db", "output_sqnr_db", "engine_output_sqnr_db", "total_output_sqnr_db",
            "bound_sqnr_db")


def document(study: Study, plan: Plan, config: NpuConfig, *, seed: int, calibration: str, skipped: Sequence[str],
             trace_sha256: str, fit_sha256: Sequence[str], fit_sequences: int, version: str) -> dict[str, Any]:
    """The whole report.

    `skipped` are layers that the trace marks as not to be transformed; `fit_sequences` the fewest that a layer has.
    """
    order = list(next(iter(study.values())))
    found = {row: {name: figures[row] for name, figures in study.items()} for row in order}
    return {
        "schema_version": SCHEMA_VERSION, "version": version, "trace_sha256": trace_sha256,
        "fit_sha256": list(fit_sha256), "fit_sequences": fit_sequences, "config": config.to_dict(), "seed": seed,
        "calibration": calibration, "layers": list(study), "skipped_layers": list(skipped),
        "left_out": [{"rows": which, "reason": why} for which, why in plan.left_out],
        "rows": [_row(row, found) for row in sorted(order, key=_place(order))],
    }


def _place(order: Sequence[Row]) -> Any:
    """Feature transform, sinks and bits first, then the variants in their own order."""
    first = {row: place for place, row in reversed(list(enumerate(order)))}
    groups: dict[tuple[str, str], int] = {}
    for row in order:
        groups.setdefault((row.feature, row.sinks), len(groups))
    return lambda row: (groups[row.feature, row.sinks], row.high, first[row])


def _row(row: Row, found: Mapping[Row, Mapping[str, Figures]]) -> dict[str, Any]:
    layers = found[row]
    values = sum(figures.values for figures in layers.values())
    base = next(other for other in found if (other.feature, other.sinks, other.high) ==
                (row.feature, row.sinks, row.high) and other.variant.transform == "identity")
    gains = [a.sqnr_db - found[base][name].sqnr_db for name, a in layers.items()
             if math.isfinite(a.sqnr_db) and math.isfinite(found[base][name].sqnr_db)]
    tightest = max(layers, key=lambda name: layers[name].noise_over_bound)
    return {
        "feature": row.feature, "sinks": row.sinks, "transform": row.variant.transform, "levels": row.variant.levels,
        "shuffled": row.variant.shuffled, "high": row.high, "label": row.variant.label,
        "average_bits": round(sum(f.average_bits * f.values for f in layers.values()) / values, 6),
        **{key: value for name in DECIBELS for key, value in _mean(name, layers).items()},
        "gain_db": round(sum(gains) / len(gains), 4) if gains else None,
        "noise_over_bound": {"layer": tightest, "largest": round(layers[tightest].noise_over_bound, 6)},
        "engine_minus_float": {name: _worst(layers, f"{name}_db") for name in ("sqnr", "output_sqnr")},
        "layers": {name: _layer(figures) for name, figures in layers.items()},
    }


def _mean(name: str, layers: Mapping[str, Figures]) -> dict[str, Any]:
    values = [getattr(figures, name) for figures in layers.values()]
    return {name: None, f"{name}_infinite": None} if None in values else mean_decibels(name, values)


def _worst(layers: Mapping[str, Figures], name: str) -> dict[str, Any] | None:
    """The layer at which the integer engine loses most against float; None without integer figures."""
    lost: dict[str, float] = {}
    for layer, figures in layers.items():
        real, ideal = getattr(figures, f"engine_{name}"), getattr(figures, name)
        if real is not None and math.isfinite(real) and math.isfinite(ideal):
            lost[layer] = real - ideal
    if not lost:
        return None
    worst = min(lost, key=lambda layer: lost[layer])
    return {"layer": worst, "db": round(lost[worst], 4), "mean_db": round(sum(lost.values()) / len(lost), 4)}


def _layer(figures: Figures) -> dict[str, Any]:
    shown: dict[str, Any] = {"average_bits": round(figures.average_bits, 6),
                             "noise_over_bound": round(figures.noise_over_bound, 6)}
    for name in DECIBELS:
        value = getattr(figures, name)
        shown |= {name: None, f"{name}_infinite": None} if value is None else mean_decibels(name, [value])
    return shown


def write_csv(report: Mapping[str, Any], stream: IO[str]) -> None:
    """One line a row and layer (`scope` layer) after the row's means (`scope` mean); a cell without figure is empty."""
    fields = ("average_bits", *DECIBELS)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("scope", "layer", *KEYS, *fields, "noise_over_bound"))
    for row in report["rows"]:
        keys = [row[key] for key in KEYS]
        writer.writerow(("mean", "", *keys, *(row[field] for field in fields), row["noise_over_bound"]["largest"]))
        for name, figures in row["layers"].items():
            writer.writerow(("layer", name, *keys, *(figures[field] for field in fields),
                             figures["noise_over_bound"]))
