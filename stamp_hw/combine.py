"""Combine: what a token's blocks of channels add up to, each with its scale (docs/contract.md §4, "Blocks").

    T[token, n] = Σ_g span[token, g] · acc[token, g, n]
"""

from __future__ import annotations

import numpy as np

from stamp_hw.errors import LayerError

INT64 = 64  # bits in which every sum of up to 2^14 blocks of INT32 sums and spans of 18 bits is exact


def combine(acc: np.ndarray, span: np.ndarray, total_width: int = INT64) -> np.ndarray:
    """T of every token and output channel.

    Parameters
    ----------
    acc : integers[S, G, N], a block's sums of products
    span : integers[S, G], its scale
    total_width : signed bits that hold T (`CombineParams.total_width`)

    Returns
    -------
    int64[S, N], exact

    Raises
    ------
    LayerError : shapes that do not fit, or a T beyond `total_width` bits
    """
    if acc.ndim != 3 or acc.shape[:2] != span.shape:
        raise LayerError("sums and spans of different blocks", where="combine", got=f"{acc.shape} and {span.shape}",
                         expected="[S, G, N] and [S, G]")
    total = np.zeros((acc.shape[0], acc.shape[2]), np.int64)
    for block in range(acc.shape[1]):
        total += span[:, block, None].astype(np.int64) * acc[:, block]
    top = 1 << (total_width - 1)
    if total_width < INT64 and total.size and not (-top <= total.min() and total.max() < top):
        raise LayerError("T does not fit", where="combine", got=f"{total.min()}…{total.max()}",
                         expected=f"{total_width} signed bits")
    return total
