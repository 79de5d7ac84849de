"""Feature transforms: changes of the K input channels that fold into the weights, so that the datapath needs nothing.

y = x·Wᵀ = (x·R)·(W·R)ᵀ for an orthonormal R (QuaRot, arXiv 2404.00456), and y = (x / s)·(W·s)ᵀ for positive scales s
(SmoothQuant, arXiv 2211.10438). Both act along channels, the lifting along tokens: they commute, and either may come
first. docs/ablate.md says which of them must be online in a model.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from stamp_hw.errors import LayerError
from stamp_hw.layer import Layer

#: Parts of the largest absmax below which a channel counts as that small: without a floor a channel of zeros would
#: take a scale of zero or infinity. (SmoothQuant's own code clips the weights' absmax at the same figure, absolute.)
SMOOTH_FLOOR = 1e-5


def hadamard(channels: int, seed: int = 0) -> np.ndarray:
    """Randomized Hadamard rotation R = diag(signs)·H, for use as ``x @ R`` and ``weight @ R``.

    The random signs stand on the side of the channels: without them, or with them behind H, a mean that all channels
    share would go into one channel whole. H is, with K = 2^m · q and q odd,

    - q = 1: Sylvester's matrix;
    - q > 1: a Paley matrix of the smallest order n = q · 2^j (j ≥ 2) that divides K and has one, Kronecker Sylvester's
      of order K / n. Paley's first construction gives n where n − 1 is prime, the second where n / 2 − 1 is a prime of
      the form 4i + 1: 12, 20, 28, 36, 44, 60, …; prime powers are not tried;
    - neither: block-diagonal, K / 2^m Sylvester matrices of order 2^m. Such an R mixes only within blocks of 2^m
      channels, for odd K not at all.

    Parameters
    ----------
    channels : K ≥ 1
    seed : of ``numpy.random.default_rng``, which draws the signs

    Returns
    -------
    float64[K, K], R·Rᵀ = I. Raises LayerError for K < 1.
    """
    if channels < 1:
        raise LayerError("no channels to rotate", where="hadamard", got=channels, expected="at least 1")
    power = channels & -channels
    order = paley_order(channels)
    if power == channels:
        matrix = _sylvester(channels)
    elif order is not None:
        matrix = np.kron(_paley(order), _sylvester(channels // order))
    else:
        matrix = np.kron(np.eye(channels // power), _sylvester(power))
    signs = np.random.default_rng(seed).integers(0, 2, channels) * 2.0 - 1.0
    found: np.ndarray = signs[:, None] * matrix / math.sqrt(np.count_nonzero(matrix[0]))
    return found


def paley_order(channels: int) -> int | None:
    """Order of the Paley matrix inside `hadamard(channels)`, None where there is none or none is needed."""
    power = channels & -channels
    odd = channels // power
    if odd == 1:
        return None
    orders = (odd << j for j in range(2, power.bit_length()))
    return next((n for n in orders if _prime(n - 1) or _second(n)), None)


def smooth_scales(absmax_x: np.ndarray, absmax_w: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """SmoothQuant's scales s[k] = absmax_x[k]^α / absmax_w[k]^(1−α), for x / s and W·s.

    Parameters
    ----------
    absmax_x : [K], largest magnitude of each channel of the input over the calibration tokens
    absmax_w : [K], largest magnitude of each column of the weights; of all layers that read this input where s is to
        fold into what stands in front of them
    alpha : 0…1, how much of the input's range moves into the weights

    Returns
    -------
    float64[K], positive. Channels below `SMOOTH_FLOOR` of the largest count as that large; a vector of zeros counts as
    ones. Raises LayerError for shapes that differ, for negative or infinite values, for α outside 0…1.
    """
    x, w = np.asarray(absmax_x, np.float64), np.asarray(absmax_w, np.float64)
    if x.ndim != 1 or x.shape != w.shape or not x.size:
        raise LayerError("absmax do not fit", where="smooth_scales", got=f"x {x.shape}, w {w.shape}",
                         expected="two vectors of K channels")
    if not 0 <= alpha <= 1:
        raise LayerError("alpha out of range", where="smooth_scales", got=alpha, expected="0…1")
    for name, values in (("x", x), ("w", w)):
        if not np.isfinite(values).all() or values.min() < 0:
            raise LayerError("absmax is no magnitude", where=f"smooth_scales, {name}",
                             expected="finite values from 0 on")
    return _floored(x) ** alpha / _floored(w) ** (1 - alpha)


def apply(layer: Layer, rotation: np.ndarray | None = None, scales: np.ndarray | None = None) -> Layer:
    """The layer with a feature transform folded in: x / s, then times R; weight times s, then times R.

    Its product is the layer's but for float32's rounding. The static scales are dropped, because s_x was measured on
    other values: a folded layer is calibrated on itself (`calibration: self`).

    Parameters
    ----------
    rotation : float[K, K], orthonormal, or None
    scales : float[K], positive, or None

    Raises LayerError for a shape other than K's, scales that are not positive, a rotation that is not orthonormal
    within 1e-6.
    """
    channels = layer.x.shape[1]
    x, weight = layer.x.astype(np.float64), layer.weight.astype(np.float64)
    if scales is not None:
        _require(scales.shape == (channels,), layer, "scales do not fit the layer", scales.shape, f"({channels},)")
        _require(bool(np.isfinite(scales).all() and (scales > 0).all()), layer, "scales are not positive", None,
                 "positive numbers")
        x, weight = x / scales, weight * scales
    if rotation is not None:
        _require(rotation.shape == (channels, channels), layer, "rotation does not fit the layer", rotation.shape,
                 f"({channels}, {channels})")
        deviation = float(np.abs(rotation @ rotation.T - np.eye(channels)).max())
        _require(deviation <= 1e-6, layer, "rotation is not orthonormal", f"R·Rᵀ off by {deviation:.3g}",
                 "at most 1e-6")
        x, weight = x @ rotation, weight @ rotation
    return replace(layer, x=x.astype(np.float32), weight=weight.astype(np.float32), s_x=None, s_y=None)


def _require(ok: bool, layer: Layer, what: str, got: object, expected: str) -> None:
    if not ok:
        raise LayerError(what, where=f"layer {layer.name}", got=got, expected=expected)


def _floored(values: np.ndarray) -> np.ndarray:
    largest = float(values.max())
    return np.maximum(values, SMOOTH_FLOOR * largest) if largest else np.ones_like(values)


def _sylvester(order: int) -> np.ndarray:
    matrix = np.ones((1, 1))
    while len(matrix) < order:
        matrix = np.kron(np.array([[1.0, 1.0], [1.0, -1.0]]), matrix)
    return matrix


def _paley(order: int) -> np.ndarray:
    """Hadamard matrix of an order that `paley_order` found (Paley 1933), entries ±1."""
    first = _prime(order - 1)
    prime = order - 1 if first else order // 2 - 1
    squares = np.zeros(prime)
    squares[1:] = -1
    squares[np.arange(1, prime) ** 2 % prime] = 1
    jacobsthal = squares[(np.arange(prime)[:, None] - np.arange(prime)) % prime]
    core = np.zeros((prime + 1, prime + 1))
    core[0, 1:] = 1
    core[1:, 0] = -1 if first else 1
    core[1:, 1:] = jacobsthal
    if first:  # skew-symmetric conference matrix
        return core + np.eye(order)
    return np.kron(core, np.array([[1, 1], [1, -1]])) + np.kron(np.eye(prime + 1), np.array([[1, -1], [-1, -1]]))


def _second(order: int) -> bool:
    """Whether Paley's second construction gives this order."""
    return (order // 2 - 1) % 4 == 1 and _prime(order // 2 - 1)


def _prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
