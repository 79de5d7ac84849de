"""One linear layer through the whole datapath: lifting, scale, MAC, rescale, inverse lifting, bias (contract §3).

Outliers bypass the lifting, always take 8 bits and stand in front of the coefficients in every array of a stage: the
order of the wire (`WireLayer`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stamp_hw import given, haar, hadamard, mac, rescale, scale
from stamp_hw.config import NpuConfig, ResolvedJob
from stamp_hw.engine.wire_layer import WireLayer, arrange
from stamp_hw.errors import ConfigError, LayerError
from stamp_hw.hadamard import Rotation
from stamp_hw.layer import MAX_SCALE, MIN_SCALE, Layer
from stamp_hw.params import OUT_WIDTH, Z_WIDTH
from stamp_hw.ready_weights import check_job
from stamp_hw.scale import Quantized
from stamp_hw.weights import Weights, quantize_weights

MAX_SINK_SHIFT = 15
INT16_WIDTH = 16  # bits of the codes that a static s_x is the step of
_SAFE_EXPONENT = 30  # a step in 2^±30 keeps the squares of 2^19 INT16 values, summed, within float32
_SAFE_RANGE = 40  # so does a signal within 2^±40 of a step of 1
_ROWS = 32  # tokens that are worked on at a time, so that temporaries stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearResult:
    """Everything one layer produced, token-major.

    `y` int16[S, N], in the order of the tokens. In the order of the wire, W = n_sink + S: `sent` int16[W, N], every
    result that leaves the engine; `coefficients` int32[W, K]; `quantized`; `acc` int32[W, N] (int32[W, groups, N] with
    groups); `z` int32[W, N]. `s_x`, `s_y` real value of a step; `weights`; `job` the resolved numbers; `calibration`
    "self" or "static"; `x_saturated`, `y_saturated`, `sent_saturated` number of values that saturated, `z_saturated` of
    those at a limit, filled places among them; `rotation` of the Hadamard unit, None where the channels pass, and
    `h_saturated` values that saturated in it; `headroom` code, of `in_width` bits, of the median token's absmax;
    `sqnr_db` of the quantized input, dequantized and transformed back; `output_sqnr_db` of y against the float layer
    with the same quantized weights. A noise of exactly 0 gives infinity.
    """

    y: np.ndarray
    sent: np.ndarray
    coefficients: np.ndarray
    quantized: Quantized
    acc: np.ndarray
    z: np.ndarray
    sqnr_db: float
    output_sqnr_db: float
    s_x: float
    s_y: float
    weights: Weights
    job: ResolvedJob
    calibration: str
    x_saturated: int
    z_saturated: int
    y_saturated: int
    sent_saturated: int
    headroom: float
    rotation: Rotation | None = None
    h_saturated: int = 0

    @property
    def step(self) -> float:
        """Real value of one step of a coefficient: of x, or of what the Hadamard unit made of it."""
        return coefficient_step(self.s_x, self.rotation)


class Datapath(NamedTuple):
    """Every stage of the hardware, token-major, outliers first: `x` int32[W, K] input codes, `coefficients`
    int32[W, K], `quantized`, `acc` int32[W, N] (int32[W, groups, N] with groups), `z` int32[W, N], `y` int16[W, N];
    `x_saturated`, `y_saturated` and, in the Hadamard unit, `h_saturated` int64[W] count values that saturated."""

    x: np.ndarray
    coefficients: np.ndarray
    quantized: Quantized
    acc: np.ndarray
    z: np.ndarray
    y: np.ndarray
    x_saturated: np.ndarray
    y_saturated: np.ndarray
    h_saturated: np.ndarray


def run_linear(layer: Layer, config: NpuConfig) -> LinearResult:
    """Run one layer bit by bit.

    Raises
    ------
    ConfigError : the job is beyond the hardware, or `config` is no NpuConfig
    LayerError : the layer's numbers are beyond the datapath, or `layer` is no Layer
    """
    given.of_type(layer, Layer, "run_linear")
    given.of_type(config, NpuConfig, "run_linear", ConfigError)
    layer = arrange(layer, config)
    own, job = layer.own, resolve(layer, config)
    weights, weight_real = weights_of(layer, config)
    with np.errstate(over="ignore", invalid="ignore"):
        reference = layer.x.astype(np.float32, copy=False) @ weight_real.T
        if layer.bias is not None:
            reference += layer.bias
    if not np.isfinite(reference).all():
        raise LayerError("the output is beyond float32", where=f"layer {layer.name}", expected="a finite output")
    s_x, s_y, calibration = calibrate(layer, config, reference)
    rotation = rotation_of(layer, config, s_x, calibration)
    done = datapath(layer.x, weights, layer.bias, s_x, s_y, job, config, rotation)

    limit = 1 << (Z_WIDTH - 1)
    return LinearResult(
        y=done.y[own], sent=done.y, coefficients=done.coefficients, quantized=done.quantized, acc=done.acc, z=done.z,
        weights=weights, job=job, s_x=s_x, s_y=s_y, calibration=calibration,
        x_saturated=int(done.x_saturated[own].sum()), y_saturated=int(done.y_saturated[own].sum()),
        sent_saturated=int(done.y_saturated.sum()),
        z_saturated=int(np.count_nonzero((done.z == limit - 1) | (done.z == -limit))),
        headroom=float(np.median(np.abs(done.x[job.n_sink :]).max(axis=1))),
        sqnr_db=sqnr_db(layer.x[own], reconstruct(done.quantized, job, rotation, layer.x.shape[1])[own], s_x),
        output_sqnr_db=sqnr_db(reference[own], done.y[own], s_y),
        rotation=rotation, h_saturated=int(done.h_saturated.sum()),
    )


def datapath(x: np.ndarray, weights: Weights, bias: np.ndarray | None, s_x: float, s_y: float, job: ResolvedJob,
             config: NpuConfig, rotation: Rotation | None = None) -> Datapath:
    """What the hardware computes, and nothing else.

    Parameters
    ----------
    x : float32[W, K], outliers first
    weights, bias : of the layer, folded where there is a rotation; float32[N] or None
    s_x, s_y : real value of one input, one output step
    job : resolved for this layer, see `resolve`
    rotation : of the Hadamard unit, see `rotation_of`

    Raises
    ------
    LayerError : a rescale factor or a bias out of reach
    """
    codes, sink_shift, x_saturated = quantize_input(x, s_x, job.n_sink, config.hw.in_width, rotation)
    mixed, h_saturated = mix(codes, rotation, config.hw.in_width)
    lifted = haar.forward(mixed[job.n_sink :], job.levels, job.grid)
    coefficients = np.concatenate([mixed[: job.n_sink], lifted]) if job.n_sink else lifted
    bits = scale.precision_map(job.tokens, job.n_hi, job.n_sink)
    quantized = scale.quantize(coefficients, bits, config, sink_shift)

    acc, wsum = products(quantized, weights)
    mant, shift = rescale.factors(coefficient_step(s_x, rotation), weights.scale, s_y, config)
    z = rescale.rescale(acc, quantized, wsum, mant, shift, config)
    v = haar.inverse(z[job.n_sink :], job.levels, job.grid)
    if job.n_sink:
        v = np.concatenate([z[: job.n_sink], v])
    y, y_saturated = rescale.finish(v, rescale.integer_bias(bias, s_y, z.shape[1]), config)
    return Datapath(codes, coefficients, quantized, acc, z, y, x_saturated, y_saturated, h_saturated)


def resolve(layer: Layer, config: NpuConfig) -> ResolvedJob:
    """`NpuConfig.resolve` for a layer, with the outliers that the job names or that it has."""
    tokens, channels = layer.x.shape
    if isinstance(layer, WireLayer):
        n_sink, tokens = layer.n_sink, tokens - layer.n_sink
    else:
        n_sink = len(config.job.outliers_of(layer.outliers, tokens))
    return config.resolve(tokens, layer.grid, n_sink=n_sink, k=channels, transform=layer.transform)


def calibrate(layer: WireLayer, config: NpuConfig, reference: np.ndarray) -> tuple[float, float, str]:
    """(s_x, s_y, how): the layer's static scales, or absmax / (2^(width−1) − 1) of this very tensor.

    A static s_x is the step of an INT16 code; an input of `in_width` bits takes steps 2^(16 − in_width) as large.
    """
    static = layer.s_x is not None and layer.s_y is not None
    if config.job.calibration == "static" and not static:
        raise LayerError("no static scales", where=f"layer {layer.name}",
                         expected="a trace with s_x and s_y, or calibration: self")
    if static and config.job.calibration != "self":
        assert layer.s_x is not None and layer.s_y is not None
        return math.ldexp(layer.s_x, INT16_WIDTH - config.hw.in_width), layer.s_y, "static"
    top_in, top_out = (1 << (config.hw.in_width - 1)) - 1, (1 << (OUT_WIDTH - 1)) - 1
    s_x, s_y = _absmax(layer.x[layer.n_sink :]) / top_in or 1.0, _absmax(reference) / top_out or 1.0
    for field, scale_of in (("input", s_x), ("output", s_y)):
        if not MIN_SCALE <= scale_of <= MAX_SCALE:
            raise LayerError(f"scale of the {field} is out of range", where=f"layer {layer.name}",
                             got=f"{scale_of:.3g}", expected="2^-100…2^100")
    return s_x, s_y, "self"


def weights_of(layer: Layer, config: NpuConfig) -> tuple[Weights, np.ndarray]:
    """(what the hardware has of a layer's weights, float32[N, K] that it stands for): the layer's own integers, or the
    nearest ones. For a Hadamard unit weights are folded before they are quantized, and what they stand for is unfolded
    again.

    Raises LayerError for integers of the layer's own that are not the job's.
    """
    block, bits, group = config.hadamard, config.job.weight_bits, config.job.weight_group
    if layer.quantized is None:
        weights = quantize_weights(layer.weight if block is None else hadamard.fold(layer.weight, block), bits, group)
    elif block is None:
        check_job(layer.quantized, bits, group, f"layer {layer.name}")
        weights = layer.quantized
    else:
        raise LayerError("integer weights are not folded for a Hadamard unit", where=f"layer {layer.name}",
                         got=f"hw.hadamard = {block}", expected="job.hadamard: off, or float weights")
    return weights, weights.real() if block is None else hadamard.unfold(weights.real(), block, layer.x.shape[1])


def rotation_of(layer: WireLayer, config: NpuConfig, s_x: float, calibration: str) -> Rotation | None:
    """What the job has the Hadamard unit do with a layer, None where there is none or the job is off.

    "auto" is the smallest shift at which the sequence's tokens do not saturate; of static scales, which know other
    tokens, `hadamard.usual_shift`.
    """
    block, wanted = config.hadamard, config.job.hadamard
    if block is None:
        return None
    if isinstance(wanted, int):
        return Rotation(block, wanted)
    if calibration == "static":
        return Rotation(block, hadamard.usual_shift(block))
    codes, _, _ = quantize_input(layer.x[layer.n_sink :], s_x, 0, config.hw.in_width)
    return Rotation(block, hadamard.least_shift(codes, block, config.hw.in_width))


def mix(codes: np.ndarray, rotation: Rotation | None, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What the Hadamard unit makes of codes int32[W, K], if there is a rotation: (int32[W, K'], int64[W] values that
    saturated)."""
    if rotation is None:
        return codes, np.zeros(len(codes), np.int64)
    return hadamard.transform(codes, *rotation, width)


def coefficient_step(s_x: float, rotation: Rotation | None) -> float:
    """Real value of one step of a coefficient."""
    return s_x if rotation is None else math.ldexp(s_x, rotation.shift)


def quantize_input(x: np.ndarray, s_x: float, n_sink: int, width: int, rotation: Rotation | None = None
                   ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(codes int32[W, K], sink_shift int8[W], int64[W] values that saturated): round to nearest even, saturate to
    `width` bits.

    The scale of one of the first `n_sink` tokens is s_x · 2^e, see `sink_exponent`; where there is a rotation, e is the
    smallest from that one on at which nothing saturates in the Hadamard unit either.
    """
    top = (1 << (width - 1)) - 1
    shift = np.zeros(len(x), np.int8)
    for token in range(n_sink):
        shift[token] = sink_exponent(_absmax(x[token : token + 1]), s_x, width)
        while rotation is not None and shift[token] < MAX_SINK_SHIFT:
            codes, _, _ = quantize_input(x[token : token + 1], math.ldexp(s_x, int(shift[token])), 0, width)
            if not hadamard.transform(codes, *rotation, width)[1].any():
                break
            shift[token] += 1
    codes = np.empty(x.shape, np.int32)
    saturated = np.zeros(len(x), np.int64)
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        work = np.divide(x[rows], np.ldexp(s_x, shift[rows].astype(int))[:, None], dtype=np.float64)
        np.rint(work, out=work)
        if work.max() > top or work.min() < -top - 1:
            saturated[rows] = np.count_nonzero((work > top) | (work < -top - 1), axis=1)
            np.clip(work, -top - 1, top, out=work)
        codes[rows] = work
    return codes, shift, saturated


def sink_exponent(absmax: float, s_x: float, width: int) -> int:
    """The smallest e in 0…15 at which no code of a token of this absmax saturates at scale s_x · 2^e, or 15."""
    top = (1 << (width - 1)) - 1
    # Rounded before it is compared: one as large as the body's absmax must not lose a bit to the last float digit.
    fits = (e for e in range(MAX_SINK_SHIFT) if round(absmax / math.ldexp(s_x, e)) <= top)
    return next(fits, MAX_SINK_SHIFT)


def products(quantized: Quantized, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """(acc, wsum): int32[S, N] and int64[1, N], or with groups int32[S, groups, N] and int64[groups, N]."""
    group = quantized.group
    wsum = weights.sums(group)
    if len(wsum) == 1:
        return mac.matmul(quantized.codes, weights.codes), wsum
    parts = [mac.matmul(quantized.codes[:, start : start + group], weights.codes[:, start : start + group])
             for start in scale.group_starts(quantized.codes.shape[1], group)]
    return np.stack(parts, axis=1), wsum


def reconstruct(quantized: Quantized, job: ResolvedJob, rotation: Rotation | None = None, k: int = 0) -> np.ndarray:
    """float32[S, K] in steps of s_x: the quantized coefficients, dequantized and transformed back without rounding, of
    a rotation to `k` channels."""
    real = scale.dequantize(quantized)
    if job.levels:
        real[job.n_sink :] = haar.inverse_real(real[job.n_sink :], job.levels, job.grid)
    if rotation is not None:
        real = hadamard.unfold(real, rotation.block, k) * np.float32(2.0**rotation.shift / rotation.block)
    return real


def sqnr_db(signal: np.ndarray, codes: np.ndarray, step: float) -> float:
    """10·log10(Σ signal² / Σ (signal − codes·step)²); infinite where the noise is exactly 0."""
    power = noise = 0.0
    # Far from 1, squares would leave float32: a power of two brings both sides back and changes no digit.
    exponent = math.frexp(step)[1]
    exponent = exponent if abs(exponent) > _SAFE_EXPONENT else 0
    step = math.ldexp(step, -exponent)
    # A signal that is far from its step as well takes float64, which holds all squares there are.
    dtype = np.float32 if abs(math.frexp(_absmax(signal))[1] - exponent) <= _SAFE_RANGE else np.float64
    for start in range(0, len(signal), _ROWS):
        want = signal[start : start + _ROWS].astype(dtype, copy=False).ravel()
        if exponent:
            want = np.ldexp(want, -exponent)
        error = np.multiply(codes[start : start + _ROWS], dtype(step), dtype=dtype).ravel()
        error -= want
        power += float(np.dot(want, want))
        noise += float(np.dot(error, error))
    return decibels(power, noise)


def decibels(power: float, noise: float) -> float:
    """10·log10(power / noise): infinite where there is no noise, −infinite where there is noise and nothing else."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(power / noise) if power else -math.inf


def _absmax(values: np.ndarray) -> float:
    return max(float(values.max()), -float(values.min()))
