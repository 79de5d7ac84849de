"""Registers of generated Verilog, and an instrumented copy of it in which Verilator watches nothing else.

For each register of a module the copy has a wire of its bits, and one that is 1 where a bit differs from the one below
it. The first says which bits moved, the second whether a bit was ever more than a copy of its neighbour: the upper bits
of a signed register that is too wide, or of one that no stimulus fills, toggle together with the sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rtl_gen.verilog.declared import declared, fields

_POINT = re.compile(r"(\w+)(?:\[(\d+)\])?:(0->1|1->0)")
_BITS, _STEPS = "census_bits_", "census_steps_"
STILL, COPY = "still", "copy"
LACKS = {STILL: "never move", COPY: "never differ from the bit below"}


@dataclass(frozen=True, slots=True, order=True)
class Bit:
    """A bit of a register: `name` is module and register, the field of a struct behind a `_`, `bit` counts in that;
    `lacks` is one of LACKS, or empty."""

    name: str
    bit: int
    lacks: str


def registers(text: str) -> dict[str, int]:
    """Register → its bits, of one module."""
    return {each.name: each.width for each in declared(text) if each.kind == "reg"}


def places(text: str) -> dict[str, list[tuple[str, int]]]:
    """Register → (field, bit in it) of each bit, the field empty where the register is no struct.

    Fields show as wires that hold a part of it.
    """
    holding = [field for field in fields(text) if field.name.startswith(f"{field.signal}_")]

    def place(register: str, bit: int) -> tuple[str, int]:
        found = [field for field in holding if field.signal == register and field.low <= bit < field.low + field.width]
        if not found:
            return "", bit
        least = min(found, key=lambda field: field.width)
        return least.name.removeprefix(f"{register}_"), bit - least.low

    return {name: [place(name, bit) for bit in range(width)] for name, width in registers(text).items()}


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
                found.append(Bit(f"{module}.{'_'.join(filter(None, (register, field)))}", bit, lacks))
    return sorted(found)


def _hit(data: bytes) -> Iterator[tuple[str, str, int, str]]:
    """(module, wire, bit, edge) of every toggle point that was reached."""
    for raw in data.decode().splitlines():
        if raw.startswith("C ") and not raw.endswith("' 0"):
            keys = dict(pair.split("\x02", 1) for pair in raw[3:].rsplit("' ", 1)[0].split("\x01")[1:])
            match = _POINT.fullmatch(keys["o"].replace("__05F", "_"))
            if match:
                yield keys["page"].partition("/")[2], match[1], int(match[2] or 0), match[3]
