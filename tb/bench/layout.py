"""Between NumPy arrays and the flat integers that a simulator reads and writes.

A struct payload is one unsigned vector, first field in the low bits. A `Layout` lists its scalar leaves; arrays
(of scalars or of structs) become one leaf with dimensions. Layouts travel to the simulator process as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

_CHUNK = 4096  # beats converted at a time: bounds the bit matrices to a few megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One scalar field, or an array of them: `shape` elements, `strides` bits apart, from bit `offset` on."""

    name: str
    offset: int
    width: int
    signed: bool
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """Elements in one beat."""
        return int(np.prod(self.shape, dtype=np.int64))

    def positions(self) -> np.ndarray:
        """Lowest bit of each element, int64[count], last dimension fastest."""
        place = np.array([self.offset], np.int64)
        for length, stride in zip(self.shape, self.strides, strict=True):
            place = (place[:, None] + stride * np.arange(length, dtype=np.int64)).ravel()
        return place

    def limits(self) -> tuple[int, int]:
        """Smallest and largest value."""
        return (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1) if self.signed else (0, (1 << self.width) - 1)


@dataclass(frozen=True)
class Layout:
    """A flat vector of `width` bits and its leaves (each of at most 63 bits)."""

    width: int
    leaves: tuple[Leaf, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Field names; fields of nested structs are joined with dots."""
        return tuple(leaf.name for leaf in self.leaves)

    @cached_property
    def _bits(self) -> dict[str, np.ndarray]:
        """Per leaf the bit numbers of its elements, int64[count, width]."""
        return {leaf.name: leaf.positions()[:, None] + np.arange(leaf.width) for leaf in self.leaves}

    def pack(self, fields: Mapping[str, Any]) -> list[int]:
        """One integer a beat from field → integers (beats, *leaf.shape); every field must be there.

        Raises ValueError for a missing, unknown or misshaped field and for a value that does not fit its width.
        """
        beats, arrays = self.checked(fields)
        size, packed = -(-self.width // 8), []
        for first in range(0, beats, _CHUNK):
            part = {name: array[first:first + _CHUNK] for name, array in arrays.items()}
            bits = np.zeros((len(next(iter(part.values()))), size * 8), np.uint8)
            for leaf in self.leaves:
                octets = np.ascontiguousarray(part[leaf.name], "<i8").view(np.uint8).reshape(len(bits), leaf.count, 8)
                bits[:, self._bits[leaf.name]] = np.unpackbits(octets, axis=2, count=leaf.width, bitorder="little")
            packed += _to_ints(np.packbits(bits, axis=1, bitorder="little"))
        return packed

    def unpack(self, beats: Sequence[int]) -> dict[str, np.ndarray]:
        """The inverse of `pack`: field → int64 (beats, *leaf.shape)."""
        size = -(-self.width // 8)
        arrays = {leaf.name: np.zeros((len(beats), leaf.count), np.int64) for leaf in self.leaves}
        for first in range(0, len(beats), _CHUNK):
            part = beats[first:first + _CHUNK]
            octets = np.frombuffer(b"".join(beat.to_bytes(size, "little") for beat in part), np.uint8)
            bits = np.unpackbits(octets.reshape(len(part), size), axis=1, bitorder="little")
            for leaf in self.leaves:
                wide = np.zeros((len(part), leaf.count, 64), np.uint8)
                own = bits[:, self._bits[leaf.name]]
                wide[:, :, :leaf.width] = own
                if leaf.signed:
                    wide[:, :, leaf.width:] = own[:, :, -1:]
                values = np.packbits(wide, axis=2, bitorder="little").view("<i8")
                arrays[leaf.name][first:first + _CHUNK] = values[:, :, 0]
        return {leaf.name: arrays[leaf.name].reshape(len(beats), *leaf.shape) for leaf in self.leaves}

    def mask(self, care: Mapping[str, Any], beats: int) -> list[int]:
        """One integer a beat, ones where it matters; `care` is field → bool (beats, *leaf.shape), absent means all."""
        unsigned, ones = self.ones(care, beats)
        return unsigned.pack(ones)

    def ones(self, care: Mapping[str, Any], beats: int) -> tuple[Layout, dict[str, np.ndarray]]:
        """What `mask` packs: this layout with unsigned fields, and per field all ones where it matters, else 0."""
        unsigned = Layout(self.width, tuple(Leaf(**(asdict(leaf) | {"signed": False})) for leaf in self.leaves))
        fields = {}
        for leaf in self.leaves:
            wanted = np.broadcast_to(np.asarray(care.get(leaf.name, True), bool), (beats, *leaf.shape))
            fields[leaf.name] = np.where(wanted, (1 << leaf.width) - 1, 0)
        return unsigned, fields

    def checked(self, fields: Mapping[str, Any]) -> tuple[int, dict[str, np.ndarray]]:
        """Number of beats, and the fields as arrays of integers that fit; raises ValueError as `pack` does."""
        if set(fields) != set(self.names):
            raise ValueError(f"fields {sorted(fields)} given, the payload has {sorted(self.names)}")
        arrays = {leaf.name: self._checked(leaf, fields[leaf.name]) for leaf in self.leaves}
        lengths = {len(array) for array in arrays.values()}
        if len(lengths) != 1:
            raise ValueError(f"fields of different numbers of beats: {sorted(lengths)}")
        return lengths.pop(), arrays

    @staticmethod
    def _checked(leaf: Leaf, values: Any) -> np.ndarray:
        array = np.asarray(values)
        if array.size and array.dtype.kind not in "iub":
            raise ValueError(f"field {leaf.name}: {array.dtype} given, integers expected")
        if array.shape[1:] != leaf.shape:
            raise ValueError(f"field {leaf.name}: shape {array.shape} given, (beats, *{leaf.shape}) expected")
        low, high = leaf.limits()
        if array.size and not (low <= array.min() and array.max() <= high):
            raise ValueError(f"field {leaf.name}: {array.min()}…{array.max()} does not fit {low}…{high}")
        return array


def _to_ints(rows: np.ndarray) -> list[int]:
    raw, size = rows.tobytes(), rows.shape[1]
    return [int.from_bytes(raw[first:first + size], "little") for first in range(0, len(raw), size)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of the top: `kind` is `in` or `out` (streams), `events`, or `input` or `output` (plain signals)."""

    name: str
    kind: str
    layout: Layout


def ports_of(component: Any) -> tuple[Port, ...]:
    """The ports of an Amaranth component, from its signature."""
    from amaranth.lib import wiring

    ports = []
    for name, member in component.signature.members.items():
        inward = member.flow is wiring.In
        if member.is_signature:
            payload = member.signature.members.get("payload") if hasattr(member.signature, "members") else None
            if payload is None:
                raise TypeError(f"port {name}: a stream.Signature or a plain port is expected")
            ports.append(Port(name=name, kind="in" if inward else "out", layout=layout_of(payload.shape, "payload")))
        else:
            kind = "events" if name == "events" else "input" if inward else "output"
            ports.append(Port(name=name, kind=kind, layout=layout_of(member.shape, name)))
    return tuple(ports)


def layout_of(shape: Any, name: str) -> Layout:
    """Layout of an Amaranth shape; a shape without fields is one leaf called `name`."""
    from amaranth.hdl import Shape

    return Layout(Shape.cast(shape).width, tuple(_leaves(shape, name, "", 0, (), ())))


def _leaves(shape: Any, name: str, prefix: str, offset: int, dims: tuple[int, ...], strides: tuple[int, ...]
            ) -> list[Leaf]:
    from amaranth.hdl import Shape
    from amaranth.lib import data

    own = prefix or name
    try:
        layout = data.Layout.cast(shape)
    except TypeError:
        flat = Shape.cast(shape)
        if flat.width > 63:
            raise ValueError(f"field {own}: {flat.width} bits, at most 63 can be compared") from None
        return [Leaf(name=own, offset=offset, width=flat.width, signed=flat.signed, shape=dims, strides=strides)
                ] if flat.width else []
    if isinstance(layout, data.ArrayLayout):
        stride = Shape.cast(layout.elem_shape).width
        return _leaves(layout.elem_shape, name, prefix, offset, (*dims, layout.length), (*strides, stride))
    return [leaf for key, field in layout
            for leaf in _leaves(field.shape, name, f"{prefix}.{key}" if prefix else str(key), offset + field.offset,
                                dims, strides)]


def to_json(ports: Sequence[Port]) -> list[dict[str, Any]]:
    """What `from_json` reads back."""
    return [asdict(port) for port in ports]


def from_json(ports: Sequence[Mapping[str, Any]]) -> tuple[Port, ...]:
    """The ports that `to_json` wrote."""
    def leaf(values: Mapping[str, Any]) -> Leaf:
        return Leaf(**{**values, "shape": tuple(values["shape"]), "strides": tuple(values["strides"])})

    def layout(values: Mapping[str, Any]) -> Layout:
        return Layout(values["width"], tuple(leaf(one) for one in values["leaves"]))
    return tuple(Port(name=port["name"], kind=port["kind"], layout=layout(port["layout"])) for port in ports)
