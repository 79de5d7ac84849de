"""Random layers for the engine's bench: shapes from 1 to the hardware's limits, values that reach every bit.

A layer is drawn in integers, as the engine sees it: codes, weights, factors and biases; scales are chosen so that the
golden model comes back to them. So codes may saturate or leave most of their range unused, a channel's factor may be
anything that `mant` and `shift` hold, and the largest sums meet weights of one sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stamp_hw import haar, hadamard
from stamp_hw.config import JobConfig, NpuConfig
from stamp_hw.engine.params import BIAS_WIDTH, EngineParams
from stamp_hw.engine.wire_layer import WireLayer
from stamp_hw.haar import Grid
from stamp_hw.layer import Layer
from stamp_hw.weight_groups import MOST_U, SIZES, Groups, expand
from stamp_hw.weights import Weights

FLIPS = (0.0, 0.02, 0.3)  # parts of extreme values that have the other sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Tokens without the sinks, their grid, channels in and out."""

    tokens: int
    grid: Grid | None
    sinks: int
    k: int
    n: int


def pick(rng: np.random.Generator, *options: int) -> int:
    """One of the options."""
    return int(options[int(rng.integers(len(options)))])


def shape_of(rng: np.random.Generator, params: EngineParams) -> Shape:
    """Sequences and grids, as wide as high or not, with and without sinks."""
    limit, grid, sinks = params.max_tokens, None, 0
    if params.axes == 2 and rng.integers(2):
        short = int(rng.integers(1, max(2, int(limit**0.5) + 1)))
        sides = (short, int(rng.integers(1, limit // short + 1)))
        grid = sides if rng.integers(2) else sides[::-1]
        tokens = grid[0] * grid[1]
    else:
        tokens = pick(rng, 1, 2, int(rng.integers(1, limit + 1)), limit)
        sinks = pick(rng, 0, 0, 1, int(rng.integers(0, 5)), int(rng.integers(0, min(params.act_slots, limit))))
    k = pick(rng, 1, min(params.lanes, params.max_k), int(rng.integers(1, params.max_k + 1)), params.max_k)
    return Shape(tokens=tokens, grid=grid, sinks=min(sinks, limit - 1), k=k,
                 n=int(rng.integers(1, 3 * params.cols + 2)))


def shapes_that_fill(rng: np.random.Generator, params: EngineParams) -> list[Shape]:
    """A few tokens of `max_k` channels: a sequence, sinks before a sequence, and in 2-D builds a small grid."""
    few, k, n = min(9, params.max_tokens), params.max_k, 2 * params.cols
    sinks = min(3, params.act_slots, params.max_tokens - 1)
    shapes = [Shape(tokens=int(rng.integers(1, few + 1)), grid=None, sinks=count, k=k, n=n) for count in (0, sinks)]
    if params.axes == 2:
        height = int(rng.integers(2, few // 2 + 1)) if few >= 4 else 1
        grid = (height, few // height)
        shapes.append(Shape(tokens=grid[0] * grid[1], grid=grid, sinks=0, k=k, n=n))
    return shapes


def ends_that_meet(params: EngineParams) -> list[tuple[int, dict[str, Any]]]:
    """Channels and values of a job whose last step ends more than a token: whole groups of packed weights; blocks of
    which a token's last has from 1 step to as many as its drain takes, and as many blocks as there may be."""
    groups = [(size * count, {"weight_bits": 4, "weight_group": size}) for size in SIZES for count in (1, 2, 3)]
    found = [one for one in groups if params.packed_weights and one[0] <= params.max_k]
    if params.block:
        gap = params.mac.min_tile_cycles
        short = [whole * params.block + steps for whole in (1, 2) for steps in (1, 2, gap // 2, gap - 1, gap)]
        found += [(k, {"group": params.block}) for k in dict.fromkeys((*short, params.max_k)) if k <= params.max_k]
    return found


def job_of(rng: np.random.Generator, params: EngineParams, shape: Shape, calibration: str) -> JobConfig:
    """Any levels, precisions and mode."""
    tokens = shape.tokens
    rotation: int | str = "auto"
    if params.rotation is not None:
        rotation = ("auto", "off", int(rng.integers(params.rotation.levels + 1)))[int(rng.integers(3))]
    # Factors that are chosen for folded weights know no groups.
    grouped = params.rotation is None or rotation == "off" or calibration == "self"
    return JobConfig(
        levels=int(rng.integers(0, params.max_levels // (1 if shape.grid is None else 2) + 1)),
        n_hi=pick(rng, 0, tokens, int(rng.integers(0, tokens + 1)), -(-tokens // 8)),
        scale_mode=("minmax", "symmetric")[int(rng.integers(2))], calibration=calibration,
        group=params.block if rng.integers(4) else None, hadamard=rotation, **weights_of(rng, grouped))


def weights_of(rng: np.random.Generator, grouped: bool = True) -> dict[str, Any]:
    """8 bits, or 4 in groups of any size (if they may be `grouped`) or in none: values of a job."""
    if rng.integers(2):
        return {"weight_bits": 8}
    return {"weight_bits": 4, "weight_group": pick(rng, *SIZES) if grouped and rng.integers(2) else None}


def layer_of(rng: np.random.Generator, params: EngineParams) -> tuple[Layer, JobConfig]:
    """A layer and its job: one in three takes the scales of its own tensors, as a calibration would."""
    shape = shape_of(rng, params)
    if rng.integers(3) == 0:
        return plain(rng, shape), job_of(rng, params, shape, "self")
    job = job_of(rng, params, shape, "static")
    return filled(rng, params, shape, job), job


def plain(rng: np.random.Generator, shape: Shape) -> Layer:
    """Tensors such as a model's, without scales; the tokens in front are outliers of anywhere, or of their own."""
    within = shape.sinks <= shape.tokens and bool(rng.integers(2))
    x = rng.standard_normal((shape.tokens + shape.sinks * (not within), shape.k)) * np.exp(rng.standard_normal(shape.k))
    front = np.sort(rng.permutation(len(x))[: shape.sinks]) if within else np.arange(shape.sinks)
    x[front] *= 2.0 ** rng.integers(0, 18, (shape.sinks, 1))  # beyond what e = 15 holds, now and then
    bias = rng.standard_normal(shape.n).astype(np.float32) if rng.integers(2) else None
    weight = rng.standard_normal((shape.n, shape.k)).astype(np.float32)
    if within:
        return Layer(name="drawn", kind="drawn", x=x.astype(np.float32), grid=shape.grid, bias=bias, weight=weight,
                     outliers=tuple(map(int, front)))
    return WireLayer(name="drawn", kind="drawn", x=x.astype(np.float32), grid=shape.grid, n_sink=shape.sinks, bias=bias,
                     weight=weight)


def filled(rng: np.random.Generator, params: EngineParams, shape: Shape, job: JobConfig, extreme: bool = False
           ) -> WireLayer:
    """Codes, weights, factors and biases of every size; `extreme`: as large as they can be, factors to match."""
    codes = extremes(rng, params, shape, extreme) if extreme or rng.integers(2) else magnitudes(rng, params, shape)
    codes[: shape.sinks] *= 2.0 ** rng.integers(0, 18, (shape.sinks, 1))
    rotated = NpuConfig(hw=params.hw, job=job).hadamard is not None  # what is folded comes as floats
    groups = None if job.weight_group is None or rotated else groups_of(rng, shape, job.weight_group)
    if groups is None:
        weights = weight_codes(rng, shape, (1 << (job.weight_bits - 1)) - 1, extreme)
    else:
        q = np.where(rng.random((shape.n, 1)) < 0.5, rng.integers(0, 16, (shape.n, shape.k)),
                     15 * rng.integers(0, 2, (shape.n, 1))).astype(np.uint8)
        weights = expand(q, groups).astype(np.float64)
    s_x, s_y = (float(2.0 ** rng.uniform(-6, 6)) for _ in range(2))
    gain = gain_of(params, weights, job)
    scale = factors(rng, params, codes, weights * gain[:, None], job, shape, extreme) * gain * s_y / s_x
    steps = biases(rng, codes @ (weights * (scale * s_x / s_y)[:, None]).T)
    return WireLayer(
        name="filled", kind="drawn", x=(codes * s_x).astype(np.float32), grid=shape.grid, n_sink=shape.sinks,
        weight=(weights * scale[:, None]).astype(np.float32), bias=None if steps is None else
        (steps * s_y).astype(np.float32), s_x=s_x * 2.0 ** (params.in_width - 16), s_y=s_y,
        quantized=None if groups is None else Weights(weights.astype(np.int8), scale, groups))


def groups_of(rng: np.random.Generator, shape: Shape, size: int) -> Groups:
    """Legal pairs (u, z): any z, any u or the largest that there is for it."""
    z = rng.integers(0, 16, (shape.n, -(-shape.k // size)))
    most = np.array(MOST_U)[z]
    u = np.where(rng.random(z.shape) < 0.5, most, rng.integers(1, most + 1))
    return Groups(size, u.astype(np.uint8), z.astype(np.uint8))


def gain_of(params: EngineParams, weights: np.ndarray, job: JobConfig) -> np.ndarray:
    """How much larger a channel's codes become when they are folded and quantized, for what the Hadamard unit sends,
    which is 2^r smaller than its sums: float64[N]. 1 without the unit."""
    block = NpuConfig(hw=params.hw, job=job).hadamard
    if block is None:
        return np.ones(len(weights))
    shift = job.hadamard if isinstance(job.hadamard, int) else hadamard.usual_shift(block)
    peak = np.abs(hadamard.fold(weights, block)).max(axis=1)
    found: np.ndarray = ((1 << (job.weight_bits - 1)) - 1) / peak / 2.0**shift
    return found


def magnitudes(rng: np.random.Generator, params: EngineParams, shape: Shape) -> np.ndarray:
    """Tokens of any magnitude, from nearly nothing to what saturates: float64[tokens, K]."""
    size = 2.0 ** rng.uniform(-1, params.in_width + 1, (shape.tokens + shape.sinks, 1))
    return np.rint(rng.standard_normal((shape.tokens + shape.sinks, shape.k)) * size)


def extremes(rng: np.random.Generator, params: EngineParams, shape: Shape, steep: bool) -> np.ndarray:
    """The lowest and the highest code, in stripes or squares over the tokens, some of the other sign: float64[tokens,
    K]. `steep`: every token is far from its neighbours, so that the differences are as large as they can be."""
    height, width = shape.grid or (1, shape.tokens)
    row, column = np.divmod(np.arange(shape.tokens), width)
    size, across, along = (0, 1, 1) if steep else (int(rng.integers(3)), int(rng.integers(2)), int(rng.integers(2)))
    high = (((row >> size) * across + (column >> size) * along) % 2).astype(bool)
    high = np.concatenate([rng.integers(0, 2, shape.sinks).astype(bool), high])[:, None]
    high = high ^ (rng.random((len(high), shape.k)) < FLIPS[int(rng.integers(2 if steep else 3))])
    top = 2.0 ** (params.in_width - 1)
    return np.where(high, top - 1, -top)


def weight_codes(rng: np.random.Generator, shape: Shape, top: int, extreme: bool) -> np.ndarray:
    """A channel's weights are drawn evenly, or all have one sign and the largest magnitude: float64[N, K]."""
    even = rng.integers(-top, top + 1, (shape.n, shape.k)).astype(np.float64)
    sign = np.where(rng.integers(0, 2, (shape.n, 1)) == 1, top, -top)
    flips = rng.random((shape.n, shape.k)) < FLIPS[int(rng.integers(3))] * (not extreme)
    codes = np.where((rng.random((shape.n, 1)) < 0.5) | extreme, np.where(flips, -sign, sign), even)
    codes[:, int(rng.integers(shape.k))] = sign[:, 0]  # the largest weight decides a channel's scale
    return codes


def factors(rng: np.random.Generator, params: EngineParams, codes: np.ndarray, weights: np.ndarray, job: JobConfig,
            shape: Shape, extreme: bool) -> np.ndarray:
    """s_x·s_w / s_y of each channel, float64[N]: such that results are of any magnitude up to what saturates, or any
    `mant` and `shift` that there are."""
    top = 1 << (params.in_width - 1)
    whole = np.clip(codes, -top, top - 1)
    lifted = haar.forward(whole[shape.sinks :].astype(np.int32), int(job.levels), shape.grid)
    peak = np.maximum(np.abs(lifted @ weights.T).max(axis=0), np.abs(whole @ weights.T).max(axis=0))
    room = (0, 8) if extreme else (-10, 10)
    fitting = 2.0 ** (15 + rng.uniform(*room, len(weights))) / np.maximum(peak, 1)
    unit = (254 if job.symmetric else 255) / 2.0**params.z_frac
    # 14 in place of 254 costs a 4-bit token's factor five bits of shift.
    mant = rng.choice([1 << 15, (1 << 16) - 1, 0], len(weights))
    mant = np.where(mant, mant, rng.integers(1 << 15, 1 << 16, len(weights)))
    least = 6 if job.symmetric else 1
    ends = rng.choice([least, 63], len(weights))
    shift = np.where(rng.random(len(weights)) < 0.5, rng.integers(least, 64, len(weights)), ends)
    any_factor = mant * 2.0**-shift * unit
    wanted = np.where(rng.random(len(weights)) < (0.5 if extreme else 0.3), any_factor, fitting)
    return np.clip(wanted, (1 << 15) * 2.0**-63 * unit, ((1 << 16) - 1) * 2.0**-least * unit)


def biases(rng: np.random.Generator, results: np.ndarray) -> np.ndarray | None:
    """No bias; one of any magnitude up to 32 bits; or what takes the channel's result of one token to about zero:
    float64[N] in steps of s_y."""
    channels = results.shape[1]
    kind = int(rng.integers(3))
    if kind == 0:
        return None
    limit = float((1 << (BIAS_WIDTH - 1)) - 200)  # in float32 there is none between this and 2^31
    bias: np.ndarray
    if kind == 1:
        bias = rng.choice([-1.0, 1.0], channels) * 2.0 ** rng.uniform(-1, BIAS_WIDTH, channels)
    else:
        bias = -results[int(rng.integers(len(results)))]
    return bias.clip(-limit, limit)
