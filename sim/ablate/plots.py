"""The picture of an ablation: SQNR by transform along tokens for each feature transform, and by Haar levels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sim.ablate.tables import FEATURE_TITLES, SINK_TITLES
from stamp_hw.formats.files import atomic_file

FILES = ("ablation.png",)
_COLOURS = {"none": "#0072B2", "hadamard": "#D55E00", "smooth": "#009E73"}  # Okabe and Ito's palette
_MARKERS = {"none": "D", "hadamard": "s", "smooth": "^"}
_LINES = {"none": "-", "out": "-", "in": ":"}


def write(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the picture as PNG; returns its path. Raises OutputError."""
    path = folder / FILES[0]
    with atomic_file(path, "wb") as stream:
        draw(report).savefig(stream, format="png", dpi=150, metadata={"Software": None})
    return [path]


def draw(report: Mapping[str, Any]) -> Figure:
    """Means over layers, float, with n_hi coefficients at 8 bits; hollow marks: every coefficient at 4 bits."""
    figure = Figure(figsize=(13.0, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.4, 1.0]})
    series: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in report["rows"]:
        series.setdefault((row["feature"], row["sinks"]), []).append(row)
    most = max((row["levels"] for row in report["rows"] if row["shuffled"]), default=None)
    names: list[str] = []
    for number, ((feature, sinks), rows) in enumerate(series.items()):
        shift = (number - (len(series) - 1) / 2) * 0.8 / len(series)
        colour, marker = _COLOURS[feature], _MARKERS[feature]
        for high in (True, False):
            shown = {row["label"]: _value(row) for row in rows
                     if row["high"] == high and (row["transform"] != "haar" or row["levels"] == most)}
            names = list(shown)
            axes[0].plot(np.arange(len(shown)) + shift, list(shown.values()), linestyle="none", marker=marker,
                         color=colour, markerfacecolor=colour if high and sinks != "in" else "white", markersize=7,
                         label=f"{FEATURE_TITLES[feature]}{SINK_TITLES[sinks]}" if high else None)
        curve = {0: next(_value(row) for row in rows if row["high"] and row["transform"] == "identity")}
        curve |= {row["levels"]: _value(row) for row in rows
                  if row["high"] and row["transform"] == "haar" and not row["shuffled"]}
        axes[1].plot(list(curve), list(curve.values()), color=colour, marker=marker, linestyle=_LINES[sinks])
    axes[0].set_xticks(np.arange(len(names)), [name.replace(", ", ",\n") for name in names])
    _style(axes[0], "SQNR of the input, n_hi coefficients at 8 bits (hollow: all at 4 bits)", "transform along tokens")
    _style(axes[1], "Haar: SQNR by levels (0: identity)", "levels")
    axes[1].xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), frameon=False, fontsize=9)
    return figure


def _value(row: Mapping[str, Any]) -> float:
    return float("nan") if row["sqnr_db"] is None else float(row["sqnr_db"])


def _style(axis: Axes, title: str, xlabel: str) -> None:
    axis.set_title(title, fontsize=11, loc="left")
    axis.set_xlabel(xlabel)
    axis.set_ylabel("dB")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axis.set_axisbelow(True)
