"""Traces: the inputs, weights and static scales of a real model's linear layers, in one safetensors file.

The header's ``__metadata__`` holds one key, ``stamp``: a JSON object with ``schema_version``, ``layers`` (one object a
layer that names its tensors) and what is known of the origin (model, text or seed, calibration, versions). An
input that several layers read is stored once. Readers load a layer at a time, writers stream; neither holds more
than one layer in memory. docs/traces.md describes the format.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.formats.safetensors_file import INT8, SafetensorsFile, TensorEntry, encode, fail, strict_json
from stamp_hw.formats.safetensors_writer import CHUNK, SafetensorsWriter, plain_json, write_file
from stamp_hw.formats.trace_entry import MAX_NAME, LayerEntry, check_entry, check_scales, parse_entry
from stamp_hw.layer import Layer

SCHEMA_VERSION = 1
#: INT16 full scale: a static scale is an absmax divided by this.
FULL_SCALE = 32767
#: Tensors are called after their layer, with a prefix in front, and both names must be at most 512 characters.
MAX_LAYER_NAME = MAX_NAME - len("weight.")
_RESERVED = ("schema_version", "layers")


def static_scale(absmax: float) -> float:
    """Real value of one INT16 step for a tensor of that largest magnitude; a tensor of zeros takes 1 / 32767."""
    return (float(absmax) or 1.0) / FULL_SCALE


class Trace:
    """An open trace. Its header is checked as a whole at once; tensors are read, and checked, layer by layer.

    Members
    -------
    metadata : origin of the trace: everything in ``stamp`` but the layers and the schema version
    layer_names : in file order
    calibration : ``self`` or, e.g., ``static: 8 sequences``
    linear_layers : that the model has, in the trace or not; None where the trace does not say
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
        self.linear_layers: int | None = self.metadata.get("linear_layers")

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
        weight = self._file.read(entry.weight)
        if entry.weight_scale is not None:
            scale = self._file.read(entry.weight_scale)
            check_scales(scale, f"{self.path}, tensor {entry.weight_scale}")
            weight *= scale[:, None]
        return Layer(name=name, x=self._file.read(entry.input), weight=weight,
                     bias=None if entry.bias is None else self._file.read(entry.bias), grid=entry.grid,
                     outliers=entry.outliers, kind=entry.kind, s_x=entry.s_x, s_y=entry.s_y, transform=entry.transform)

    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the whole file."""
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as stream:
                while chunk := stream.read(CHUNK):
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
            entry = parse_entry(value, f"{self.path}, layer {number}")
            where = f"{self.path}, layer {entry.name}"
            if entry.name in layers:
                fail("layer is listed twice", where)
            check_entry(entry, self._file.tensors, calibration, where)
            layers[entry.name] = entry
        own, total = len({entry.weight for entry in layers.values()}), metadata.get("linear_layers")
        if total is not None and not (type(total) is int and own <= total < 1 << 31):
            fail("linear_layers is malformed", self.path, got=total, expected=f"a whole number, {own} at least")
        return metadata, layers


def write_whole(path: str | os.PathLike[str], metadata: Mapping[str, Any], layers: Iterable[LayerEntry],
                tensors: Mapping[str, TensorEntry], data: Iterable[bytes | bytearray | memoryview]) -> None:
    """Write a whole trace whose tensors' sizes are known beforehand; `data` as for `safetensors_writer.write_file`.

    Raises OutputError; TraceError for a layer that `Trace` would refuse, or for no layer.
    """
    listed = []
    for entry in layers:
        where = f"{path}, layer {entry.name}"
        check_entry(parse_entry(entry.described(), where), tensors, metadata["calibration"], where)
        listed.append(entry.described())
    if not listed:
        fail("trace has no layers", path)
    stamp = {**metadata, "schema_version": SCHEMA_VERSION, "layers": listed}
    write_file(path, {"stamp": plain_json(stamp, path)}, tensors, data)


class TraceWriter:
    """Writes a trace tensor by tensor; the file appears, complete, when the `with` block ends without an error.

    The same calls give the same bytes.

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
        plain_json(self._metadata, self.path)
        self._layers: dict[str, LayerEntry] = {}
        self._file = SafetensorsWriter(path)

    def __enter__(self) -> TraceWriter:
        self._file.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                write_whole(self.path, self._metadata, self._layers.values(), self._file.tensors, self._file.written())
        finally:
            self._file.close()

    def add_input(self, key: str, array: np.ndarray, dtype: str) -> None:
        """Store float[S, K] activations once, under a key that layers refer to."""
        self._add_tensor(f"input.{key}", array, 2, dtype)

    def add_layer(self, *, name: str, kind: str, input_key: str, weight: np.ndarray, bias: np.ndarray | None = None,
                  grid: tuple[int, int] | None = None, outliers: Sequence[int] = (), s_x: float | None = None,
                  s_y: float | None = None, transform: bool = True, threshold: float | None = None,
                  dtype: str = "float32", weight_scale: np.ndarray | None = None) -> None:
        """Store weight float[N, K] and bias float[N] of a layer that reads the input `input_key`; with `weight_scale`
        float[N], the real value of a step, weight is int8[N, K]."""
        where = f"{self.path}, layer {name}"
        if name in self._layers:
            fail("layer is listed twice", where)
        if len(name) > MAX_LAYER_NAME:
            fail("layer name is too long", where, got=f"{len(name)} characters", expected=f"at most {MAX_LAYER_NAME}")
        if weight_scale is None:
            self._add_tensor(f"weight.{name}", weight, 2, dtype)
        else:
            weight = np.asarray(weight)
            if weight.dtype != np.int8:
                fail("not codes", f"{where}, weight", got=weight.dtype, expected="int8 with a weight_scale")
            check_scales(np.asarray(weight_scale), f"{where}, weight_scale")
            self._file.add(f"weight.{name}", np.ascontiguousarray(weight), INT8)
            self._add_tensor(f"scale.{name}", weight_scale, 1, "float32")
        if bias is not None:
            self._add_tensor(f"bias.{name}", bias, 1, dtype)
        entry = parse_entry({
            "name": name, "kind": kind, "input": f"input.{input_key}", "weight": f"weight.{name}",
            "bias": None if bias is None else f"bias.{name}", "grid": grid, "outliers": outliers,
            "s_x": None if s_x is None else float(s_x), "s_y": None if s_y is None else float(s_y),
            "transform": transform, "threshold": None if threshold is None else float(threshold),
            "weight_scale": None if weight_scale is None else f"scale.{name}"}, where)
        check_entry(entry, self._file.tensors, self._metadata["calibration"], where)
        self._layers[name] = entry

    def _add_tensor(self, name: str, array: np.ndarray, rank: int, dtype: str) -> None:
        where = f"{self.path}, tensor {name}"
        value = encode(array, dtype, where)
        if value.ndim != rank or value.size == 0:
            fail("tensor has the wrong shape", where, got=list(value.shape), expected=f"{rank} positive sizes")
        self._file.add(name, value, dtype)
