"""Where the fields of a struct lie in the signal that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl._ast import Format, Operator, Signal, Slice
from amaranth.hdl._nir import Value

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A field at any depth: `width` bits from `low` on; a leaf has none in it. `names` are those of an enumeration."""

    path: Path
    low: int
    width: int
    leaf: bool
    names: dict[int, str] | None = None

    def of(self, value: Value) -> Value:
        """The field's part of a signal's value."""
        return Value(value[self.low:self.low + self.width])


def fields(signal: Signal) -> list[Field]:
    """The fields of a signal, outer ones first; a signal that is no struct has none but itself, under the empty path.
    """
    return list(_fields((), signal._format))


def _fields(path: Path, form: Any) -> Iterator[Field]:
    if isinstance(form, Format.Enum):
        yield Field(path, _low(form._value), len(form._value), True, dict(form._variants))
    elif isinstance(form, Format.Struct | Format.Array):
        inner = form._fields.items() if isinstance(form, Format.Struct) else enumerate(form._fields)
        yield Field(path, _low(form._value), len(form._value), False)
        for key, part in inner:
            yield from _fields((*path, key), part)
    elif isinstance(form, Format):
        values = [chunk[0] for chunk in form._chunks if not isinstance(chunk, str)]
        if len(values) == 1 and len(values[0]):
            yield Field(path, _low(values[0]), len(values[0]), True)


def _low(value: Any) -> int:
    """The lowest bit of a part in its signal."""
    if isinstance(value, Slice):
        return int(value.start) + _low(value.value)
    if isinstance(value, Operator) and value.operator in ("u", "s"):
        return _low(value.operands[0])
    if not isinstance(value, Signal):
        raise ValueError(f"a field that is no part of its signal: {value!r}")
    return 0
