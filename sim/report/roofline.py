"""The roofline: what the array and the memory allow at each intensity, and where the operations lie below it."""

from __future__ import annotations

from sim.report import marks, names
from sim.report.axes import Log
from sim.report.bars import badge
from sim.report.figures import digits, quantity
from sim.report.markup import Markup, element
from sim.report.view import Dot, Roofline

_HEIGHT, _FOOT, _TOP = 440, 40, 14  # pixels: of the drawing, below the lowest rate, above the highest
_DASHES = ("7 4", "2 4", "10 3 2 3")


def chart(roofline: Roofline) -> Markup:
    """The figure: caption, legends, drawing."""
    across = Log.around([dot.intensity for dot in roofline.dots])
    rates = [*(dot.rate for dot in roofline.dots), *(rate for _, rate in roofline.peaks)]
    up = Log.around(rates)
    dots = _merged(roofline)
    drawing = element(
        "svg", element("title", roofline.title), element("desc", _told(roofline, dots)), *_grid(across, up),
        *_slopes(roofline, across, up), *_peaks(roofline, across, up),
        *(_dot(dot, schemes, roofline, across, up) for dot, schemes in dots), role="img", height=_HEIGHT)
    limits = names.ordered("limits", {dot.limit for dot in roofline.dots})
    lines = [_entry(element("line", x1=0, x2=15, y1=8, y2=8, stroke="var(--soft)", stroke_width=2,
                            stroke_dasharray=_DASHES[place % len(_DASHES)]), f"{name}: {quantity(rate, 'B/s')}")
             for place, (name, rate) in enumerate(roofline.slopes)]
    paced = [_entry(marks.path(marks.SQUARE, look.colour, look.hatched, transform="translate(7 8)"),
                    f"paced by: {look.text}") for look in (names.name("limits", key) for key in limits)]
    several = any(len(schemes) > 1 for _, schemes in dots)
    return element(
        "figure", element("figcaption", roofline.title, badge(roofline.origin)),
        element("ul", *marks.legend(roofline.schemes, several), *paced, *lines, class_="legend"), drawing,
        *([element("p", roofline.note, class_="note")] if roofline.note else []))


def _entry(drawn: Markup, words: str) -> Markup:
    """An entry of the legend."""
    return element("li", element("svg", drawn, aria_hidden="true", height=15), words)


def _merged(roofline: Roofline) -> list[tuple[Dot, list[str]]]:
    """Dots that lie on each other and are paced by the same are one, with the schemes that it is of."""
    found: dict[tuple[str, str, str, str], tuple[Dot, list[str]]] = {}
    for dot in roofline.dots:
        key = dot.name, f"{dot.intensity:.3g}", f"{dot.rate:.3g}", dot.limit
        found.setdefault(key, (dot, []))[1].append(dot.scheme)
    return list(found.values())


def _y(place: float) -> float:
    return _HEIGHT - _FOOT - place * (_HEIGHT - _FOOT - _TOP)


def _grid(across: Log, up: Log) -> list[Markup]:
    drawn = []
    for tick in across.ticks():
        x = f"{100 * across.place(tick):.3f}%"
        drawn += [element("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _FOOT, class_="grid"),
                  element("text", f"{tick:g}", x=x, y=_HEIGHT - _FOOT + 16, class_="soft middle")]
    for tick in up.ticks():
        y = f"{_y(up.place(tick)):.2f}"
        drawn += [element("line", x1=0, x2="100%", y1=y, y2=y, class_="grid"),
                  element("text", quantity(tick, "OPS"), x=2, y=float(y) - 4, class_="soft halo")]
    foot = element("text", "operations a byte of the external memory", x="100%", y=_HEIGHT - 5, class_="soft end")
    return [*drawn, foot]


def _slopes(roofline: Roofline, across: Log, up: Log) -> list[Markup]:
    """What each rate of bytes allows, up to the highest peak."""
    top = max(rate for _, rate in roofline.peaks)
    drawn = []
    for place, (name, rate) in enumerate(roofline.slopes):
        first, last = max(across.low, up.low / rate), min(across.high, top / rate)
        if first < last:
            drawn.append(element(
                "line", element("title", f"{name}: {quantity(rate, 'B/s')}"), class_="slope",
                stroke_dasharray=_DASHES[place % len(_DASHES)],
                x1=f"{100 * across.place(first):.3f}%", x2=f"{100 * across.place(last):.3f}%",
                y1=f"{_y(up.place(first * rate)):.2f}", y2=f"{_y(up.place(last * rate)):.2f}"))
    return drawn


def _peaks(roofline: Roofline, across: Log, up: Log) -> list[Markup]:
    """What the array allows, from where the memory does."""
    drawn = []
    for name, rate in roofline.peaks:
        first = max(across.low, rate / roofline.slopes[0][1]) if roofline.slopes else across.low
        y = _y(up.place(rate))
        if first < across.high:
            place = across.place(first)
            at, anchor = (f"{100 * place + 1:.3f}%", "halo") if place < 0.5 else ("100%", "end halo")
            drawn += [element("line", x1=f"{100 * across.place(first):.3f}%", x2="100%", y1=f"{y:.2f}", y2=f"{y:.2f}",
                              class_="roof"),
                      element("text", f"{name}: {quantity(rate, 'OPS')}", x=at, y=f"{y - 5:.2f}", class_=anchor)]
    return drawn


def _dot(dot: Dot, schemes: list[str], roofline: Roofline, across: Log, up: Log) -> Markup:
    outline = marks.shape(schemes[0] if len(schemes) == 1 else None, roofline.schemes)
    look = names.name("limits", dot.limit)
    return marks.mark(outline, across.place(dot.intensity), _y(up.place(dot.rate)), look.colour,
                      _sentence(dot, schemes), hollow=look.hatched)


def _sentence(dot: Dot, schemes: list[str]) -> str:
    return (f"{dot.name} ({', '.join(schemes)}): {quantity(dot.rate, 'OPS')} at {digits(dot.intensity)} operations a "
            f"byte, paced by: {names.limit(dot.limit)}")


def _told(roofline: Roofline, dots: list[tuple[Dot, list[str]]]) -> str:
    """The drawing in words."""
    roofs = [f"{name} {quantity(rate, 'OPS')}" for name, rate in roofline.peaks]
    slopes = [f"{name} {quantity(rate, 'B/s')}" for name, rate in roofline.slopes]
    return f"Limits: {'; '.join([*roofs, *slopes])}. " + ". ".join(_sentence(dot, found) for dot, found in dots) + "."
