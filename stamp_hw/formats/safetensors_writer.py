"""Writing the safetensors container: tensors stream to the disk, the header is put in front when all of them are known.

The same calls give the same bytes; a half-written file never carries the final name.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from stamp_hw.errors import OutputError
from stamp_hw.formats.files import atomic_file, final_target
from stamp_hw.formats.safetensors_file import CODES, TensorEntry, fail

CHUNK = 1 << 20


def plain_json(value: Any, where: object) -> str:
    """Compact JSON with sorted keys. Raises TraceError for what is no JSON, NaN and infinities included."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        return fail("metadata is no JSON", where, got=error, expected="strings, finite numbers, lists, objects")


def write_file(path: str | os.PathLike[str], metadata: Mapping[str, str], tensors: Mapping[str, TensorEntry],
               data: Iterable[bytes | bytearray | memoryview]) -> None:
    """Write a whole file, `data` being the tensors' bytes in their order, which lie back to back from offset 0.

    Raises OutputError, and whatever `data` raises; then `path` holds what it held before.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    for name, entry in tensors.items():
        header[name] = {"dtype": entry.code, "shape": list(entry.shape), "data_offsets": [entry.begin, entry.end]}
    text = plain_json(header, path).encode()
    text += b" " * (-len(text) % 8)  # the data of every safetensors file starts at a multiple of 8
    with atomic_file(path, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for chunk in data:
            stream.write(chunk)


class SafetensorsWriter:
    """Tensors one by one; the file appears, complete, with `finish`.

    Until then they are in a nameless temporary file in the same folder, so that a process that dies leaves nothing.

    Members
    -------
    tensors : name → TensorEntry of what was added, in order; offsets count from the first tensor

    Raises
    ------
    OutputError : the file cannot be written (on entry where possible)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.tensors: dict[str, TensorEntry] = {}
        self._spool: IO[bytes] | None = None
        self._size = 0

    def __enter__(self) -> SafetensorsWriter:
        try:
            folder = final_target(self.path).parent
            folder.mkdir(parents=True, exist_ok=True)
            self._spool = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 closed by __exit__
        except OSError as error:
            raise self._error(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what was added and not written by `finish`."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def add(self, name: str, value: np.ndarray, dtype: str) -> None:
        """Store an array of `dtype`'s little-endian bytes, as `safetensors_file.encode` gives it."""
        where = f"{self.path}, tensor {name}"
        if self._spool is None:
            fail("writer is not open", where, expected="a `with` block")
        if name in self.tensors:
            fail("tensor is stored twice", where)
        try:
            rest = memoryview(value.view(np.uint8).reshape(-1).data)
            while rest:
                rest = rest[self._spool.write(rest):]
        except OSError as error:
            raise self._error(error) from error
        self.tensors[name] = TensorEntry(code=CODES[dtype], shape=value.shape, begin=self._size,
                                         end=self._size + value.nbytes)
        self._size += value.nbytes

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the file: header first, which only now can be known, then what was added."""
        write_file(self.path, metadata, self.tensors, self.written())

    def written(self) -> Iterator[bytes]:
        """The bytes of what was added, in chunks."""
        assert self._spool is not None
        self._spool.seek(0)
        while chunk := self._spool.read(CHUNK):
            yield chunk

    def _error(self, error: OSError) -> OutputError:
        return OutputError("cannot write file", where=str(self.path), got=error.strerror or str(error),
                           expected="a writable folder with free space")
