"""Tables, names and numbers as text for a terminal."""

from __future__ import annotations

import os
from collections.abc import Sequence

SHOWN = 60  # characters of a layer's name
_STEM = "transformer_blocks."


def align(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns padded to their widest cell, the first `left` to the left, a rule below the header."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) if i < left else cell.rjust(width)
                         for i, (cell, width) in enumerate(zip(cells, widths, strict=True))).rstrip()

    rule = "  ".join("─" * width for width in widths)
    return "\n".join([line(header), rule, *map(line, rows)])


def shorten(name: str, width: int = SHOWN) -> str:
    """A long name without its middle, the stem of a model's blocks first."""
    name = name.replace("model.layers.", "")
    if len(name) > width:
        name = name.replace(_STEM, "")
    return name if len(name) <= width else f"{name[: (width - 1) // 2]}…{name[-(width // 2) :]}"


def labels(names: Sequence[str], width: int = SHOWN) -> list[str]:
    """A label of at most `width` characters for each name, different ones for different names.

    Of names that are too long what says nothing goes first: the origin (behind @) that all have, the stem of a model's
    blocks, what all begin and end with; then the middle. Where two would look the same, all get their place in front.
    """
    short = [name.replace("model.layers.", "") for name in names]
    for cut in (_without_origin, _without_stem, _without_ends):
        if max(map(len, short), default=0) > width:
            short = cut(short)
    short = [shorten(name, width) for name in short]
    if len(set(short)) == len(set(names)):
        return short
    room = width - len(str(len(names))) - 1
    return [f"{place} {shorten(name, room)}" for place, name in enumerate(names)]


def _without_origin(names: Sequence[str]) -> list[str]:
    """`a@prompt1.step10` without what is behind the @, if that is the same everywhere."""
    same = len({name.partition("@")[2] for name in names}) == 1
    return [name.partition("@")[0] if same else name for name in names]


def _without_stem(names: Sequence[str]) -> list[str]:
    return [name.replace(_STEM, "") for name in names]


def _without_ends(names: Sequence[str]) -> list[str]:
    """Names without what all of them begin with and end with."""
    head = os.path.commonprefix(names)
    tail = os.path.commonprefix([name[len(head) :][::-1] for name in names])
    return [f"{'…' * bool(head)}{name[len(head) : len(name) - len(tail)]}{'…' * bool(tail)}" for name in names]


def number(value: float, decimals: int) -> str:
    """So many decimals, and three significant digits where that would leave fewer than two of them."""
    if value and abs(value) < 10.0 ** (1 - decimals):
        return f"{value:.3g}"
    return f"{value:,.{decimals}f}"


def plural(count: int, noun: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
