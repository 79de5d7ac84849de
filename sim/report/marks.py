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
    "M0 -7L1.8 -1.8L7 0L1.8 1.8L0 7L-1.8 1.8L-7 0L-1.8 -1.8Z",  # star
)
_RING = "M-6 0A6 6 0 1 0 6 0A6 6 0 1 0 -6 0ZM-3 0A3 3 0 1 1 3 0A3 3 0 1 1 -3 0Z"
_FIXED = ("a8", "a4", "first_n", "stamp", "stamp_shuffled")


def shape(scheme: str | None, schemes: Sequence[str]) -> str:
    """The outline of a scheme's mark around its middle; a ring for several at once (None)."""
    if scheme is None:
        return _RING
    place = _FIXED.index(scheme) if set(schemes) <= set(_FIXED) else list(schemes).index(scheme)
    return _SHAPES[place % len(_SHAPES)]


def mark(outline: str, x: float, y: float, paint: str, told: str) -> Markup:
    """A mark at `x` (a share of the width) and `y` (pixels), which says `told` on hover."""
    inner = element("path", element("title", told), d=outline, fill=paint, class_="mark")
    return element("svg", inner, x=f"{100 * x:.3f}%", y=f"{y:.2f}", width=1, height=1, overflow="visible")


def legend(schemes: Sequence[str], several: bool, paints: dict[str, str] | None = None) -> list[Markup]:
    """Entries of a legend: the mark of each scheme, and of several that coincide."""
    outlines = [(scheme, shape(scheme, schemes)) for scheme in schemes]
    entries = [*outlines, *([("several schemes alike", _RING)] if several else [])]
    return [element("li", element("svg", element("path", d=outline, transform="translate(7 8)",
                                                 fill=(paints or {}).get(word, "var(--soft)")),
                                  aria_hidden="true", height=15), word) for word, outline in entries]
