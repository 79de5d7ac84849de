"""The picture of a sweep: every point in its first two objectives, the front of each scheme a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sim.sweep import figures
from sim.sweep.results import PICTURE, Front, Row, fronts
from stamp_hw.formats.files import atomic_file

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito's palette; as many as there are schemes


def write(rows: Sequence[Row], goals: Sequence[str], folder: Path) -> None:
    """Write the picture as PNG. Raises OutputError."""
    with atomic_file(folder / PICTURE, "wb") as stream:
        draw(rows, goals).savefig(stream, format="png", dpi=150, metadata={"Software": None})


def draw(rows: Sequence[Row], goals: Sequence[str]) -> Figure:
    """Points of each scheme in its colour, those on the front of these two objectives joined."""
    across, up = (*goals, goals[0])[:2]
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for colour, front in zip(_COLOURS, fronts(rows, (across, up)), strict=False):
        points = [_at(row, across, up) for row in rows if row.scheme == front.scheme and row.error is None]
        there = [(x, y) for x, y in points if x is not None and y is not None]
        axis.scatter([x for x, _ in there], [y for _, y in there], s=12, color=colour, alpha=0.35, linewidths=0)
        _line(axis, front, across, up, colour)
    positive = all(value > 0 for row in rows for value in _at(row, across, up) if value is not None)
    for name, label, scale in (("x", across, axis.set_xscale), ("y", up, axis.set_yscale)):
        scale("log" if positive else "linear")
        better = "more" if figures.more_is_better(label) else "less"
        getattr(axis, f"set_{name}label")(f"{label} ({better} is better)")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axis.legend(frameon=False, fontsize=9)
    return figure


def _line(axis: object, front: Front, across: str, up: str, colour: str) -> None:
    ends = [_at(row, across, up) for row in front.rows]
    axis.plot([x for x, _ in ends], [y for _, y in ends], color=colour, marker="o",  # type: ignore[attr-defined]
              markersize=4, linewidth=1.2, label=f"{front.scheme}, front")


def _at(row: Row, across: str, up: str) -> tuple[float | None, float | None]:
    return figures.value(across, row.values, row.figures), figures.value(up, row.values, row.figures)
