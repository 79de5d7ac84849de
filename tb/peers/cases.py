"""Products that SCALE-Sim is asked for: corners, and drawn ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.engine.compat import DATAFLOWS

SEED, DRAWN = 0, 50
SIZES = ("m", "k", "n", "rows", "cols")
#: (m, k, n, rows, cols): less than the array in each direction, a line, a column, folds that end just before and
#: behind its edge, one PE, arrays of one row and one column.
CORNERS = ((1, 1, 1, 4, 4), (1, 37, 1, 8, 8), (8, 8, 8, 8, 8), (7, 7, 7, 8, 8), (9, 9, 9, 8, 8), (16, 24, 32, 8, 4),
           (17, 25, 33, 8, 4), (5, 6, 7, 1, 1), (20, 30, 40, 1, 16), (20, 30, 40, 16, 1), (64, 64, 64, 8, 8),
           (64, 3, 64, 16, 16), (3, 64, 3, 16, 16))
#: The product that both are timed on.
TIMED: dict[str, Any] = {"m": 512, "k": 512, "n": 512, "rows": 32, "cols": 32, "dataflow": "os"}


def cases() -> list[dict[str, Any]]:
    """Each under every dataflow."""
    rng = np.random.default_rng(SEED)
    sizes, arrays = rng.integers(1, 65, (DRAWN, 3)).tolist(), rng.integers(1, 17, (DRAWN, 2)).tolist()
    drawn = [(*size, *array) for size, array in zip(sizes, arrays, strict=True)]
    return [dict(zip(SIZES, case, strict=True)) | {"dataflow": dataflow}
            for case in (*CORNERS, *drawn) for dataflow in DATAFLOWS]


def count(case: dict[str, Any]) -> int:
    """Cycles of a case, by this project."""
    return DATAFLOWS[case["dataflow"]](*(case[name] for name in SIZES)).cycles
