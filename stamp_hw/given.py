"""What a caller of the public functions hands over, looked at before anything is computed with it."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from stamp_hw.errors import LayerError, StampError


def is_whole(value: object) -> bool:
    """Whether it is one whole number, of Python or of NumPy."""
    return isinstance(value, Integral)


def is_number(value: object) -> bool:
    """Whether it is one real number, of Python or of NumPy."""
    return isinstance(value, Real)


def is_grid(value: object) -> bool:
    """Whether it is two whole numbers from 1 on."""
    return isinstance(value, tuple | list) and len(value) == 2 and all(is_whole(one) and one >= 1 for one in value)


def described(value: object) -> str:
    """What something is, for a message: `float64[8, 4]`, or the name of its type."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def of_type(value: Any, kind: type, where: str, error: type[StampError] = LayerError) -> None:
    """Raise `error` unless `value` is a `kind`."""
    if not isinstance(value, kind):
        raise error(f"no {kind.__name__}", where=where, got=described(value),
                    expected=f"an object of type {kind.__name__}")


def integers(value: Any, name: str, where: str, rank: int | None = None) -> None:
    """Raise LayerError unless `value` is an array of integers, of that rank."""
    right = isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.integer)
    if not right or rank not in (None, value.ndim):
        form = "" if rank is None else f" of rank {rank}"
        raise LayerError(f"{name} is no array of integers", where=where, got=described(value),
                         expected=f"a NumPy array of integers{form}")
