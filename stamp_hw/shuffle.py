"""The control of what the order of tokens is worth: the same layer on permuted tokens (`stamp_shuffled`)."""

from __future__ import annotations

import zlib

import numpy as np


def permutation(name: str, tokens: int, outliers: tuple[int, ...], seed: int) -> np.ndarray:
    """Order of a layer's tokens, outliers in place: int64[tokens]; of seed and layer name alone."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    order = np.arange(tokens)
    ordinary = np.setdiff1d(order, outliers)
    order[ordinary] = ordinary[rng.permutation(len(ordinary))]
    return order
