"""Memory of a running model: what is freed goes back to the system, and how much there was at most.

Tensors of a run come and go between others that stay, so that the C library keeps most of what is freed: half a
gigabyte beside a model of 135 million parameters.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from functools import cache
from typing import Any

_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of a unit of ru_maxrss


def give_back() -> None:
    """Return to the system what the C library holds of freed memory: milliseconds, and nothing but glibc does it."""
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def peak_mb() -> float:
    """The most that was resident of this process so far, or of one of those that it has started and that have ended,
    in 10^6 bytes; what processes share counts in each."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) \
        * _UNIT / 1e6
