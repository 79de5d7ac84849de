"""One table of several evaluations on the same windows of a text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.commands.eval_table import number, with_error
from models.studies.settings import SETTINGS, Setting
from stamp_hw.text import align

FLOAT, STAMP = "float", "stamp"


def rows_of(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a scheme of every setting that has a report.

    `kl_minus_stamp` is the mean over windows of this row's KL divergence less that of `stamp` beside it, nats a token,
    `kl_minus_stamp_se` its standard error over windows; both None where `stamp` did not run, and in its own row.
    """
    by_name = {setting.name: setting for setting in SETTINGS}
    return [_row(by_name[name], row, reports)
            for name, report in reports.items() for row in report["rows"] if row["scheme"] != FLOAT]


def _row(setting: Setting, row: Mapping[str, Any], reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    report = reports[setting.name]
    beside = reports.get(setting.beside or setting.name, {"rows": []})
    stamp = next((one for one in beside["rows"] if one["scheme"] == STAMP), None)
    difference: tuple[float | None, float | None] = (None, None)
    if stamp is not None and row is not stamp:
        difference = paired(row["kl_by_window"], stamp["kl_by_window"])
    ppl = math.inf if row["perplexity"] is None else row["perplexity"]  # JSON has no infinity
    base = next(one["perplexity"] for one in report["rows"] if one["scheme"] == FLOAT)
    return {"setting": setting.name, "named": setting.named, "rotation": setting.rotation, "scale": setting.scale,
            "weights": setting.weights, "center": setting.center, "scheme": row["scheme"],
            "ppl": ppl, "ppl_se": ppl * row["loss_difference_error"], "ppl_over_float": ppl / base,
            "kl": row["kl"], "kl_se": row["kl_error"],
            "kl_minus_stamp": difference[0], "kl_minus_stamp_se": difference[1],
            "average_bits": row.get("average_bits"),
            "average_bits_with_scales": row.get("average_bits_with_scales"), "tokens": report["tokens"]}


def paired(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Mean of the difference between two rows on the same windows, and its standard error over windows."""
    difference = np.array(one) - np.array(other)
    return float(difference.mean()), float(difference.std(ddof=1) / math.sqrt(len(difference)))


def table(rows: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """The rows as text, folded at `width` columns, or those of the terminal."""
    lines = [(row["rotation"], row["scale"], row["weights"], row["scheme"] + (", centred" if row["center"] else ""),
              number(row["average_bits"], 2), number(row["average_bits_with_scales"], 2),
              with_error(row["ppl"], row["ppl_se"]), number(row["ppl_over_float"], 2),
              with_error(row["kl"], row["kl_se"]),
              "–" if row["kl_minus_stamp"] is None else
              with_error(row["kl_minus_stamp"], row["kl_minus_stamp_se"], sign="+"),
              f"{row['tokens']:,}") for row in rows]
    return align(("rotation", "a scale a", "weights", "scheme", "bits", "with scales", "perplexity", "of float",
                  "KL nats/token", "less stamp's", "tokens"), lines, left=4, width=width)
