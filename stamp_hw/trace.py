"""Traces: the inputs, weights and static scales of a real model's linear layers, in one safetensors file.

The header's ``__metadata__`` holds one key, ``stamp``: a JSON object with ``schema_version``, ``layers`` (one object a
layer that names its tensors) and what is known of the origin (model, text or seed, calibration, versions). An
input that several layers read is stored once. Readers load a layer at a time, writers stream; neither holds more
than one layer in memory. docs/traces.md describes the format.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from stamp_hw.errors import OutputError
from stamp_hw.files import atomic_file, final_target
from stamp_hw.layer import MAX_SCALE, MIN_SCALE, Layer
from stamp_hw.safetensors_file import DTYPES, SafetensorsFile, TensorEntry, encode, fail, strict_json

SCHEMA_VERSION = 1
#: INT16 full scale: a static scale is an absmax divided by this.
FULL_SCALE = 32767
_MAX_NAME = 512
#: Tensors are called after their layer, with a prefix in front, and both names must be at most 512 characters.
MAX_LAYER_NAME = _MAX_NAME - len("weight.")
_RESERVED = ("schema_version", "layers")
_CHUNK = 1 << 20


def static_scale(absmax: float) -> float:
    """Real value of one INT16 step for a tensor of that largest magnitude; a tensor of zeros takes 1 / 32767."""
    return (float(absmax) or 1.0) / FULL_SCALE


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEntry:
    """What the header says of a layer; `input`, `weight` and `bias` are names of tensors.

    `s_x` and `s_y` are both given (static calibration) or both None (`calibration: self`).
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


class Trace:
    """An open trace. Its header is checked as a whole at once; tensors are read, and checked, layer by layer.

    Members
    -------
    metadata : origin of the trace: everything in ``stamp`` but the layers and the schema version
    layer_names : in file order
    calibration : ``self`` or, e.g., ``static: 8 sequences``
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = SafetensorsFile(path)
        try:
            self.metadata, self._layers = self._description()
        except BaseException:
            self._file.close()
            raise
        self.layer_names = tuple(self._layers)
        self.calibration: str = self.metadata["calibration"]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Trace:
        """Open and check a trace; raises TraceError, one line that names file and tensor."""
        return cls(path)

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        """Layers in file order, each read when its turn comes."""
        return (self.layer(name) for name in self.layer_names)

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self._file.size_bytes

    def entry(self, name: str) -> LayerEntry:
        """What the header says of a layer; reads no tensor. Raises TraceError for an unknown name."""
        if name not in self._layers:
            fail("no such layer", self.path, got=name, expected="a name that `stamp-hw trace info` lists")
        return self._layers[name]

    def tensor(self, name: str) -> TensorEntry:
        """Shape and dtype of a tensor that an entry names; reads no data."""
        return self._file.tensors[name]

    def layer(self, name: str) -> Layer:
        """The layer with float32 tensors; raises TraceError for NaN, infinite or missing data."""
        entry = self.entry(name)
        return Layer(name=name, x=self._file.read(entry.input), weight=self._file.read(entry.weight),
                     bias=None if entry.bias is None else self._file.read(entry.bias), grid=entry.grid,
                     n_sink=entry.n_sink, kind=entry.kind, s_x=entry.s_x, s_y=entry.s_y)

    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the whole file."""
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            fail("cannot read trace", self.path, got=error.strerror)
        return digest.hexdigest()

    def _description(self) -> tuple[dict[str, Any], dict[str, LayerEntry]]:
        text = self._file.metadata.get("stamp")
        if text is None:
            fail("not a trace", self.path, got="no `stamp` in the header's metadata",
                 expected="a file that `stamp-hw trace dump` wrote")
        metadata = strict_json(text, f"{self.path}, metadata")
        if not isinstance(metadata, dict):
            fail("metadata is malformed", self.path, expected="a JSON object")
        version = metadata.pop("schema_version", None)
        if type(version) is not int or version != SCHEMA_VERSION:
            fail("unknown schema version", self.path, got=version, expected=str(SCHEMA_VERSION))
        listed = metadata.pop("layers", None)
        if not isinstance(listed, list) or not listed:
            fail("trace has no layers", self.path, expected="a list of layers")
        calibration = metadata.get("calibration")
        if not isinstance(calibration, str) or not calibration.isprintable():
            fail("calibration is malformed", self.path, got=calibration, expected="`self` or `static: …`")
        layers: dict[str, LayerEntry] = {}
        for number, value in enumerate(listed):
            entry = _parse_entry(value, f"{self.path}, layer {number}")
            where = f"{self.path}, layer {entry.name}"
            if entry.name in layers:
                fail("layer is listed twice", where)
            _check_entry(entry, self._file.tensors, calibration, where)
            layers[entry.name] = entry
        return metadata, layers


def _parse_entry(value: Any, where: str) -> LayerEntry:
    """A layer's JSON object with every field's type checked."""
    names = {field.name for field in fields(LayerEntry)}
    if not isinstance(value, dict) or set(value) != names:
        fail("malformed layer", where, got=sorted(value) if isinstance(value, dict) else value,
             expected=", ".join(sorted(names)))
    for key in ("name", "kind", "input", "weight"):
        if not isinstance(value[key], str) or not value[key].isprintable() or not 0 < len(value[key]) <= _MAX_NAME:
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
    return LayerEntry(**{**value, "grid": grid})


