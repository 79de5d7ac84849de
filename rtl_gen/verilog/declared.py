"""What a generated module declares, read back from its text: ports, registers and the wires that name fields."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PORT = re.compile(r"^  (input|output) (?:(wire|reg) )?(?:\[(\d+):0\] )?(\w+)[,;]?$", re.MULTILINE)
_LIST = re.compile(r"^  (reg|wire) (?:\[(\d+):0\] )?([\w\s,]+);$", re.MULTILINE)
_FIELD = re.compile(r"^  wire (?:\[\d+:0\] )?(\w+) = (\w+)\[(\d+)(?::(\d+))?\];$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Declared:
    """`kind` is reg or wire, `direction` input or output, empty inside the module."""

    name: str
    width: int
    kind: str
    direction: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A wire that names bits of `signal` from `low` on."""

    name: str
    signal: str
    low: int
    width: int


def ports(text: str) -> tuple[Declared, ...]:
    """The ports of the module in a text, ours or one that Yosys wrote."""
    return tuple(Declared(name, int(high or 0) + 1, kind or "wire", direction)
                 for direction, kind, high, name in _PORT.findall(text))


def declared(text: str) -> tuple[Declared, ...]:
    """Ports, registers and wires, without memories and names of fields."""
    inner = (Declared(name.strip(), int(high or 0) + 1, kind)
             for kind, high, names in _LIST.findall(text) for name in names.split(","))
    return (*ports(text), *inner)


def fields(text: str) -> tuple[Field, ...]:
    """The wires that name a part of another signal."""
    return tuple(Field(name, signal, int(low or high), int(high) - int(low or high) + 1)
                 for name, signal, high, low in _FIELD.findall(text))
