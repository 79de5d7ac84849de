"""Coverage points out of Verilator's `coverage.dat`, which holds a text line for each.

A line is `C '<keys>' <count>`, keys as pairs `\\x01 key \\x02 value`: `page` is `v_<kind>/<module>`, `f` `l` `n`
file, line and column, `o` what was reached. Counts of a module's instances are already added up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from rtl_gen.verilog.declared import ports as declared_ports
from stamp_hw.errors import ToolError

KINDS = ("line", "branch", "toggle")
_NAME = re.compile(r"\w+")
_ASSIGN = re.compile(r"assign (_\d+_) = (.*);$")
_BEGINS = re.compile(r"^  assign |^ {4,}(?:.* )?[\w\[\]:]+ <= ")
_GENERATED = re.compile(r"\b_\d+_\b")
_DEPTH, _LENGTH = 4, 400  # how far, and up to how many characters, generated names are replaced by what they stand for


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing that can happen in a module, and how often it did.

    `kind` is one of KINDS; `what` names the way out (`if`, `else`, `cond_then`, `cond_else`) or the bit and direction
    (`o__payload[3]:0->1`); `source` is the text of the line, in which what a generated name (`_012_`) stands for takes
    its place; `rest` is the statement as it stands, from the point on; `port` says that a toggle point is a bit of a
    port.
    """

    module: str
    kind: str
    line: int
    column: int
    what: str
    source: str
    rest: str
    port: bool
    count: int

    @property
    def hit(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.what}: {self.source}"


def parse(data: bytes, files: Mapping[str, str]) -> Iterator[Point]:
    """Points of a `coverage.dat`; `files` is file name → Verilog, one file a module.

    Raises ToolError for a line that cannot be read.
    """
    lines = {name.removesuffix(".v"): expanded_lines(text) for name, text in files.items()}
    raws = {name.removesuffix(".v"): text.splitlines() for name, text in files.items()}
    ports = {name.removesuffix(".v"): ports_of(text) for name, text in files.items()}
    for raw in data.splitlines():
        if not raw.startswith(b"C "):
            continue
        keys, count = _keys(raw)
        kind = keys["page"].partition("/")[0].removeprefix("v_")
        module, line, what = PurePath(keys["f"]).stem, int(keys["l"]), keys["o"].replace("__05F", "_")
        name = _NAME.match(what)
        column = int(keys["n"])
        yield Point(module=module, kind=kind, line=line, column=column, what=what, count=count,
                    source=lines[module][line - 1], rest=_rest(raws[module], line, column),
                    port=kind == "toggle" and bool(name) and name[0] in ports[module])  # type: ignore[index]


def _rest(lines: list[str], line: int, column: int) -> str:
    """A statement from a place on to its end, in one line."""
    found = lines[line - 1][column - 1:]
    for further in lines[line:]:
        if found.endswith(";"):
            break
        found += f" {further.strip()}"
    return found


def expanded_lines(verilog: str) -> list[str]:
    """The lines of a module without indent, generated names replaced by what they stand for; each line of an
    assignment that is broken over several is the whole assignment."""
    whole = list(_whole(verilog.splitlines()))
    meanings = {match[1]: match[2] for match in map(_ASSIGN.match, whole) if match}
    return [_expanded(line, meanings) for line in whole]


def _whole(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        end = at + 1
        if _BEGINS.search(lines[at]) and not lines[at].endswith(";"):
            while not lines[end - 1].endswith(";"):
                end += 1
        yield from [" ".join(line.strip() for line in lines[at:end])] * (end - at)
        at = end


def _expanded(source: str, meanings: Mapping[str, str]) -> str:
    """The line with every generated name on its right-hand side replaced by its expression, a few times over."""
    head, equals, tail = source.partition(" = ")
    for _ in range(_DEPTH if equals else 0):
        longer = _GENERATED.sub(lambda match: f"({meanings[match[0]]})" if match[0] in meanings else match[0], tail)
        if longer == tail or len(longer) > _LENGTH:
            break
        tail = longer
    return head + equals + tail


def _keys(raw: bytes) -> tuple[dict[str, str], int]:
    try:
        text = raw.decode()
        body, count = text.removeprefix("C '").rsplit("' ", 1)
        keys = dict(pair.split("\x02", 1) for pair in body.split("\x01")[1:])
        if not {"page", "f", "l", "n", "o"} <= set(keys):
            raise ValueError(f"keys {sorted(keys)}")
        return keys, int(count)
    except ValueError as error:
        raise ToolError("a coverage point that cannot be read", where="verilator", got=str(error)) from error


def ports_of(verilog: str) -> frozenset[str]:
    """Port names of the module in one file."""
    return frozenset(port.name for port in declared_ports(verilog))
