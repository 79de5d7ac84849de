"""The figures of docs/ablate.md out of reports of `stamp-hw ablate`: `docs.tools.record` takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sim.ablate import tables
from sim.ablate.rows import Variant
from sim.studies.widths import LIMIT_DB

Row = Mapping[str, Any]
#: Inputs in front of which a rotation folds into the weights (the table at the end of the page).
FOLDS = re.compile(r"(q|k|v|gate|up)_proj|lm_head")
#: Kinds of layers of which the page speaks by name: what a transform gains there, the least and the most.
NAMED = ("mlp.down_proj", "attn2.to_q", "ff.net.2")


def ablation(report: Mapping[str, Any]) -> dict[str, Any]:
    """Means of every row by feature transform, precision (`at_8`: `n_hi` coefficients at 8 bits; `at_4`: none) and
    transform along tokens; `haar` is the one with the job's levels. Of sinks only the rows that take them out."""
    rows = [row for row in report["rows"] if row["sinks"] in ("none", "out")]
    job_levels = next(row["levels"] for row in rows if row["shuffled"])
    found: dict[str, Any] = {
        "layers": len(report["layers"]), "fits": report["fit_sequences"], "levels": job_levels,
        "summary": tables.summary(report),
        "section": tables.section([row for row in report["rows"] if row["feature"] == "none" and row["high"]])}
    for row in rows:
        place = found.setdefault(row["feature"], {}).setdefault("at_8" if row["high"] else "at_4", {})
        for name in names(row, job_levels):
            place[name] = figures_of(row)
    for feature in ("none", "hadamard", "smooth"):
        for place in found[feature].values():
            place["gains"] = span([row["gain_db"] for name, row in place.items() if name != "identity"])
    plain = {name: row for row in rows if row["feature"] == "none" and row["high"] for name in names(row, job_levels)}
    found["layer_gains"] = {
        kind.replace(".", "_"): {name: span(of_kind) for name in ("haar", "shuffled", "dct")
                                 if (of_kind := gains(plain[name], plain["identity"], kind))} for kind in NAMED}
    found["folds"] = {
        feature: {name: mean([layer["sqnr_db"] for key, layer in row["layers"].items() if FOLDS.search(key)])
                  for row in rows if row["feature"] == feature and row["high"] for name in names(row, job_levels)
                  if name in ("identity", "haar")}
        for feature in ("none", "hadamard")} if any(map(FOLDS.search, report["layers"])) else {}
    found["engine"] = {side: worst(rows, side) for side in ("sqnr", "output_sqnr")}
    return found


def closeness(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine loses against float STaMP, outliers out of the transform: layers in the order of their loss."""
    (row,) = (row for row in report["rows"] if row["transform"] == "haar" and row["high"] and row["sinks"] == "out")
    losses = sorted(((max(layer["sqnr_db"] - layer["engine_sqnr_db"],
                          layer["output_sqnr_db"] - layer["engine_output_sqnr_db"]), name)
                     for name, layer in row["layers"].items()), reverse=True)
    return {"layers": len(losses), "within": sum(loss <= LIMIT_DB for loss, _ in losses), "limit_db": LIMIT_DB,
            **{f"number_{place}": {"loss_db": loss, "layer": name.removeprefix("model.layers.")}
               for place, (loss, name) in enumerate(losses[:3], 1)}}


def names(row: Row, job_levels: int) -> list[str]:
    """Short names of a row's transform: the job's own Haar has two."""
    key = Variant(transform=row["transform"], shuffled=row["shuffled"]).key
    if key != "haar":
        return [key]
    return [f"haar_{row['levels']}", *(["haar"] if row["levels"] == job_levels else [])]


def figures_of(row: Row) -> dict[str, Any]:
    return {"db": row["sqnr_db"], "out_db": row["output_sqnr_db"], "gain_db": row["gain_db"],
            "bound_db": row["bound_sqnr_db"], "over_bound": row["noise_over_bound"]["largest"],
            "bits": row["average_bits"]}


def gains(row: Row, base: Row, kind: str) -> list[float]:
    """What a row gains over another in each layer of a kind."""
    return [layer["sqnr_db"] - base["layers"][name]["sqnr_db"] for name, layer in row["layers"].items() if kind in name]


def worst(rows: list[Row], side: str) -> dict[str, Any]:
    """What the engine loses at most against float, over all rows and layers, and where; what it gains at most."""
    losses = [(row["engine_minus_float"][side], row) for row in rows if row["engine_minus_float"][side] is not None]
    lost = min((lost for lost, _ in losses), key=lambda lost: lost["db"])
    return {"loss_db": -lost["db"], "layer": lost["layer"].removeprefix("model.layers."),
            "most_gained_db": max(layer[f"engine_{side}_db"] - layer[f"{side}_db"]
                                  for _, row in losses for layer in row["layers"].values())}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def span(values: list[float]) -> list[float]:
    return [min(values), max(values)]
