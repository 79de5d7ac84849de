"""The picture of a study of widths: what a narrower lifting, reciprocal or output coefficient costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sim.studies.widths import HARDWARE, LIMIT_DB
from stamp_hw.formats.files import atomic_file

_TITLES = {"in_width": "input and lifting: in_width, bits", "recip_frac": "reciprocal: recip_frac, bits",
           "z_frac": "output coefficient: z_frac, bits"}
_MEAN, _WORST = "#0072B2", "#D55E00"  # Okabe and Ito's palette
_LEAST = 1e-3  # dB: below it the axis is linear, so that gains have a place


def write(report: dict[str, Any], path: Path) -> None:
    """Write the picture as PNG. Raises OutputError."""
    with atomic_file(path, "wb") as stream:
        draw(report).savefig(stream, format="png", dpi=150, metadata={"Software": None})


def draw(report: dict[str, Any]) -> Figure:
    """Mean and worst loss over layers by width, the default ringed, the limit dashed."""
    figure = Figure(figsize=(12.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, name in zip(figure.subplots(1, len(HARDWARE), sharey=True), HARDWARE, strict=True):
        rows = [row for row in report["rows"] if row["parameter"] == name]
        widths = [row["value"] for row in rows]
        for key, colour, label in (("worst_loss_db", _WORST, "worst layer"), ("loss_db", _MEAN, "mean of the layers")):
            axis.plot(widths, [row[key] for row in rows], marker="o", color=colour, label=label)
        default = report["config"]["hw"][name]
        worst = next(row["worst_loss_db"] for row in rows if row["value"] == default)
        axis.plot([default], [worst], marker="o", markersize=13, markerfacecolor="none", color="#444444",
                  linestyle="none", label="configured")
        axis.axhline(LIMIT_DB, color="#444444", linestyle="--", linewidth=0.9)
        axis.set_yscale("symlog", linthresh=_LEAST)
        axis.set_title(_TITLES[name], fontsize=11, loc="left")
        axis.set_xticks(widths)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        axis.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    figure.axes[0].set_ylabel(f"loss against float STaMP, dB ({LIMIT_DB} dashed)")
    figure.axes[0].legend(frameon=False, fontsize=9)
    return figure
