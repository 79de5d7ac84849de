"""4-bit weights by GPTQ (arXiv 2210.17323) on the hardware's own grid, with groups or without (docs/contract.md §3.5).

What counts is the error of the product with inputs that were seen: H = 2·Σ xᵀx over them, with a hundredth of the mean
of its diagonal added to it. Input channels are rounded in order. What each one's rounding does to the products, those
that follow make up for as far as they can: channel j by err·U[k, j] / U[k, k] for an error err of channel k, UᵀU = H⁻¹
and U upper triangular. A group's (u, z) are fitted to its weights as they are when its first channel's turn comes.
NumPy and float64; the codes are integers like any others.
"""

from __future__ import annotations

import numpy as np

from stamp_hw.errors import LayerError
from stamp_hw.weight_fit import fit, nearest
from stamp_hw.weight_groups import PLAIN_ZERO, Groups
from stamp_hw.weights import Weights, quantize_weights

DAMPING = 0.01  # of the mean of the Hessian's diagonal
_BLOCK = 32  # channels after which all behind them are corrected; every group begins with such a block


def gptq(weight: np.ndarray, products: np.ndarray, group: int | None = None, where: str = "weights") -> Weights:
    """4-bit codes for inputs like those that were seen.

    Parameters
    ----------
    weight : float32[N, K]
    products : float64[K, K], Σ xᵀx over all tokens that were seen; a channel without any input is left at 0
    group : input channels that share (u, z), or None

    Returns
    -------
    Weights : `scale` is that of the nearest codes

    Raises
    ------
    LayerError : `products` that do not fit, or are not of real inputs
    """
    channels = weight.shape[1]
    if products.shape != (channels, channels) or not np.isfinite(products).all():
        raise LayerError("products of inputs do not fit", where=where, got=f"{products.dtype}{list(products.shape)}",
                         expected=f"finite values [{channels}, {channels}]")
    upper, dead = _upper(products, where)
    scale = quantize_weights(weight, 4, group).scale
    left = weight.astype(np.float64) / scale[:, None]  # in steps of the channel, corrected as its turn comes nearer
    left[:, dead] = 0
    size = group or channels
    codes = np.empty(weight.shape, np.int8)
    u = np.ones((len(weight), -(-channels // size)), np.uint8)
    z = np.full_like(u, PLAIN_ZERO)
    for start in range(0, channels, _BLOCK):
        stop = min(start + _BLOCK, channels)
        errors = np.empty((len(weight), stop - start))
        for k in range(start, stop):
            number = k // size
            if group and k % size == 0:
                u[:, number], z[:, number], _ = fit(left[:, k : min(k + size, channels)])
            rounded = nearest(left[:, k, None], u[:, number], z[:, number])[:, 0]
            codes[:, k] = rounded
            errors[:, k - start] = (left[:, k] - rounded) / upper[k, k]
            left[:, k + 1 : stop] -= errors[:, k - start, None] * upper[k, k + 1 : stop]
        left[:, stop:] -= errors @ upper[start:stop, stop:]
    return Weights(codes, scale, Groups(group, u, z) if group else None)


def _upper(products: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """(U, which channels have no input): UᵀU is the inverse of the damped Hessian."""
    hessian = 2 * products
    dead = np.diag(hessian) == 0
    hessian[dead, dead] = 1
    np.fill_diagonal(hessian, np.diag(hessian) + DAMPING * np.diag(hessian).mean())
    try:
        return np.linalg.cholesky(np.linalg.inv(hessian)).T, dead
    except np.linalg.LinAlgError as error:
        raise LayerError("products of inputs are not positive", where=where, got=str(error),
                         expected="the sum of x'x over tokens") from error
