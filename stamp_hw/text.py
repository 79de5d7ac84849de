"""Tables, names and numbers as text for a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

WIDTH = 100  # columns of a table where the output is no terminal
RULE, _GAP = "─", "  "
SHOWN = 60  # characters of a layer's name
_STEM = "transformer_blocks."


def columns() -> int:
    """Columns that a table may take: those of the terminal, or WIDTH where the output is none."""
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH


def align(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, width: int | None = None) -> str:
    """A table: columns padded to their widest cell, the first `left` to the left, a rule below the header.

    A table wider than `width` (None: `columns()`) is folded: its other columns come in several tables, one below the
    other, each with the first `left` again.
    """
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    return "\n\n".join(_aligned(header, rows, widths, left, block)
                       for block in _folds(widths, left, columns() if width is None else width))


def _folds(widths: Sequence[int], left: int, width: int) -> list[list[int]]:
    """The columns of each table, all of them with the first `left`."""
    first, blocks = list(range(left)), [list(range(left))]
    for place in range(left, len(widths)):
        block = blocks[-1]
        if len(block) > left and sum(widths[n] + len(_GAP) for n in block) + widths[place] > width:
            blocks.append([*first])
        blocks[-1].append(place)
    return blocks


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], left: int,
             places: Sequence[int]) -> str:
    def line(cells: Sequence[str]) -> str:
        return _GAP.join(cells[place].ljust(widths[place]) if place < left else cells[place].rjust(widths[place])
                         for place in places).rstrip()

    return "\n".join([line(header), _GAP.join(RULE * widths[place] for place in places), *map(line, rows)])


def folded(report: str, width: int | None = None) -> str:
    """A report whose notes are no wider than `width` (None: `columns()`) either; tables are folded by `align`."""
    room = columns() if width is None else width
    return "\n".join(textwrap.fill(line, room, break_long_words=False, break_on_hyphens=False,
                                   subsequent_indent="  " if line.startswith("* ") else "")
                     if len(line) > room and _GAP not in line.strip() else line for line in report.split("\n"))


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
