"""The fields of a top module's stream payloads, as data for the manifest and as comments for its Verilog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data, wiring

TDATA = "_tdata"  # suffix of an AXI4-Stream's data


def streams(signature: wiring.Signature) -> dict[str, dict[str, Any]]:
    """Stream name → direction (`in` or `out`), payload width and fields, from the lowest bit up.

    A field has its `name` (of nested structs joined with dots), `offset` (its lowest bit), `width` (of one element),
    `signed`, and for an array also `shape` and `strides` (bits from one element to the next), one number a dimension.
    `port` names the Verilog port that carries it: `NAME__payload`, or `NAME_tdata` of an AXI4-Stream.
    """
    found = {}
    for name, member in signature.members.items():
        if member.is_signature:
            port, shape = f"{name}__payload", member.signature.members["payload"].shape
        elif name.endswith(TDATA):
            port, shape, name = name, member.shape, name.removesuffix(TDATA)
        else:
            continue
        found[name] = {"port": port, "direction": "in" if member.flow is wiring.In else "out",
                       "width": Shape.cast(shape).width, "fields": _fields(shape, "", 0, (), ())}
    return found


def _fields(shape: Any, name: str, offset: int, dims: tuple[int, ...], strides: tuple[int, ...]
            ) -> list[dict[str, Any]]:
    try:
        layout = data.Layout.cast(shape)
    except TypeError:
        flat = Shape.cast(shape)
        entry = {"name": name or "payload", "offset": offset, "width": flat.width, "signed": flat.signed}
        return [entry | ({"shape": list(dims), "strides": list(strides)} if dims else {})] if flat.width else []
    if isinstance(layout, data.ArrayLayout):
        stride = Shape.cast(layout.elem_shape).width
        return _fields(layout.elem_shape, name, offset, (*dims, layout.length), (*strides, stride))
    return [entry for key, field in layout
            for entry in _fields(field.shape, f"{name}.{key}" if name else str(key), offset + field.offset, dims,
                                 strides)]


def comment(ports: Mapping[str, Mapping[str, Any]]) -> str:
    """Comment lines of what `streams` found: a line a stream and a line a field, an array as `name[4] x 8 bits`."""
    lines = ["// Streams, and the fields of their payloads from the lowest bit up:"]
    for port in ports.values():
        lines.append(f"//   {port['port']} ({port['direction']}), {port['width']} bits")
        for field in port["fields"]:
            array = "".join(f"[{length}]" for length in field.get("shape", ()))
            kind = "signed" if field["signed"] else "unsigned"
            unit = "bit" if field["width"] == 1 else "bits"
            lines.append(f"//     from bit {field['offset']}: {field['name']}{array}{' x' * bool(array)} "
                         f"{field['width']} {unit}, {kind}")
    return "\n".join(lines) + "\n"
