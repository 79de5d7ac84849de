"""What a trace's header says of a layer, and what it must be: every field's type, and that shapes fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from stamp_hw import positions
from stamp_hw.formats.safetensors_file import DTYPES, INT8, TensorEntry, fail
from stamp_hw.layer import MAX_SCALE, MIN_SCALE

#: Characters of a name, a tensor's or a layer's.
MAX_NAME = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEntry:
    """What the header says of a layer; `input`, `weight` and `bias` are names of tensors.

    `s_x` and `s_y` are both given (static calibration) or both None (`calibration: self`). `transform` is False where
    the input is no token sequence worth transforming; in the header the key is left out where it is True. `outliers`
    are positions of tokens of the stored input, `threshold` the absmax beyond which a token of this layer is one, None
    where nobody looked. `weight_scale` names the real values of a step of integer weights, a channel each, None for
    float weights. Older traces have `n_sink` in place of `outliers`, for the first so many.
    """

    name: str
    kind: str
    input: str
    weight: str
    bias: str | None
    grid: tuple[int, int] | None
    outliers: tuple[int, ...]
    s_x: float | None
    s_y: float | None
    transform: bool = True
    threshold: float | None = None
    weight_scale: str | None = None

    def described(self) -> dict[str, Any]:
        """The layer's JSON object."""
        left_out = {key for key, value in (("transform", True), ("threshold", None), ("weight_scale", None))
                    if getattr(self, key) is value}
        return {key: value for key, value in asdict(self).items() if key not in left_out}


def parse_entry(value: Any, where: str) -> LayerEntry:
    """A layer's JSON object with every field's type checked."""
    optional = {"transform", "threshold", "weight_scale"}
    names = {field.name for field in fields(LayerEntry)} - optional
    if isinstance(value, dict) and "n_sink" in value and "outliers" not in value:
        value = _of_older(value, where)
    if not isinstance(value, dict) or set(value) - optional != names:
        fail("malformed layer", where, got=sorted(value) if isinstance(value, dict) else value,
             expected=", ".join(sorted(names)))
    for key in ("name", "kind", "input", "weight"):
        if not isinstance(value[key], str) or not value[key].isprintable() or not 0 < len(value[key]) <= MAX_NAME:
            fail(f"{key} is malformed", where, got=value[key], expected="a short printable string")
    for key in ("bias", "weight_scale"):
        if not (value.get(key) is None or isinstance(value[key], str)):
            fail(f"{key} is malformed", where, got=value[key], expected="a tensor's name or null")
    outliers = value["outliers"]
    if not isinstance(outliers, (list, tuple)) or not all(type(one) is int for one in outliers):
        fail("outliers are malformed", where, got=outliers, expected="positions of tokens")
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
    threshold = value.get("threshold")
    if threshold is not None and not (type(threshold) is float and 0 < threshold < float("inf")):
        fail("threshold is malformed", where, got=threshold, expected="a positive number or null")
    if type(value.get("transform", True)) is not bool:
        fail("transform is malformed", where, got=value["transform"], expected="true or false")
    return LayerEntry(**{**value, "grid": grid, "outliers": tuple(outliers)})


def _of_older(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """An entry that counts its leading sinks, as one that names them."""
    count = value["n_sink"]
    if type(count) is not int or not 0 <= count <= positions.MAX_SINKS:
        fail("n_sink is malformed", where, got=count, expected=f"a whole number in 0…{positions.MAX_SINKS}")
    return {**{key: one for key, one in value.items() if key != "n_sink"}, "outliers": tuple(range(count))}


def check_scales(scale: np.ndarray, where: str) -> None:
    """Real values of a step of integer weights, a channel each. Raises TraceError for one that no layer may have."""
    if not ((scale >= MIN_SCALE) & (scale <= MAX_SCALE)).all():
        fail("weight_scale out of range", where, got=f"{scale.min():g}…{scale.max():g}", expected="2^-100…2^100")


def check_entry(entry: LayerEntry, tensors: Mapping[str, TensorEntry], calibration: str, where: str) -> None:
    """Tensors exist and their shapes fit each other, the grid, the outliers and the calibration."""
    wanted = {"input": (entry.input, 2), "weight": (entry.weight, 2)}
    for role, given in (("bias", entry.bias), ("weight_scale", entry.weight_scale)):
        if given is not None:
            wanted[role] = (given, 1)
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
    for role in ("bias", "weight_scale"):
        if role in shapes and shapes[role][0] != shapes["weight"][0]:
            fail(f"{role} does not fit weight", f"{where}, tensor {wanted[role][0]}", got=shapes[role][0],
                 expected=str(shapes["weight"][0]))
    for role, (name, _) in wanted.items():
        codes = role == "weight" and entry.weight_scale is not None
        if (tensors[name].dtype == INT8) != codes:
            fail(f"{role} has the wrong dtype", f"{where}, tensor {name}", got=tensors[name].dtype,
                 expected=f"{INT8}, as it has a weight_scale" if codes else " or ".join(DTYPES))
    tokens = shapes["input"][0]
    if entry.grid is not None and (entry.grid[0] * entry.grid[1] != tokens or entry.outliers):
        fail("grid does not fit input", where, got=f"{entry.grid[0]} × {entry.grid[1]}, {len(entry.outliers)} outliers",
             expected=f"H·W = {tokens} and no outliers")
    if not positions.ascend_within(entry.outliers, tokens):
        fail("outliers are no tokens", where, got=list(entry.outliers), expected=f"ascending positions below {tokens}")
    for key, scale in (("s_x", entry.s_x), ("s_y", entry.s_y)):
        if (scale is None) != (calibration == "self"):
            fail(f"{key} contradicts calibration {calibration}", where, got=scale,
                 expected="null" if calibration == "self" else "a number in 2^-100…2^100")
