"""Tables that are sorted by a press on a heading (report.js) and scroll in a box of their own."""

from __future__ import annotations

from sim.report import bars
from sim.report.markup import Markup, element
from sim.report.view import Cell, Table

_LONG = 44  # characters from which a cell's text may take several lines
_SORTED = 3  # rows from which a table can be sorted


def render(table: Table) -> Markup:
    """The table in its box."""
    sortable = len(table.rows) >= _SORTED
    head = element("tr", *(_heading(column, place in table.words, sortable)
                           for place, column in enumerate(table.columns)))
    body = [element("tr", *(_cell(cell, place, table) for place, cell in enumerate(row))) for row in table.rows]
    foot = [] if table.total is None else [element("tfoot", element("tr", *(
        _cell(cell, place, table) for place, cell in enumerate(table.total))))]
    caption = element("caption", element("span", table.caption, *([bars.badge(table.origin)] if table.origin else [])))
    whole = element("table", caption, element("thead", head), element("tbody", *body), *foot)
    box = element("div", whole, class_="scroll", tabindex=0, role="region", aria_label=table.caption)
    return Markup(box + (element("p", table.note, class_="note") if table.note else ""))


def _heading(column: str, word: bool, sortable: bool) -> Markup:
    inner = element("button", column, type="button") if sortable else column
    return element("th", inner, scope="col", class_="word" if word else None,
                   aria_sort="none" if sortable else None)


def _cell(cell: Cell, place: int, table: Table) -> Markup:
    value = f"{cell.value:.12g}" if cell.value is not None else None if place in table.words else ""
    if cell.bar is not None:
        return element("td", bars.strip(table.bars, cell.bar), data_value=value)
    if place == 0:
        return element("th", cell.text, scope="row", data_value=value)
    long = len(cell.text) > _LONG
    return element("td", cell.text, class_="long word" if long else "word" if place in table.words else None,
                   data_value=value)
