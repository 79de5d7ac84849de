"""Points of a sweep by two figures: a mark a point and scheme, the front of each scheme a line."""

from __future__ import annotations

from sim.report import marks
from sim.report.axes import Linear, Log
from sim.report.bars import badge
from sim.report.figures import prefix
from sim.report.markup import Markup, element
from sim.report.view import Scatter, Spot

_HEIGHT, _FOOT, _TOP = 420, 40, 16  # pixels: of the drawing, below the lowest value, above the highest
_LOG = 3.0  # largest over smallest value from which an axis is logarithmic
_EDGE = 0.05  # share of the width at either end in which a label would be cut off
_DASHES = (None, "7 4", "2 4", "10 3 2 3")
_TOLD = 24  # points of a front that the description names


def chart(scatter: Scatter) -> Markup:
    """The figure: caption, legend, drawing. There is a point at least."""
    across, up = _axis([spot.x for spot in scatter.spots]), _axis([spot.y for spot in scatter.spots])
    colours = {scheme: "accent" if scheme == scatter.lead else "soft" for scheme in scatter.schemes}
    fronts = {scheme: [spot for spot in scatter.spots if spot.scheme == scheme and spot.front]
              for scheme in scatter.schemes}
    # The lead scheme's front over the others', and every front over what it beats.
    order = sorted(scatter.spots, key=lambda spot: (spot.front, spot.scheme == scatter.lead))
    drawing = element(
        "svg", element("title", scatter.title), element("desc", _told(scatter, fronts)),
        *_grid(scatter, across, up),
        *(line for place, (scheme, spots) in enumerate(fronts.items())
          for line in _line(spots, colours[scheme], _DASHES[place % len(_DASHES)], across, up)),
        *(marks.mark(marks.shape(spot.scheme, scatter.schemes), across.place(spot.x), _y(up.place(spot.y)),
                     colours[spot.scheme], spot.told, hollow=not spot.front) for spot in order),
        role="img", height=_HEIGHT)
    beaten = [element("li", element("svg", marks.path(marks.SQUARE, "soft", True, transform="translate(7 8)"),
                                    aria_hidden="true", height=15), "not on its front")]
    return element(
        "figure", element("figcaption", scatter.title, badge(scatter.origin)),
        element("ul", *marks.legend(scatter.schemes, False, colours), *beaten, class_="legend"), drawing,
        *([element("p", scatter.note, class_="note")] if scatter.note else []))


def written(value: float, unit: str) -> str:
    """A place on an axis: as few digits as it has, with its unit's prefix."""
    factor, word = prefix(value)
    return f"{value / factor:.6g} {word}{unit}".rstrip() if unit else f"{value:,.6g}"


def _axis(values: list[float]) -> Log | Linear:
    low, high = min(values), max(values)
    return Log.around(values, 1.15) if low > 0 and high > _LOG * low else Linear.around(values)


def _y(place: float) -> float:
    return _HEIGHT - _FOOT - place * (_HEIGHT - _FOOT - _TOP)


def _grid(scatter: Scatter, across: Log | Linear, up: Log | Linear) -> list[Markup]:
    drawn = []
    for tick in across.ticks():
        place = across.place(tick)
        x = f"{100 * place:.3f}%"
        drawn.append(element("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _FOOT, class_="grid"))
        if _EDGE < place < 1 - _EDGE:
            drawn.append(element("text", written(tick, scatter.x_unit), x=x, y=_HEIGHT - _FOOT + 16,
                                 class_="soft middle"))
    for tick in up.ticks():
        y = f"{_y(up.place(tick)):.2f}"
        drawn += [element("line", x1=0, x2="100%", y1=y, y2=y, class_="grid"),
                  element("text", written(tick, scatter.y_unit), x=2, y=float(y) - 4, class_="soft halo")]
    return [*drawn, element("text", scatter.across, x="100%", y=_HEIGHT - 5, class_="soft end"),
            element("text", scatter.up, x=0, y=11, class_="soft halo")]


def _line(spots: list[Spot], colour: str, dashes: str | None, across: Log | Linear, up: Log | Linear) -> list[Markup]:
    """The front from spot to spot."""
    ends = [(f"{100 * across.place(spot.x):.3f}%", f"{_y(up.place(spot.y)):.2f}") for spot in spots]
    return [element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=f"var(--{colour})", stroke_width=1.75,
                    stroke_dasharray=dashes) for (x1, y1), (x2, y2) in zip(ends, ends[1:], strict=False)]


def _told(scatter: Scatter, fronts: dict[str, list[Spot]]) -> str:
    """The fronts in words."""
    lines = [f"{scatter.across} across, {scatter.up} up."]
    for scheme, spots in fronts.items():
        rest = f"; and {len(spots) - _TOLD} more" if len(spots) > _TOLD else ""
        lines.append(f"Front of {scheme}: {'; '.join(spot.told for spot in spots[:_TOLD]) or 'no point'}{rest}.")
    return " ".join(lines)
