"""Small traces and what strangers may do to them, for the tests of the trace format."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.formats.safetensors_file import DTYPES, decode, encode
from stamp_hw.formats.trace import SCHEMA_VERSION, TraceWriter

Attack = Callable[[dict, bytes], tuple[Any, bytes]]


def write_trace(path: Path, rng: np.random.Generator, dtype: str = "float32",
                **metadata: object) -> dict[str, np.ndarray]:
    """Two layers that share an odd-sized input, one with a bias, and a 2-D layer with another; gives what is stored."""
    arrays = {"x": rng.normal(size=(7, 5)), "g": rng.normal(size=(6, 3)), "wq": rng.normal(size=(4, 5)),
              "wk": rng.normal(size=(1, 5)), "wg": rng.normal(size=(2, 3)), "bq": rng.normal(size=4)}
    static = metadata.get("calibration", "self") != "self"
    scales = {"s_x": 0.1, "s_y": 1e-30} if static else {}
    with TraceWriter(path, {"model": "made up", **metadata}) as writer:
        writer.add_input("x", arrays["x"], dtype)
        writer.add_layer(name="a.q", kind="q", input_key="x", weight=arrays["wq"], bias=arrays["bq"], outliers=(0, 5),
                         dtype=dtype, **scales)
        writer.add_input("g", arrays["g"], dtype)
        writer.add_layer(name="a.k", kind="k", input_key="x", weight=arrays["wk"], dtype=dtype, **scales)
        writer.add_layer(name="b", kind="conv", input_key="g", weight=arrays["wg"], grid=(2, 3), dtype=dtype, **scales)
    return {name: decode(encode(array, dtype, "test").tobytes(), DTYPES[dtype], array.shape)
            for name, array in arrays.items()}


def data_start(path: Path) -> int:
    """Offset of the first tensor's data."""
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def read_header(path: Path) -> dict:
    """The JSON header, nothing checked."""
    return json.loads(path.read_bytes()[8 : data_start(path)])


def parts(tmp_path: Path, rng: np.random.Generator) -> tuple[dict, bytes]:
    """Header and data of a good trace."""
    write_trace(tmp_path / "t", rng)
    return read_header(tmp_path / "t"), (tmp_path / "t").read_bytes()[data_start(tmp_path / "t"):]


def assemble(path: Path, header: dict | bytes, data: bytes) -> Path:
    """A file of any header and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def stamped(change: Callable[[dict], object]) -> Attack:
    """An attack on the description instead of the container."""
    def attack(header: dict, data: bytes) -> tuple[dict, bytes]:
        stamp = json.loads(header["__metadata__"]["stamp"])
        change(stamp)
        header["__metadata__"]["stamp"] = json.dumps(stamp)
        return header, data

    return attack


def tensor(name: str, **fields: object) -> Attack:
    """Change fields of a tensor's entry."""
    def attack(header: dict, data: bytes) -> tuple[dict, bytes]:
        header[name].update(fields)
        return header, data

    return attack


def put(index: int, key: str, value: object) -> Attack:
    """Change a field of a layer."""
    return stamped(lambda stamp: stamp["layers"][index].update({key: value}))


def older(layer: int, sinks: object) -> Attack:
    """A layer of an older trace, which counts its leading sinks."""
    def change(stamp: dict) -> None:
        entry = stamp["layers"][layer]
        del entry["outliers"]
        entry["n_sink"] = sinks
    return stamped(change)


def poke(name: str, value: bytes) -> Attack:
    """Overwrite the first bytes of a tensor."""
    def attack(header: dict, data: bytes) -> tuple[dict, bytes]:
        at = header[name]["data_offsets"][0]
        return header, data[:at] + value + data[at + len(value):]

    return attack


def raw_stamp(text: str) -> Attack:
    """Replace the description."""
    def attack(header: dict, data: bytes) -> tuple[dict, bytes]:
        header["__metadata__"]["stamp"] = text
        return header, data

    return attack


