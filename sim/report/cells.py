"""Columns of tables from figures: exact counts with their commas, others with one prefix for the whole column."""

from __future__ import annotations

from collections.abc import Sequence

from sim.report import names
from sim.report.figures import NONE, column
from sim.report.view import Bars, Cell, Table


def words(values: Sequence[str]) -> list[Cell]:
    """Texts."""
    return [Cell(text=value) for value in values]


def counts(values: Sequence[float]) -> list[Cell]:
    """Whole numbers, every digit of them."""
    return [Cell(text=f"{value:,.0f}", value=value) for value in values]


def scaled(heading: str, values: Sequence[float | None], unit: str) -> tuple[str, list[Cell]]:
    """(`heading, mJ`, the figures in it)."""
    written, texts = column(values, unit)
    found = [Cell(text=text, value=value) for text, value in zip(texts, values, strict=True)]
    return f"{heading}, {written}" if written else heading, found


def plain(values: Sequence[float | None], decimals: int) -> list[Cell]:
    """Numbers with so many decimals."""
    return [Cell(text=NONE if value is None else f"{value:,.{decimals}f}", value=value) for value in values]


def table(caption: str, columns: Sequence[tuple[str, Sequence[Cell]]], words: tuple[int, ...], *,
          origin: str | None = None, note: str = "", bars: str = "cycles") -> Table:
    """A table of columns (heading, cells)."""
    return Table(caption=caption, columns=tuple(heading for heading, _ in columns), words=words, origin=origin,
                 rows=tuple(zip(*(cells for _, cells in columns), strict=True)), note=note, bars=bars)


def breakdown(bars: Bars) -> Table:
    """The figures of a chart: a row a bar, a column a key, and their sum."""
    found = [(heading, bar) for heading, group in bars.groups.items() for bar in group]
    keys = names.ordered(bars.kind, {key for _, bar in found for key in bar.values})
    values = [[bar.values.get(key, 0) for key in keys] + [sum(bar.values.values())] for _, bar in found]
    headings = [*(names.name(bars.kind, key).text for key in keys), "sum"]
    headed = any(heading for heading, _ in found)
    if bars.unit == "cycles":
        figures = [[Cell(text=f"{value:,.0f}", value=value) for value in row] for row in values]
        unit = bars.unit
    else:
        unit, texts = column([value for row in values for value in row], bars.unit)
        rest = iter(texts)
        figures = [[Cell(text=next(rest), value=value) for value in row] for row in values]
    return Table(caption=f"{bars.title}, {unit}" if unit else bars.title, origin=bars.origin,
                 columns=(*(("phase",) if headed else ()), "scheme", *headings), words=(0, 1) if headed else (0,),
                 rows=tuple((*(words([heading]) if headed else ()), Cell(text=bar.label), *row)
                            for (heading, bar), row in zip(found, figures, strict=True)))
