"""What a trace's header says of a layer, and what it must be: every field's type, and that shapes fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from stamp_hw.formats.safetensors_file import TensorEntry, fail
from stamp_hw.layer import MAX_SCALE, MIN_SCALE

#: Characters of a name, a tensor's or a layer's.
MAX_NAME = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEntry:
    """What the header says of a layer; `input`, `weight` and `bias` are names of tensors.

    `s_x` and `s_y` are both given (static calibration) or both None (`calibration: self`). `transform` is False where
    the input is no token sequence worth transforming; in the header the key is left out where it is True.
    """

    name: str
    kind: str
    input: str
    weight: str
    bias: str | None
    grid: tuple[int, int] | None
    n_sink: int
    s_x: float | None
    s_y: float | None
    transform: bool = True

    def described(self) -> dict[str, Any]:
        """The layer's JSON object."""
        return {key: value for key, value in asdict(self).items() if key != "transform" or not value}


def parse_entry(value: Any, where: str) -> LayerEntry:
    """A layer's JSON object with every field's type checked."""
    names = {field.name for field in fields(LayerEntry)} - {"transform"}
    if not isinstance(value, dict) or set(value) - {"transform"} != names:
        fail("malformed layer", where, got=sorted(value) if isinstance(value, dict) else value,
             expected=", ".join(sorted(names)))
    for key in ("name", "kind", "input", "weight"):
        if not isinstance(value[key], str) or not value[key].isprintable() or not 0 < len(value[key]) <= MAX_NAME:
            fail(f"{key} is malformed", where, got=value[key], expected="a short printable string")
    if not (value["bias"] is None or isinstance(value["bias"], str)):
        fail("bias is malformed", where, got=value["bias"], expected="a tensor's name or null")
    if type(value["n_sink"]) is not int:
        fail("n_sink is malformed", where, got=value["n_sink"], expected="a whole number")
    grid = value["grid"]
    if grid is not None:
        if not isinstance(grid, (list, tuple)) or len(grid) != 2 or not all(
                type(side) is int and side > 0 for side in grid):
            fail("grid is malformed", where, got=grid, expected="[H, W] or null")
        grid = (grid[0], grid[1])
    for key in ("s_x", "s_y"):
        scale = value[key]
        if scale is not None and not (type(scale) is float and MIN_SCALE <= scale <= MAX_SCALE):
            fail(f"{key} is malformed", where, got=scale, expected="a number in 2^-100…2^100 or null")
    if type(value.get("transform", True)) is not bool:
        fail("transform is malformed", where, got=value["transform"], expected="true or false")
    return LayerEntry(**{**value, "grid": grid})


def check_entry(entry: LayerEntry, tensors: Mapping[str, TensorEntry], calibration: str, where: str) -> None:
    """Tensors exist and their shapes fit each other, the grid, the sinks and the calibration."""
    wanted = {"input": (entry.input, 2), "weight": (entry.weight, 2)}
    if entry.bias is not None:
        wanted["bias"] = (entry.bias, 1)
    shapes = {}
    for role, (name, rank) in wanted.items():
        if name not in tensors:
            fail(f"{role} tensor is missing", where, got=name, expected="a tensor of the file")
        shape = tensors[name].shape
        if len(shape) != rank or min(shape) < 1:
            fail(f"{role} has the wrong shape", f"{where}, tensor {name}", got=list(shape),
                 expected=f"{rank} positive sizes")
        shapes[role] = shape
    if shapes["input"][1] != shapes["weight"][1]:
        fail("weight does not fit input", f"{where}, tensor {entry.weight}",
             got=f"K = {shapes['weight'][1]}", expected=f"K = {shapes['input'][1]}")
    if "bias" in shapes and shapes["bias"][0] != shapes["weight"][0]:
        fail("bias does not fit weight", f"{where}, tensor {entry.bias}", got=shapes["bias"][0],
             expected=str(shapes["weight"][0]))
    tokens = shapes["input"][0]
    if entry.grid is not None and (entry.grid[0] * entry.grid[1] != tokens or entry.n_sink):
        fail("grid does not fit input", where, got=f"{entry.grid[0]} × {entry.grid[1]}, {entry.n_sink} sinks",
             expected=f"H·W = {tokens} and no sinks")
    if not 0 <= entry.n_sink < tokens:
        fail("n_sink out of range", where, got=entry.n_sink, expected=f"0…{tokens - 1}")
    for key, scale in (("s_x", entry.s_x), ("s_y", entry.s_y)):
        if (scale is None) != (calibration == "self"):
            fail(f"{key} contradicts calibration {calibration}", where, got=scale,
                 expected="null" if calibration == "self" else "a number in 2^-100…2^100")
