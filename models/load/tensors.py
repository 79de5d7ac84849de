"""From torch tensors to the bytes of a trace."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stamp_hw.errors import TraceError
from stamp_hw.formats.safetensors_file import DTYPES


def dtype_of(tensor: Any) -> str:
    """The dtype as a user writes it."""
    return str(tensor.dtype).removeprefix("torch.")


def coded(tensor: Any, where: str) -> np.ndarray:
    """A tensor's own bits, as `SafetensorsWriter.add` takes them: bfloat16, which NumPy lacks, as uint16.

    Raises TraceError for NaN or infinite values, and for a dtype that a trace has not.
    """
    import torch

    if dtype_of(tensor) not in DTYPES:
        raise TraceError("dtype is none of a trace's", where=where, got=dtype_of(tensor), expected=" or ".join(DTYPES))
    if not math.isfinite(absmax(tensor)):
        raise TraceError("holds NaN or infinite values", where=where, expected="finite values")
    value = tensor.detach().to("cpu").contiguous()
    if value.dtype == torch.bfloat16:
        return np.asarray(value.view(torch.int16).numpy().view("<u2"))
    return np.asarray(value.numpy())


def raw(value: np.ndarray) -> memoryview:
    """The bytes of a contiguous array, not copied."""
    return memoryview(value.reshape(-1).view(np.uint8).data)


def absmax(tensor: Any) -> float:
    """Largest magnitude, NaN where there is one; makes no copy of the tensor."""
    low, high = tensor.detach().aminmax()
    return max(-float(low), float(high)) if math.isfinite(float(low) + float(high)) else math.nan
