"""SQNR by layer: a row a layer, a mark a scheme."""

from __future__ import annotations

from sim.report import marks
from sim.report.axes import Linear
from sim.report.bars import badge
from sim.report.markup import Markup, element
from sim.report.view import Spread

_ROW, _FOOT = 36, 34


def chart(spread: Spread) -> Markup:
    """The figure: caption, legend, drawing. There is a finite figure at least."""
    axis = Linear.around([value for row in spread.rows.values() for value in row.values() if value is not None])
    colours = {scheme: "accent" if scheme == spread.lead else "soft" for scheme in spread.schemes}
    height = _ROW * len(spread.rows) + _FOOT
    drawn = []
    for tick in axis.ticks():
        x = f"{100 * axis.place(tick):.3f}%"
        drawn += [element("line", x1=x, x2=x, y1=0, y2=height - _FOOT, class_="grid"),
                  element("text", f"{tick:g} dB", x=x, y=height - _FOOT + 16, class_="soft middle")]
    for place, (name, row) in enumerate(spread.rows.items()):
        y = place * _ROW + 25
        found = sorted(((scheme, value) for scheme, value in row.items() if value is not None),
                       key=lambda pair: pair[0] == spread.lead)  # drawn over the others
        drawn.append(element("text", name, x=0, y=y - 11, class_="halo"))
        if found:
            low, high = min(value for _, value in found), max(value for _, value in found)
            drawn.append(element("line", x1=f"{100 * axis.place(low):.3f}%", x2=f"{100 * axis.place(high):.3f}%",
                                 y1=y, y2=y, stroke="var(--soft)"))
        drawn += [marks.mark(marks.shape(scheme, spread.schemes), axis.place(value), y, colours[scheme],
                             f"{name}, {scheme}: {value:.2f} dB") for scheme, value in found]
    told = ". ".join(f"{name}: " + ", ".join(f"{scheme} {value:.2f} dB" for scheme, value in row.items()
                                             if value is not None) for name, row in spread.rows.items())
    return element(
        "figure", element("figcaption", spread.title, badge(spread.origin)),
        element("ul", *marks.legend(spread.schemes, False, colours), class_="legend"),
        element("svg", element("title", spread.title), element("desc", told + "."), *drawn, role="img", height=height),
        *([element("p", spread.note, class_="note")] if spread.note else []))
