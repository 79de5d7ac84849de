"""The safetensors container, read strictly and lazily with NumPy alone.

A file is an 8-byte little-endian header length, a JSON header and the tensors' bytes. Files come from strangers, so
everything in the header is checked before it is believed; NumPy has no bfloat16, so float conversion is here too.
Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from stamp_hw.errors import TraceError
from stamp_hw.formats.file_kinds import looks_like

#: Names of the float types of a trace, as a user writes them, and their names in the container.
DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}
#: Of the codes of weights that have a scale a channel.
INT8 = "int8"
CODES = {**DTYPES, INT8: "I8"}
_NAMES = {code: name for name, code in CODES.items()}
_SIZES = {"F16": 2, "BF16": 2, "F32": 4, "I8": 1}
#: The limit of the safetensors library on its own header.
MAX_HEADER = 100_000_000
MAX_RANK = 8
_LOOK = 4096  # bytes of a file that is none, to say what it is


def printable(value: object, limit: int = 120) -> str:
    """`value` on one line without control characters or lone surrogates, for messages about strangers' files."""
    text = "".join(char if char.isprintable() else "?" for char in str(value)[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def fail(what: str, where: object, got: object = None, expected: str = "") -> NoReturn:
    """Raise TraceError with strangers' text made printable."""
    raise TraceError(what, where=printable(where, 300), got=None if got is None else printable(got), expected=expected)


def strict_json(text: str | bytes, where: object) -> Any:
    """Parse JSON, refusing duplicate keys, NaN, infinities, absurd nesting and bytes that are not UTF-8."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in pairs:
            if key in table:
                fail("JSON holds a key twice", where, got=key)
            table[key] = value
        return table

    def constant(name: str) -> NoReturn:
        fail("JSON holds a number that is not finite", where, got=name)

    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"), object_pairs_hook=unique,
                          parse_constant=constant)
    except RecursionError:
        fail("JSON is nested too deeply", where)
    except ValueError as error:
        fail("not JSON", where, got=error, expected="UTF-8 JSON")


def encode(array: np.ndarray, dtype: str, where: object) -> np.ndarray:
    """`array` as float16, float32 or (round to nearest even) bfloat16 in a little-endian array of its bytes' width.

    Raises TraceError for NaN or infinite values, those that the narrower type overflows to included.
    """
    if dtype not in DTYPES:
        fail("unknown dtype", where, got=dtype, expected=" or ".join(DTYPES))
    value = np.asarray(array)
    if value.dtype.kind != "f":
        fail("not a float array", where, got=value.dtype, expected="a floating dtype")
    with np.errstate(over="ignore"):
        if dtype == "float16":
            coded = value.astype("<f2", order="C")
            finite = np.isfinite(coded).all()
        else:
            coded = np.ascontiguousarray(value, dtype="<f4")
            finite = np.isfinite(coded).all()
            if dtype == "bfloat16":
                bits = coded.view("<u4")
                coded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
                finite = finite and not ((coded & 0x7F80) == 0x7F80).any()
    if not finite:
        fail(f"holds NaN, infinite values or values beyond {dtype}", where, expected="finite values")
    return coded


def decode(data: bytes | bytearray, code: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 array of `shape` from little-endian F16, BF16, F32 or I8 bytes."""
    if code == CODES[INT8]:
        return np.frombuffer(data, dtype=np.int8).astype(np.float32).reshape(shape)
    if code == "BF16":
        return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, dtype="<f2" if code == "F16" else "<f4").astype(np.float32).reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """Where a tensor lies: container dtype code, shape, absolute byte range of the file."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def dtype(self) -> str:
        """The dtype as a user writes it."""
        return _NAMES[self.code]


class SafetensorsFile:
    """An open file: its checked header at once, a tensor when asked for.

    Tensors are read with `pread`, not mapped: a file that is cut while open raises TraceError, never SIGBUS.

    Members
    -------
    metadata : str → str of ``__metadata__``
    tensors : name → TensorEntry
    size_bytes : size of the file
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = None
        try:
            mode = self.path.stat().st_mode
            if not stat.S_ISREG(mode):
                fail("not a trace", self.path, got="a directory" if stat.S_ISDIR(mode) else "no regular file",
                     expected="a safetensors file")
            self._file = self.path.open("rb", buffering=0)
            self.size_bytes = os.fstat(self._file.fileno()).st_size
            header, start = self._header()
        except (OSError, ValueError) as error:
            self.close()
            fail("cannot read trace", self.path, got=getattr(error, "strerror", None) or error,
                 expected="a readable safetensors file")
        except BaseException:
            self.close()
            raise
        try:
            self.metadata = self._metadata(header.pop("__metadata__", {}))
            self.tensors: Mapping[str, TensorEntry] = self._entries(header, start)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; reading afterwards raises TraceError."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _pread(self, offset: int, length: int) -> bytearray:
        """Exactly `length` bytes at `offset`."""
        if self._file is None:
            fail("trace is closed", self.path)
        buffer = bytearray(length)
        view, done = memoryview(buffer), 0
        while done < length:
            count = os.preadv(self._file.fileno(), [view[done : done + (1 << 30)]], offset + done)
            if count == 0:
                fail("truncated", self.path, got=f"{offset + done} bytes", expected=f"at least {offset + length} bytes")
            done += count
        return buffer

    def _header(self) -> tuple[dict[str, Any], int]:
        length = int.from_bytes(self._pread(0, min(self.size_bytes, 8)), "little")
        room = min(self.size_bytes - 8, MAX_HEADER)
        if not 2 <= length <= room:
            kind = looks_like(bytes(self._pread(0, min(self.size_bytes, _LOOK))))
            if kind is not None:
                fail("not a safetensors file", self.path, got=kind,
                     expected="a trace that `stamp-hw trace dump` wrote, or tensors in safetensors")
            if self.size_bytes < 8:
                fail("truncated", self.path, got=f"{self.size_bytes} bytes", expected="an 8-byte header length")
            fail("bad header length", self.path, got=length, expected=f"2…{room}")
        header = strict_json(bytes(self._pread(8, length)), f"{self.path}, header")
        if not isinstance(header, dict):
            fail("header is not an object", self.path, got=type(header).__name__, expected="a JSON object")
        return header, 8 + length

    def _metadata(self, metadata: Any) -> dict[str, str]:
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            fail("__metadata__ is malformed", self.path, expected="an object of strings")
        return metadata

    def _entries(self, header: dict[str, Any], start: int) -> dict[str, TensorEntry]:
        entries = {name: self._entry(name, value, start) for name, value in header.items()}
        place = start
        for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
            if entry.begin != place:
                fail(f"data {'overlaps' if entry.begin < place else 'leaves a hole before it'}",
                     f"{self.path}, tensor {name}", got=f"offset {entry.begin - start}", expected=str(place - start))
            place = entry.end
        if place != self.size_bytes:
            fail("size does not fit the header", self.path, got=f"{self.size_bytes} bytes", expected=f"{place} bytes")
        return entries

    def _entry(self, name: str, value: Any, start: int) -> TensorEntry:
        where = f"{self.path}, tensor {name}"
        if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
            fail("malformed entry", where, expected="dtype, shape and data_offsets")
        code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(code, str) or code not in _SIZES:
            fail("unknown dtype", where, got=code, expected=", ".join(_SIZES))
        for field, numbers in (("shape", shape), ("data_offsets", offsets)):
            if not isinstance(numbers, list) or len(numbers) > MAX_RANK or not all(
                    type(number) is int and 0 <= number < 1 << 63 for number in numbers):
                fail(f"{field} is malformed", where, got=numbers, expected="a short list of whole numbers")
        if len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1] <= self.size_bytes - start:
            fail("data_offsets out of range", where, got=offsets, expected=f"within 0…{self.size_bytes - start}")
        size = math.prod(shape) * _SIZES[code]
        if offsets[1] - offsets[0] != size:
            fail("data_offsets do not fit dtype and shape", where, got=f"{offsets[1] - offsets[0]} bytes",
                 expected=f"{size} bytes")
        return TensorEntry(code=code, shape=tuple(shape), begin=start + offsets[0], end=start + offsets[1])

    def read(self, name: str) -> np.ndarray:
        """float32 tensor; raises TraceError for an unknown name, NaN or infinite values, a cut file, no memory."""
        where = f"{self.path}, tensor {name}"
        if name not in self.tensors:
            fail("no such tensor", where)
        entry = self.tensors[name]
        try:
            value = decode(self._pread(entry.begin, entry.end - entry.begin), entry.code, entry.shape)
            finite = bool(np.isfinite(value).all())
        except MemoryError:
            fail("does not fit in memory", where, got=f"{entry.end - entry.begin} bytes")
        except OSError as error:
            fail("cannot read trace", where, got=error.strerror)
        if not finite:
            fail("holds NaN or infinite values", where, got=f"{int((~np.isfinite(value)).sum())} of {value.size}",
                 expected="finite values")
        return value

    def chunks(self, name: str) -> Iterator[bytearray]:
        """The bytes of a tensor as they are stored, unchecked, 1 MiB at a time; raises TraceError for a cut file."""
        entry = self.tensors[name]
        for place in range(entry.begin, entry.end, 1 << 20):
            yield self._pread(place, min(1 << 20, entry.end - place))

    def __enter__(self) -> SafetensorsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
