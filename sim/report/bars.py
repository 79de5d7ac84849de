"""Stacked bars as one SVG: coordinates across are percentages, so that the text keeps its size at every width."""

from __future__ import annotations

from collections.abc import Mapping

from sim.report import names
from sim.report.figures import count, percent, quantity
from sim.report.markup import Markup, element
from sim.report.view import Bar, Bars

_ROW, _BAR, _HEAD = 44, 20, 30  # heights in pixels: a bar with its label, the bar, a group's heading
_APART = 0.004  # share from which a segment is set apart from the one before it by a line
_LABELLED = 0.1  # share of the width from which a segment says its percentage


def chart(bars: Bars) -> Markup:
    """The figure: caption, legend, drawing."""
    keys = names.ordered(bars.kind, {key for group in bars.groups.values() for bar in group
                                     for key, value in bar.values.items() if value})
    drawn, y = [], 0
    for heading, group in bars.groups.items():
        if heading:
            drawn.append(element("text", heading, x=0, y=y + 20, class_="strong"))
            y += _HEAD
        largest = max((sum(bar.values.values()) for bar in group), default=0) or 1
        for bar in group:
            drawn.append(_row(bar, bars, y, largest))
            y += _ROW
    drawing = element("svg", element("title", bars.title), element("desc", _told(bars, keys)), *drawn, role="img",
                      height=max(y, 1))
    note = [element("p", bars.note, class_="note")] if bars.note else []
    return element("figure", element("figcaption", bars.title, badge(bars.origin)), legend(bars.kind, keys), drawing,
                   *note)


def strip(kind: str, values: Mapping[str, float], height: int = 14) -> Markup:
    """A bar without words, for a cell of a table."""
    whole = sum(values.values())
    told = ", ".join(f"{names.name(kind, key).text} {percent(values[key], whole)}"
                     for key in names.ordered(kind, values) if values[key])
    return element("svg", element("title", told), *_segments(kind, values, 0, height, whole or 1, ""), role="img",
                   height=height)


def legend(kind: str, keys: list[str]) -> Markup:
    """What each colour means, in the order of the segments."""
    entries = [element("li", element("svg", element("rect", width=15, height=15, rx=3, fill=fill(kind, key)),
                                     aria_hidden="true", height=15), names.name(kind, key).text) for key in keys]
    return element("ul", *entries, class_="legend")


def fill(kind: str, key: str) -> str:
    """The paint of a key."""
    look = names.name(kind, key)
    return f"url(#hatched-{look.colour})" if look.hatched else f"var(--{look.colour})"


def badge(origin: str) -> Markup:
    """Where figures come from, in a word; the whole sentence on hover, and in the page's last table."""
    word, meaning = names.ORIGINS[origin]
    return element("span", word, class_="badge", title=meaning)


def patterns() -> Markup:
    """The hatched paints of all drawings of a page."""
    colours = sorted({look.colour for kind in names.KINDS.values() for look in kind.values()} | {names.REST})
    drawn = [element("pattern", element("rect", width=8, height=8, fill=f"var(--{colour})"),
                     element("path", d="M-2 10L10 -2M-2 2L2 -2M6 10L10 6", stroke="var(--paper)", stroke_width=2.2),
                     id=f"hatched-{colour}", width=8, height=8, patternUnits="userSpaceOnUse") for colour in colours]
    return element("svg", element("defs", *drawn), class_="defs", aria_hidden="true")


def _row(bar: Bar, bars: Bars, y: int, largest: float) -> Markup:
    top = y + _ROW - _BAR - 6
    return element("g", element("text", bar.label, x=0, y=top - 5),
                   element("text", bar.told, x="100%", y=top - 5, class_="end soft"),
                   element("rect", y=top, width="100%", height=_BAR, class_="track"),
                   *_segments(bars.kind, bar.values, top, _BAR, largest, bars.unit))


def _segments(kind: str, values: Mapping[str, float], top: int, height: int, largest: float, unit: str
              ) -> list[Markup]:
    """The parts of a bar, `largest` as wide as the drawing; with their shares where `unit` says what they are in."""
    drawn, before, whole = [], 0.0, sum(values.values())
    for key in names.ordered(kind, values):
        value = values[key]
        if not value:
            continue
        share = value / largest
        look = names.name(kind, key)
        told = [element("title", f"{look.text}: {amount(value, unit)}, {percent(value, whole)}")] if unit else []
        drawn.append(element("rect", *told, x=f"{100 * before:.3f}%", y=top, width=f"{100 * share:.3f}%",
                             height=height, fill=fill(kind, key)))
        if before and min(share, before) > _APART:
            drawn.append(element("line", x1=f"{100 * before:.3f}%", x2=f"{100 * before:.3f}%", y1=top, y2=top + height,
                                 stroke="var(--paper)"))
        if unit and share >= _LABELLED:
            drawn.append(_share(look, f"{100 * value / whole:.0f} %", before + share / 2, top, height))
        before += share
    return drawn


def _share(look: names.Name, text: str, middle: float, top: int, height: int) -> Markup:
    """A segment's percentage; in a hatched one on a plate of its colour."""
    plate = [element("rect", x=-19, y=top + 3, width=38, height=height - 6, rx=3, fill=f"var(--{look.colour})")]
    words = element("text", text, x=0, y=top + height - 6, class_="middle share",
                    fill=f"var(--on-{look.colour})")
    return element("svg", *(plate if look.hatched else []), words, x=f"{100 * middle:.3f}%", overflow="visible",
                   width=1, height=1, aria_hidden="true")


def amount(value: float, unit: str) -> str:
    """A value with its unit: words are counted, units take a prefix."""
    return count(value, unit) if unit == "cycles" else quantity(value, unit)


def _told(bars: Bars, keys: list[str]) -> str:
    """The chart in words, for who does not see it."""
    lines = []
    for heading, group in bars.groups.items():
        for bar in group:
            whole = sum(bar.values.values())
            shares = ", ".join(f"{names.name(bars.kind, key).text} {percent(bar.values[key], whole)}" for key in keys
                               if bar.values.get(key))
            lines.append(f"{heading + ' ' if heading else ''}{bar.label}: {bar.told}: {shares or 'nothing'}.")
    return " ".join(lines)
