"""Marks of the schemes: shapes, so that they are told apart without colour, the same in every drawing."""

from __future__ import annotations

from collections.abc import Sequence

from sim.report.markup import Markup, element

_SHAPES = (
    "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z",  # circle
    "M-4.6 -4.6H4.6V4.6H-4.6Z",  # square
    "M0 -5.8L5.6 4.4H-5.6Z",  # triangle
    "M0 -6.6L6.2 0L0 6.6L-6.2 0Z",  # diamond
    "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",  # cross
    "M0 5.8L5.6 -4.4H-5.6Z",  # triangle on its tip
    "M-6 0L-3 -5.4H3L6 0L3 5.4H-3Z",  # hexagon
)
_STAR = "M0 -8L2.2 -2.2L8 0L2.2 2.2L0 8L-2.2 2.2L-8 0L-2.2 -2.2Z"
#: A mark that is of no scheme.
SQUARE = _SHAPES[1]
_FIXED = ("a8", "a4", "first_n", "stamp", "stamp_shuffled")


def shape(scheme: str | None, schemes: Sequence[str]) -> str:
    """The outline of a scheme's mark around its middle; a star for several at once (None)."""
    if scheme is None:
        return _STAR
    place = _FIXED.index(scheme) if set(schemes) <= set(_FIXED) else list(schemes).index(scheme)
    return _SHAPES[place % len(_SHAPES)]


def mark(outline: str, x: float, y: float, colour: str, told: str, *, hollow: bool = False) -> Markup:
    """A mark at `x` (a share of the width) and `y` (pixels) of a colour (a property of report.css), which says `told`
    on hover."""
    inner = path(outline, colour, hollow, element("title", told))
    return element("svg", inner, x=f"{100 * x:.3f}%", y=f"{y:.2f}", width=1, height=1, overflow="visible")


def path(outline: str, colour: str, hollow: bool, *children: Markup, **attributes: str) -> Markup:
    """The mark alone: hollow where a bar of the same meaning would be hatched."""
    paint = {"stroke": f"var(--{colour})"} if hollow else {"fill": f"var(--{colour})"}
    look = "mark hollow" if hollow else "mark solid"
    return element("path", *children, d=outline, class_=look, **paint, **attributes)


def legend(schemes: Sequence[str], several: bool, colours: dict[str, str] | None = None) -> list[Markup]:
    """Entries of a legend: the mark of each scheme, and of several that coincide."""
    outlines = [(scheme, shape(scheme, schemes)) for scheme in schemes]
    entries = [*outlines, *([("several schemes alike", _STAR)] if several else [])]
    return [element("li", element("svg", path(outline, (colours or {}).get(word, "soft"), False,
                                              transform="translate(7 8)"),
                                  aria_hidden="true", height=15), word) for word, outline in entries]
