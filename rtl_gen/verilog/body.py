"""What the writers of statements share: the module at hand, its names and expressions, and the statements so far."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rtl_gen.verilog import source
from rtl_gen.verilog.expressions import Expressions
from rtl_gen.verilog.netlist import Design, Scope
from rtl_gen.verilog.uses import uses
from rtl_gen.verilog.wires import Wires

COLUMNS = 118
END = 1 << 20  # statements of no line of the source, behind all others
Location = tuple[str, int]


@dataclass(slots=True)
class Item:
    """A statement: (file, line, order) in the source, its text, and why it is there."""

    key: tuple[int, int, int]
    text: str
    reason: str


class Body:
    """The statements of one module."""

    def __init__(self, design: Design, scope: Scope) -> None:
        self.design, self.scope = design, scope
        self.wires = Wires(design, scope)
        self.expressions = Expressions(design, self.wires, uses(design, scope, self.wires))
        self.files = source.files(scope.component) if scope.component is not None else ()
        self.items: list[Item] = []

    def live(self, *kinds: type) -> Iterator[tuple[int, Any]]:
        """(index, cell) of the module's cells of these kinds that somebody needs."""
        return self.design.cells(self.scope, *kinds)

    def add(self, location: Location | None, order: int, lines: list[str]) -> None:
        """A statement; one from a file that is not the component's own stays beside what was made just before it."""
        key = (-1, -1, order)
        if location is not None and location[0] in self.files:
            key = (self.files.index(location[0]), location[1], order)
        self.items.append(Item(key, text(lines), source.reason(location, self.files)))

    def add_last(self, order: int, lines: list[str]) -> None:
        """A statement at the end."""
        self.items.append(Item((END, 0, order), text(lines), ""))

    def text(self) -> Iterator[str]:
        """Statements in the order of the source, under the comments that explain them there."""
        before = (0, 0)
        for item in sorted(self.items, key=lambda item: item.key[2]):
            if item.key[0] == -1:
                item.key = (*before, item.key[2])
            elif item.key[0] != END:
                before = item.key[:2]
        last = ""
        for item in sorted(self.items, key=lambda item: item.key):
            if item.reason and item.reason != last:
                yield "\n" + source.comment(item.reason)
            elif last and not item.reason:
                yield "\n"
            last = item.reason
            yield item.text


def text(lines: list[str]) -> str:
    """Lines as text."""
    return "".join(f"{line}\n" for line in lines)


def bits(width: int) -> str:
    """The range of a declaration, and the space behind it."""
    return "" if width == 1 else f"[{width - 1}:0] "


def wrapped(line: str) -> list[str]:
    """A long line broken at spaces; a comment at its end goes in front. What has line ends of its own stays as it is.
    """
    if len(line) <= COLUMNS or "\n" in line:
        return line.split("\n")
    indent = " " * (len(line) - len(line.lstrip()))
    code, mark, comment = line.partition("  // ")
    head = [f"{indent}// {comment}"] if mark else []
    return head + textwrap.wrap(code, COLUMNS, subsequent_indent=f"{indent}    ", break_long_words=False,
                                break_on_hyphens=False)


def always(clock: str, lines: list[str], *, single: bool) -> list[str]:
    """A clocked block; `single` is one statement."""
    if single:
        return [f"  always @(posedge {clock})", *lines]
    return [f"  always @(posedge {clock}) begin", *lines, "  end"]
