"""GGUF files: metadata and dequantized tensors, read by the library `gguf`; a file that ends early is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.load.hub import translated
from stamp_hw.errors import ToolError, TraceError


def require_gguf() -> None:
    """Raise ToolError if the library `gguf` is not installed."""
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise ToolError("this needs the package gguf", got=str(error), expected="`make venv-trace`") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFile:
    """An open GGUF file, named in messages as the user did.

    Members
    -------
    metadata : key → number, truth value, text, or list of them
    shapes : tensor → its shape in NumPy's order, [N, K] of a layer
    """

    name: str
    metadata: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    _tensors: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path, name: str) -> GgufFile:
        """Read the header. Raises TraceError for a file that is damaged or cut off, ToolError without the library."""
        require_gguf()
        with translated(name, "a whole GGUF file"):
            reader = _reader(path)
            return cls(name=name,
                       metadata={key: field.contents() for key, field in reader.fields.items()},
                       shapes={tensor.name: tuple(map(int, reversed(tensor.shape))) for tensor in reader.tensors},
                       _tensors={tensor.name: tensor for tensor in reader.tensors})

    def dtype(self, tensor: str) -> str:
        """How a tensor is stored: ``F32``, ``Q4_1``, …"""
        return str(self._tensors[tensor].tensor_type.name)

    def float32(self, tensor: str) -> np.ndarray:
        """A tensor's values, float32 of its shape. Raises TraceError for a type that the library cannot read, and
        for NaN and infinities."""
        from gguf.quants import dequantize

        where = f"{self.name}, tensor {tensor}"
        stored = self._tensors[tensor]
        with translated(where, "a type that the package gguf dequantizes"), np.errstate(all="ignore"):
            # a copy of what is mapped
            value = np.array(dequantize(stored.data, stored.tensor_type), np.float32).reshape(self.shapes[tensor])
        if not np.isfinite(value).all():
            raise TraceError("holds NaN or infinite values", where=where, expected="finite values")
        return value


def _reader(path: Path) -> Any:
    """The library's reader, which takes what is behind a file's end for empty, made strict."""
    import gguf

    class Strict(gguf.GGUFReader):
        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            end = int(offset) + int(count) * np.dtype(dtype).itemsize
            if not 0 <= offset <= end <= len(self.data):
                raise ValueError(f"ends after {len(self.data)} of at least {end} bytes")
            return super()._get(offset, dtype, count, override_order)

    return Strict(path)
