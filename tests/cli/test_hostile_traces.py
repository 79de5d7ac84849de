"""A trace that is truncated, hostile or wrong ends in one line, exit code 2, and nothing half-written."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.refusals import TRACE, files, refused


def copy_of_trace(path: Path, change: Callable[[dict, bytearray], None]) -> Path:
    """A copy of the shipped trace whose header and data went through `change`."""
    raw = TRACE.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8 : 8 + size]), bytearray(raw[8 + size :])
    change(header, data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def first_input(header: dict) -> tuple[int, int, str]:
    """(begin, end, dtype) of the first layer's activations in the data part."""
    stamp = json.loads(header["__metadata__"]["stamp"])
    tensor = header[stamp["layers"][0]["input"]]
    return (*tensor["data_offsets"], tensor["dtype"])


def truncated(folder: Path) -> Path:
    (folder / "t").write_bytes(TRACE.read_bytes()[:-1000])
    return folder / "t"


def empty(folder: Path) -> Path:
    (folder / "t").write_bytes(b"")
    return folder / "t"


def huge_header(folder: Path) -> Path:
    (folder / "t").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    return folder / "t"


def text_file(folder: Path) -> Path:
    (folder / "t").write_text("not a trace at all, only words " * 50)
    return folder / "t"


def pickled(folder: Path) -> Path:
    (folder / "t").write_bytes(pickle.dumps({"a": 1}))
    return folder / "t"


def nan_inside(folder: Path) -> Path:
    def change(header: dict, data: bytearray) -> None:
        begin, _, dtype = first_input(header)
        nan = np.array(np.nan, "<f4").tobytes()
        data[begin : begin + 4] = nan if dtype == "F32" else (nan[2:] * 2 if dtype == "BF16" else b"\x00\x7e" * 2)
    return copy_of_trace(folder / "t", change)


def overlapping(folder: Path) -> Path:
    def change(header: dict, _: bytearray) -> None:
        names = [name for name in header if name != "__metadata__"]
        header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
    return copy_of_trace(folder / "t", change)


def wrong_shape(folder: Path) -> Path:
    def change(header: dict, _: bytearray) -> None:
        name = next(name for name in header if name != "__metadata__")
        header[name]["shape"] = [3, 5]
    return copy_of_trace(folder / "t", change)


def no_metadata(folder: Path) -> Path:
    return copy_of_trace(folder / "t", lambda header, _: header.pop("__metadata__") and None)


HOSTILE = [truncated, empty, huge_header, text_file, pickled, nan_inside, overlapping, wrong_shape, no_metadata,
           lambda folder: folder / "missing.safetensors", lambda folder: folder]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_trace_is_refused_and_nothing_is_written(make: Callable[[Path], Path], tmp_path: Path,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    out.mkdir()
    path = make(inputs)
    line = refused(["simulate", str(path), "--json", str(out / "a.json"), "--csv", str(out / "a.csv"),
                    "--plots", str(out / "plots")], capsys)
    assert str(path) in line
    assert not {name for name in files(out) if (out / name).is_file()}
    if make is not nan_inside:  # `info` reads what the trace says of itself; it also looks at the values
        assert str(path) in refused(["trace", "info", str(path)], capsys)
