"""Weights that come as integers: what a quantizer elsewhere has made, checked before anything is computed with it."""

from __future__ import annotations

import numpy as np

from stamp_hw.errors import LayerError
from stamp_hw.weight_groups import QMAX, SIZES, Groups, expand, legal
from stamp_hw.weights import Weights

MIN_SCALE, MAX_SCALE = 2.0**-100, 2.0**100  # as of a layer's own


def ready(codes: np.ndarray, scale: np.ndarray, where: str = "weights") -> Weights:
    """Weights of a scale a channel.

    Parameters
    ----------
    codes : int8[N, K]; in a job of 4 bits −8…7
    scale : float[N], real value of a step, 2^-100…2^100

    Raises
    ------
    LayerError : what does not fit, naming `where`
    """
    found = Weights(codes, np.asarray(scale, np.float64))
    _check(isinstance(codes, np.ndarray) and codes.dtype == np.int8 and codes.ndim == 2 and codes.size > 0,
           "codes are no weights", where, _kind(codes), "int8[N, K]")
    _check_scale(found.scale, len(codes), where)
    return found


def ready_groups(q: np.ndarray, u: np.ndarray, z: np.ndarray, size: int, scale: np.ndarray, where: str = "weights"
                 ) -> Weights:
    """4-bit weights u·(q − z) in groups of `size` input channels.

    Parameters
    ----------
    q : uint8[N, K], 0…15
    u, z : uint8[N, ceil(K / size)], 1…16 and 0…15, legal pairs (`stamp_hw.weight_groups.MOST_U`)
    size : 32, 64 or 128
    scale : float[N], real value of a step of u·(q − z)

    Raises
    ------
    LayerError : what does not fit, naming `where`
    """
    _check(size in SIZES, "no size of a group", where, size, "32, 64 or 128")
    _check(isinstance(q, np.ndarray) and q.dtype == np.uint8 and q.ndim == 2 and q.size > 0, "q are no nibbles",
           where, _kind(q), "uint8[N, K]")
    _check(int(q.max()) <= QMAX, "q are no nibbles", where, f"{q.min()}…{q.max()}", f"0…{QMAX}")
    shape = len(q), -(-q.shape[1] // size)
    for name, part, low, high in (("u", u, 1, 16), ("z", z, 0, QMAX)):
        _check(isinstance(part, np.ndarray) and part.dtype == np.uint8 and part.shape == shape,
               f"{name} does not fit q", where, _kind(part), f"uint8{list(shape)}, a value a group of {size}")
        _check(low <= int(part.min()) and int(part.max()) <= high, f"{name} out of range", where,
               f"{part.min()}…{part.max()}", f"{low}…{high}")
    wrong = np.argwhere(~legal(u, z))
    if len(wrong):
        channel, group = wrong[0].tolist()
        raise LayerError("u·(q − z) leaves INT8", where=f"{where}, channel {channel}, group {group}",
                         got=f"u = {u[channel, group]}, z = {z[channel, group]}", expected="−128…127 for q in 0…15")
    groups = Groups(size, u, z)
    found = Weights(expand(q, groups), np.asarray(scale, np.float64), groups)
    _check_scale(found.scale, len(q), where)
    return found


def check_job(weights: Weights, bits: int, group: int | None, where: str) -> None:
    """Raise LayerError for weights that are not what a job of `bits` and `group` sends."""
    own = None if weights.groups is None else weights.groups.size
    _check(own == group, "groups of the weights and of the job differ", where, own, f"job.weight_group = {group}")
    top = 1 << (bits - 1)
    low, high = int(weights.codes.min()), int(weights.codes.max())
    _check(group is not None or -top <= low and high < top, "codes do not fit weight_bits", where, f"{low}…{high}",
           f"{-top}…{top - 1}")


def _check_scale(scale: np.ndarray, outputs: int, where: str) -> None:
    _check(scale.shape == (outputs,), "scale does not fit the channels", where, list(scale.shape), f"[{outputs}]")
    _check(bool(((scale >= MIN_SCALE) & (scale <= MAX_SCALE)).all()), "scale out of range", where,
           f"{scale.min():.3g}…{scale.max():.3g}", "positive numbers in 2^-100…2^100")


def _check(ok: bool, what: str, where: str, got: object, expected: str) -> None:
    if not ok:
        raise LayerError(what, where=where, got=got, expected=expected)


def _kind(value: object) -> str:
    return f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
