"""Integer products of 8- and 4-bit activation codes with INT8 weights (docs/contract.md §3.5).

Products go through BLAS in a float type in which every partial sum is an exactly representable integer, so they are
exact in any order of summation, and fast.
"""

from __future__ import annotations

import numpy as np

from stamp_hw.errors import LayerError

MAX_K = 1 << 16  # channels whose products, each at most 255·128, fit INT32
MAX_CODE = 255  # largest magnitude of a code: q − z of 8 bits
_FLOAT32_EXACT = 1 << 24  # every integer up to here is a float32


def matmul(codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """acc = codes · weightsᵀ.

    Parameters
    ----------
    codes : int8[S, K], or int16[S, K] of magnitude up to 255 (codes with an integer zero)
    weights : int8[N, K]

    Returns
    -------
    int32[S, N], exact for K ≤ 65536

    Raises
    ------
    LayerError : shapes or types that do not fit
    """
    if codes.ndim != 2 or weights.ndim != 2 or codes.shape[1] != weights.shape[1]:
        raise LayerError("codes and weights differ in K", where="mac", got=f"{codes.shape} and {weights.shape}",
                         expected="[S, K] and [N, K]")
    if codes.dtype not in (np.int8, np.int16) or weights.dtype != np.int8:
        raise LayerError("not INT8", where="mac", got=f"{codes.dtype} and {weights.dtype}", expected="int8 and int8")
    channels, absmax = codes.shape[1], _absmax(codes)
    if channels > MAX_K:
        raise LayerError("K too large for INT32", where="mac", got=channels, expected=f"at most {MAX_K}")
    if absmax > MAX_CODE:
        raise LayerError("codes too large", where="mac", got=absmax, expected=f"magnitudes up to {MAX_CODE}")
    largest = max(1, absmax * _absmax(weights))
    chunk = _FLOAT32_EXACT // largest
    act, wgt = codes.astype(np.float32), weights.astype(np.float32)
    acc = np.zeros((codes.shape[0], weights.shape[0]), np.int32)
    # These operands are finite; a kernel of BLAS may still raise a flag, in lanes of its own without operands (numpy
    # issue 24067).
    with np.errstate(all="ignore"):
        for start in range(0, channels, chunk):
            part = slice(start, start + chunk)
            acc += (act[:, part] @ wgt[:, part].T).astype(np.int32)
    return acc


def packed_product(a1: np.ndarray, a0: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The one multiplier of a PE in 4-bit mode: (a1·w, a0·w) out of p = (a1·2^12 + a0)·w.

    `a1`, `a0` in −15…15, `w` in −128…127 (integers of any shape that broadcast); returns (high, low), int64.
    The low product is p[11:0] signed; it borrows from the high part when negative, which p[11] gives back.
    """
    p = (np.asarray(a1, np.int64) * 4096 + a0) * w
    low = ((p & 0xFFF) ^ 0x800) - 0x800
    return (p >> 12) + (p >> 11 & 1), low


def _absmax(values: np.ndarray) -> int:
    return max(-int(values.min()), int(values.max()))