def _check_entry(entry: LayerEntry, tensors: Mapping[str, TensorEntry], calibration: str, where: str) -> None:
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


class TraceWriter:
    """Writes a trace tensor by tensor; the file appears, complete, when the `with` block ends without an error.

    Tensors go to a nameless temporary file in the same folder, so that a process that dies leaves nothing. The same
    calls give the same bytes.

    Parameters
    ----------
    path : the file to write
    metadata : JSON-able origin of the trace; `calibration` defaults to ``self``, ``schema_version`` and ``layers``
        are the writer's own (another trace's `metadata` can be passed on)

    Raises
    ------
    OutputError : the file cannot be written (on entry where possible, else on exit)
    TraceError : a tensor, layer or metadata that `Trace` would refuse
    """

    def __init__(self, path: str | os.PathLike[str], metadata: Mapping[str, Any]) -> None:
        self.path = Path(path)
        for key in _RESERVED:
            if key in metadata:
                fail("metadata uses a reserved key", self.path, got=key)
        self._metadata = {"calibration": "self", **metadata}
        self._json(self._metadata)
        self._tensors: dict[str, TensorEntry] = {}
        self._layers: dict[str, LayerEntry] = {}
        self._spool: IO[bytes] | None = None
        self._size = 0

    def __enter__(self) -> TraceWriter:
        try:
            folder = final_target(self.path).parent
            folder.mkdir(parents=True, exist_ok=True)
            self._spool = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 closed by __exit__
        except OSError as error:
            raise self._output_error(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._spool is not None
        with self._spool:
            if kind is None:
                self._finish(self._spool)

    def add_input(self, key: str, array: np.ndarray, dtype: str) -> None:
        """Store float[S, K] activations once, under a key that layers refer to."""
        self._add_tensor(f"input.{key}", array, 2, dtype)

    def add_layer(self, *, name: str, kind: str, input_key: str, weight: np.ndarray, bias: np.ndarray | None = None,
                  grid: tuple[int, int] | None = None, n_sink: int = 0, s_x: float | None = None,
                  s_y: float | None = None, dtype: str = "float32") -> None:
        """Store weight float[N, K] and bias float[N] of a layer that reads the input `input_key`."""
        where = f"{self.path}, layer {name}"
        if name in self._layers:
            fail("layer is listed twice", where)
        if len(name) > MAX_LAYER_NAME:
            fail("layer name is too long", where, got=f"{len(name)} characters", expected=f"at most {MAX_LAYER_NAME}")
        self._add_tensor(f"weight.{name}", weight, 2, dtype)
        if bias is not None:
            self._add_tensor(f"bias.{name}", bias, 1, dtype)
        entry = _parse_entry({
            "name": name, "kind": kind, "input": f"input.{input_key}", "weight": f"weight.{name}",
            "bias": None if bias is None else f"bias.{name}", "grid": grid, "n_sink": n_sink,
            "s_x": None if s_x is None else float(s_x), "s_y": None if s_y is None else float(s_y)}, where)
        _check_entry(entry, self._tensors, self._metadata["calibration"], where)
        self._layers[name] = entry

    def _add_tensor(self, name: str, array: np.ndarray, rank: int, dtype: str) -> None:
        where = f"{self.path}, tensor {name}"
        if self._spool is None:
            fail("writer is not open", where, expected="a `with` block")
        if name in self._tensors:
            fail("tensor is stored twice", where)
        value = encode(array, dtype, where)
        if value.ndim != rank or value.size == 0:
            fail("tensor has the wrong shape", where, got=list(value.shape), expected=f"{rank} positive sizes")
        try:
            rest = memoryview(value.view(np.uint8).reshape(-1).data)
            while rest:
                rest = rest[self._spool.write(rest):]
        except OSError as error:
            raise self._output_error(error) from error
        self._tensors[name] = TensorEntry(code=DTYPES[dtype], shape=value.shape, begin=self._size,
                                          end=self._size + value.nbytes)
        self._size += value.nbytes

    def _finish(self, spool: IO[bytes]) -> None:
        """Put the header in front of the data: only now are all offsets known."""
        if not self._layers:
            fail("trace has no layers", self.path)
        stamp = {**self._metadata, "schema_version": SCHEMA_VERSION,
                 "layers": [asdict(entry) for entry in self._layers.values()]}
        header: dict[str, Any] = {"__metadata__": {"stamp": self._json(stamp)}}
        for name, entry in self._tensors.items():
            header[name] = {"dtype": entry.code, "shape": list(entry.shape), "data_offsets": [entry.begin, entry.end]}
        text = self._json(header).encode()
        text += b" " * (-len(text) % 8)  # the data of every safetensors file starts at a multiple of 8
        try:
            spool.seek(0)
        except OSError as error:
            raise self._output_error(error) from error
        with atomic_file(self.path, "wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(spool, stream, _CHUNK)

    def _json(self, value: Any) -> str:
        try:
            return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            return fail("metadata is no JSON", self.path, got=error, expected="strings, finite numbers, lists, objects")

    def _output_error(self, error: OSError) -> OutputError:
        return OutputError("cannot write file", where=str(self.path), got=error.strerror or str(error),
                           expected="a writable folder with free space")
