"""The paper's quantizer in float, and the bound of its theorem 1 on the noise that it leaves."""

from __future__ import annotations

import numpy as np

from stamp_hw.scale import code_range, group_starts


def quantize(c: np.ndarray, bits: np.ndarray, *, symmetric: bool = False, group: int | None = None) -> np.ndarray:
    """Quantize and dequantize: every token (or group of channels in it) by its own minimum and maximum.

    q = rint((c − lo) · qmax / (hi − lo)), ĉ = lo + q · (hi − lo) / qmax, with qmax = 2^b − 1; symmetric: lo = −absmax,
    hi = absmax, qmax = 2^b − 2, as in docs/contract.md §3.4 but without any rounding of lo, hi and reciprocal.

    Parameters
    ----------
    c : float64[S, K]
    bits : int[S], b of each token
    group : channels that share a range, None for one a token

    Returns
    -------
    float64[S, K]
    """
    qmax = code_range(bits, symmetric)[:, None].astype(np.float64)
    out = np.empty_like(c)
    size = group or c.shape[1]
    for start in group_starts(c.shape[1], size):
        part = c[:, start : start + size]
        low, high = part.min(axis=1, keepdims=True), part.max(axis=1, keepdims=True)
        if symmetric:
            high = np.maximum(-low, high)
            low = -high
        step = (high - low) / qmax
        codes = np.rint((part - low) / np.where(step > 0, step, 1))
        out[:, start : start + size] = low + codes * step
    return out


def bound(c: np.ndarray, bits: np.ndarray, *, symmetric: bool = False) -> float:
    """Theorem 1 of arXiv 2510.26771: ‖L⁻¹Q(LX) − X‖² ≤ d/2 · Σ e_i / (2^b_i − 1)² for orthonormal L, min–max tokens.

    e_i is the energy of coefficient token i and d = K its channels. Why: an error is at most half a step, the step is
    (hi − lo) / (2^b − 1), and (hi − lo)² ≤ 2·(hi² + lo²) ≤ 2·e_i. So it holds for every input and not only in the mean,
    and for groups of channels all the more. In symmetric mode (hi − lo)² = 4·absmax² ≤ 4·e_i: d · Σ e_i / (2^b_i − 2)².
    """
    energy = np.einsum("sk,sk->s", c, c)
    factor = c.shape[1] * (1.0 if symmetric else 0.5)
    return float(factor * np.sum(energy / code_range(bits, symmetric).astype(np.float64) ** 2))