NAN, INF = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))
#: name → (attack, what the refusal says)
ATTACKS: dict[str, tuple[Attack, str]] = {
    "an unknown dtype": (tensor("weight.a.q", dtype="F64"), "tensor weight.a.q: unknown dtype"),
    "a dtype that is no string": (tensor("weight.a.q", dtype=["F32"]), "weight.a.q: unknown dtype"),
    "a shape that is no list": (tensor("weight.a.q", shape="4,5"), "shape is malformed"),
    "a negative size": (tensor("weight.a.q", shape=[-4, -5]), "shape is malformed"),
    "a boolean size": (tensor("weight.a.q", shape=[True, 20]), "shape is malformed"),
    "a float size": (tensor("weight.a.q", shape=[4.0, 5]), "shape is malformed"),
    "a size that overflows 64 bits": (tensor("weight.a.q", shape=[1 << 62, 1 << 62]), "do not fit dtype and shape"),
    "a size beyond 64 bits": (tensor("weight.a.q", shape=[1 << 64, 5]), "shape is malformed"),
    "a rank of thousands": (tensor("weight.a.q", shape=[1] * 5000), "shape is malformed"),
    "a shape that does not fit": (tensor("weight.a.q", shape=[4, 6]), "do not fit dtype and shape"),
    "offsets in reverse": (tensor("weight.a.q", data_offsets=[80, 0]), "data_offsets out of range"),
    "offsets beyond the file": (tensor("weight.a.q", data_offsets=[1 << 40, (1 << 40) + 80]), "out of range"),
    "three offsets": (tensor("weight.a.q", data_offsets=[0, 80, 80]), "data_offsets out of range"),
    "overlapping tensors": (tensor("weight.a.q", data_offsets=[0, 80]), "overlaps"),
    "an entry with a stranger's key": (tensor("weight.a.q", pickle="yes"), "malformed entry"),
    "an entry that is a list": (lambda h, d: ({**h, "weight.a.q": []}, d), "malformed entry"),
    "a hole": (lambda h, d: ({k: v for k, v in h.items() if k != "weight.a.q"}, d), "hole"),
    "bytes behind the last tensor": (lambda h, d: (h, d + b"x"), "size does not fit"),
    "a cut tail": (lambda h, d: (h, d[:-1]), "data_offsets out of range"),
    "a header that is a list": (lambda h, d: (b"[1, 2]", d), "header is not an object"),
    "a header that is not UTF-8": (lambda h, d: (b'{"\xff\xfe":1}', d), "not JSON"),
    "a header of rubbish": (lambda h, d: (b"\x80\x04\x95pickle", d), "not JSON"),
    "a header with a key twice": (lambda h, d: (b'{"a":1,"a":2}', d), "JSON holds a key twice"),
    "a header nested deeply": (lambda h, d: (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, d), "nested too deeply"),
    "a number of a million digits": (lambda h, d: (b'{"a":' + b"9" * 1_000_000 + b"}", d), "not JSON"),
    "NaN in the header": (lambda h, d: (b'{"a":NaN}', d), "not finite"),
    "an empty header": (lambda h, d: (b"", d), "bad header length"),
    "metadata that is no object": (lambda h, d: ({**h, "__metadata__": 3}, d), "__metadata__ is malformed"),
    "metadata of no strings": (lambda h, d: ({**h, "__metadata__": {"stamp": {}}}, d), "__metadata__ is malformed"),
    "no stamp": (lambda h, d: ({**h, "__metadata__": {"format": "pt"}}, d), "not a trace"),
    "no metadata": (lambda h, d: (h.pop("__metadata__") and (h, d)), "not a trace"),
    "a stamp that is not JSON": (raw_stamp("{'a': 1}"), "not JSON"),
    "a stamp that is a list": (raw_stamp("[]"), "metadata is malformed"),
    "a stamp with a key twice": (raw_stamp('{"schema_version": 1, "schema_version": 1}'), "key twice"),
    "a stamp nested deeply": (raw_stamp("[" * 100_000), "nested too deeply"),
    "a schema of tomorrow": (stamped(lambda s: s.update(schema_version=SCHEMA_VERSION + 1)), "unknown schema version"),
    "a schema version that is true": (stamped(lambda s: s.update(schema_version=True)), "unknown schema version"),
    "no schema version": (stamped(lambda s: s.pop("schema_version")), "unknown schema version"),
    "no layers": (stamped(lambda s: s.update(layers=[])), "no layers"),
    "layers that are no list": (stamped(lambda s: s.update(layers={"a": 1})), "no layers"),
    "a layer that is a string": (stamped(lambda s: s.update(layers=["a"])), "malformed layer"),
    "a layer without a weight": (stamped(lambda s: s["layers"][0].pop("weight")), "malformed layer"),
    "a layer with a stranger's key": (put(0, "pickle", "x"), "malformed layer"),
    "a mark that is a number": (put(0, "transform", 0), "transform is malformed"),
    "a mark that is null": (put(0, "transform", None), "transform is malformed"),
    "a layer twice": (stamped(lambda s: s["layers"].append(s["layers"][0])), "layer a.q: layer is listed twice"),
    "a name with an escape sequence": (put(0, "name", "\x1b[2J"), "name is malformed"),
    "a name with a lone surrogate": (put(0, "name", "\ud800"), "name is malformed"),
    "a name of megabytes": (put(0, "name", "a" * 1_000_000), "name is malformed"),
    "a name that is no string": (put(0, "name", ["a"]), "name is malformed"),
    "an input that is missing": (put(0, "input", "input.y"), "layer a.q: input tensor is missing; got input.y"),
    "a weight that is missing": (put(0, "weight", "nothing"), "weight tensor is missing"),
    "a bias that is missing": (put(0, "bias", "nothing"), "bias tensor is missing"),
    "a bias that is a number": (put(0, "bias", 0), "bias is malformed"),
    "a weight of another layer": (put(0, "weight", "weight.b"), "weight does not fit input"),
    "a weight of rank 1": (put(0, "weight", "bias.a.q"), "weight has the wrong shape"),
    "a bias that does not fit": (put(1, "bias", "bias.a.q"), "bias does not fit weight"),
    "a bias of rank 2": (put(0, "bias", "weight.a.k"), "bias has the wrong shape"),
    "a grid that does not fit": (put(2, "grid", [2, 4]), "grid does not fit input"),
    "a grid of zero": (put(2, "grid", [0, 6]), "grid is malformed"),
    "a grid of one side": (put(2, "grid", [6]), "grid is malformed"),
    "a grid with outliers": (put(2, "outliers", [1]), "grid does not fit input"),
    "outliers before the first token": (put(0, "outliers", [-1]), "outliers are no tokens"),
    "outliers behind the last token": (put(0, "outliers", [0, 7]), "outliers are no tokens"),
    "outliers in no order": (put(0, "outliers", [5, 2]), "outliers are no tokens"),
    "an outlier twice": (put(0, "outliers", [5, 5]), "outliers are no tokens"),
    "an outlier that is true": (put(0, "outliers", [True]), "outliers are malformed"),
    "a number of outliers": (put(0, "outliers", 2), "outliers are malformed"),
    "outliers, and sinks as older traces have them": (put(0, "n_sink", 1), "malformed layer"),
    "more sinks than an older trace has tokens": (older(0, 8), "outliers are no tokens"),
    "a number of sinks below 0": (older(0, -1), "n_sink is malformed"),
    "billions of sinks": (older(0, 10**10), "n_sink is malformed"),
    "sinks that are true": (older(0, True), "n_sink is malformed"),
    "a threshold of zero": (put(0, "threshold", 0.0), "threshold is malformed"),
    "a threshold that is a text": (put(0, "threshold", "8"), "threshold is malformed"),
    "a scale of zero": (put(0, "s_x", 0.0), "s_x is malformed"),
    "a scale beyond 2^100": (put(0, "s_x", 1.3e30), "s_x is malformed"),
    "a scale below 2^-100": (put(0, "s_y", 7e-31), "s_y is malformed"),
    "a negative scale": (put(0, "s_y", -1.0), "s_y is malformed"),
    "an infinite scale": (lambda h, d: (json.dumps(put(0, "s_x", 1.5)(h, d)[0]).replace("1.5,", "1e999,").encode(), d),
                          "s_x is malformed"),
    "a scale in a self-calibrated trace": (put(0, "s_x", 1.0), "contradicts calibration self"),
    "no scale in a static trace": (stamped(lambda s: s.update(calibration="static: 2")), "contradicts calibration"),
    "no calibration": (stamped(lambda s: s.pop("calibration")), "calibration is malformed"),
    "NaN activations": (poke("input.x", NAN), "tensor input.x: holds NaN or infinite values; got 1 of 35"),
    "infinite weights": (poke("weight.a.q", INF), "tensor weight.a.q: holds NaN or infinite values"),
    "an infinite bias": (poke("bias.a.q", INF), "tensor bias.a.q: holds NaN"),
}
