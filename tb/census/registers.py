"""Registers of generated Verilog, and an instrumented copy of it in which Verilator watches nothing else.

For each register of a module the copy has a wire of its bits, and one that is 1 where a bit differs from the one below
it. The first says which bits moved, the second whether a bit was ever more than a copy of its neighbour: the upper bits
of a signed register that is too wide, or of one that no stimulus fills, toggle together with the sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_REGISTER = re.compile(r"^  reg (?:\[(\d+):0\] )?(\w+);$", re.MULTILINE)  # no memory, which has a depth behind its name
_WIRE = re.compile(r"^  (?:wire|reg) (?:\[(\d+):0\] )?(\w+);$", re.MULTILINE)
_FIELD = re.compile(r"^  assign (\w+) = (\w+)\[(\d+)(?::(\d+))?\];$", re.MULTILINE)
_SPLIT = re.compile(r"^  assign (?:\{ ([^}]*) \}|(\w+(?:\[[\d:]+\])?)) = (_\d+_);$", re.MULTILINE)
_PART = re.compile(r"(\w+)(?:\[(\d+)(?::(\d+))?\])?")
_POINT = re.compile(r"(\w+)(?:\[(\d+)\])?:(0->1|1->0)")
_BITS, _STEPS = "census_bits_", "census_steps_"
STILL, COPY = "still", "copy"
LACKS = {STILL: "never move", COPY: "never differ from the bit below"}


@dataclass(frozen=True, slots=True, order=True)
class Bit:
    """A bit of a register: `name` is module, register and the field of a struct, `bit` counts in that; `lacks` is one
    of LACKS, or empty."""

    name: str
    bit: int
    lacks: str


def registers(text: str) -> dict[str, int]:
    """Register → its bits, of one module."""
    return {name: int(high or 0) + 1 for high, name in _REGISTER.findall(text)}


def places(text: str) -> dict[str, list[tuple[str, int]]]:
    """Register → (field, bit in it) of each bit, the field empty where the register is no struct.

    Fields show as wires that are named after a signal and hold a part of it. A register whose own name is lost is known
    by the signal, or the parts of it, that it is assigned to.
    """
    widths = {name: int(high or 0) + 1 for high, name in _WIRE.findall(text)}
    fields: dict[str, list[tuple[int, str, int]]] = {}
    for wire, signal, high, low in _FIELD.findall(text):
        if wire.startswith(f"{signal}_"):
            first = int(low or high)
            fields.setdefault(signal, []).append((int(high) - first + 1, wire.removeprefix(f"{signal}_"), first))

    def place(signal: str, bit: int) -> tuple[str, int]:
        holding = [item for item in fields.get(signal, ()) if item[2] <= bit < item[2] + item[0]]
        return (min(holding)[1], bit - min(holding)[2]) if holding else ("", bit)

    found = {name: [place(name, bit) for bit in range(width)] for name, width in registers(text).items()}
    for several, one, register in _SPLIT.findall(text):
        parts = [match for match in map(_PART.fullmatch, (several or one).split(", ")) if match]
        names = [(match[1], bit) for match in reversed(parts) for bit in (
            range(int(match[3] or match[2]), int(match[2]) + 1) if match[2] else range(widths.get(match[1], 1)))]
        if register in found and len(names) == len(found[register]):
            found[register] = [(f"{signal}.{field}".rstrip("."), number) for signal, bit in names
                               for field, number in [place(signal, bit)]]
    return found


def instrumented(files: Mapping[str, str]) -> dict[str, str]:
    """The files with the wires described above, and toggle coverage of nothing but these."""
    return {name: _instrumented(text) for name, text in files.items()}


def _instrumented(text: str) -> str:
    lines = ["/*verilator coverage_on*/"]
    for name, width in registers(text).items():
        lines.append(f"  wire [{width - 1}:0] {_BITS}{name} = {name};")
        if width > 1:
            lines.append(f"  wire [{width - 2}:0] {_STEPS}{name} = {name}[{width - 1}:1] ^ {name}[{width - 2}:0];")
    body, end, rest = text.rpartition("endmodule")
    lines += ["/*verilator coverage_off*/", end]
    return "/*verilator coverage_off*/\n" + body + "\n".join(lines) + rest


def census(data: bytes, files: Mapping[str, str]) -> list[Bit]:
    """Every bit of every register.

    Parameters
    ----------
    data : `coverage.dat` of a run of the instrumented files; a module's instances are added up in it
    files : the original files, with the wires of their fields
    """
    edges: dict[tuple[str, str, int], set[str]] = {}
    for module, wire, number, edge in _hit(data):
        edges.setdefault((module, wire, number), set()).add(edge)
    found = []
    for file, text in files.items():
        module = file.removesuffix(".v")
        for register, names in places(text).items():
            for number, (field, bit) in enumerate(names):
                lacks = ""
                if len(edges.get((module, f"{_BITS}{register}", number), ())) < 2:
                    lacks = STILL
                elif (number and names[number - 1] == (field, bit - 1)
                      and (module, f"{_STEPS}{register}", number - 1) not in edges):
                    lacks = COPY
                found.append(Bit(".".join(filter(None, (module, register, field))), bit, lacks))
    return sorted(found)


def _hit(data: bytes) -> Iterator[tuple[str, str, int, str]]:
    """(module, wire, bit, edge) of every toggle point that was reached."""
    for raw in data.decode().splitlines():
        if raw.startswith("C ") and not raw.endswith("' 0"):
            keys = dict(pair.split("\x02", 1) for pair in raw[3:].rsplit("' ", 1)[0].split("\x01")[1:])
            match = _POINT.fullmatch(keys["o"].replace("__05F", "_"))
            if match:
                yield keys["page"].partition("/")[2], match[1], int(match[2] or 0), match[3]
