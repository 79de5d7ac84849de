"""The few shapes that the drawings are made of, as SVG text. Units are pixels, y grows downwards."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

INK, PAPER, LINE, BOX = "#1f2933", "#ffffff", "#7b8794", "#f1f4f7"
BITS = {16: "#9aa5b1", 8: "#e07a1f", 4: "#2f7fc1"}  # a token's colour says its bits
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"


def rect(x: float, y: float, width: float, height: float, fill: str = BOX, stroke: str = LINE,
         radius: float = 6) -> str:
    return (f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" fill="{fill}" '
            f'stroke="{stroke}"/>')


def text(x: float, y: float, words: str, size: float = 13, anchor: str = "middle", weight: str = "normal",
         fill: str = INK) -> str:
    return (f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{fill}">{escape(words)}</text>')


def box(x: float, y: float, width: float, height: float, title: str, lines: Sequence[str] = (), fill: str = BOX) -> str:
    """A box with its title, and smaller lines below it, all centred."""
    top = y + height / 2 + 5 - 8 * len(lines)
    rows = [text(x + width / 2, top, title, weight="bold")]
    rows += [text(x + width / 2, top + 17 + 15 * i, line, size=11) for i, line in enumerate(lines)]
    return "\n".join([rect(x, y, width, height, fill), *rows])


def arrow(*points: tuple[float, float]) -> str:
    """A line through the points, with a head at the last."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.5" marker-end="url(#head)"/>'


def tokens(x: float, y: float, width: float, bits: Sequence[int], height: float = 12, gap: float = 2) -> str:
    """A row a token, coloured by its bits."""
    return "\n".join(rect(x, y + i * (height + gap), width, height, BITS[b], "none", 2) for i, b in enumerate(bits))


def drawing(width: int, height: int, title: str, shapes: Sequence[str]) -> str:
    """A whole file. The title is what a reader hears who does not see it."""
    head = ('<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>')
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="{FONT}">',
        f"<title>{escape(title)}</title>", head, rect(0.5, 0.5, width - 1, height - 1, PAPER, "#d9dee3", 10), *shapes,
        "</svg>", ""])
