"""Beats of the engine's streams for one layer: what drives it, and what it must answer (docs/contract.md §4).

Each stream is a dict field → integer array (beats, …), in the order in which the engine takes or sends them:

- `job`: the registers, one beat.
- `i`: tokens, outliers first, then in job order: the super-tiles' Haar tiles in raster order, inside a 2-D tile in
  Morton order.
- `w`: for each super-tile and each column tile K beats of C weights, k ascending. Packed: two k-steps a beat, the first
  in the low nibbles, and before each group of input channels a beat of (u, z), z in the low nibble and u − 1 in the
  high one. Channels beyond N have weights of 0.
- `p`: for each super-tile and each column tile C words, a channel each. Channels beyond N are zero.
- `o`: for each super-tile and each column tile its tokens in job order (outliers first in the first super-tile); in
  the last column tile only the beats that hold a channel below N. What comes at a filled place is nobody's result.
"""

from __future__ import annotations

import numpy as np

from stamp_hw import rescale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear, super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.linear import LinearResult
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import Size
from stamp_hw.engine.wire import WeightFormat
from stamp_hw.engine.wire_layer import WireLayer, arrange
from stamp_hw.haar_slots import chain_levels, positions
from stamp_hw.layer import Layer
from stamp_hw.weight_groups import PLAIN_ZERO, Groups, plain_nibbles

Beats = dict[str, np.ndarray]


def streams(layer: Layer, config: NpuConfig, result: LinearResult, limit: int | Size | None = None) -> dict[str, Beats]:
    """Stream → its beats.

    Parameters
    ----------
    result : what `run_linear` made of this layer and configuration
    limit : tokens of a super-tile, or its (width, height); None takes the job's own (`super_tile.token_limit`)

    Raises
    ------
    ConfigError : a job beyond the engine, see `EngineJob.of`
    """
    params, layer = EngineParams.of(config.hw), arrange(layer, config)
    job = make_job(layer, config, result, limit)
    return {
        "job": {name: np.array([value], np.int64) for name, value in job.registers(params).items()},
        "i": input_beats(layer, params, job, result),
        "w": weight_beats(params, job, result),
        "p": parameter_beats(layer, config, params, job, result),
        "o": output_beats(params, job, result),
    }


def make_job(layer: Layer, config: NpuConfig, result: LinearResult, limit: int | Size | None = None) -> EngineJob:
    """The job's registers. Raises ConfigError as `EngineJob.of`."""
    return EngineJob.of(
        result.job, k=layer.x.shape[1], n=layer.weight.shape[0], params=EngineParams.of(config.hw), limit=limit,
        symmetric=config.job.symmetric, group=config.job.group, weights=WeightFormat.of(config.hw, config.job),
        shift=None if result.rotation is None else result.rotation.shift)


def token_order(params: EngineParams, job: EngineJob) -> list[np.ndarray]:
    """Tokens of each super-tile in job order, as rows of a `WireLayer`."""
    order = positions(job.width * job.height, job.levels, job.grid)
    size = 1 << chain_levels(job.levels, job.grid)
    found = []
    for part in super_tile.divide(job.resolved, job.tile_width, job.tile_height, params.rows):
        tokens = order[part.first_tile * size : (part.first_tile + part.haar_tiles) * size]
        found.append(tokens[tokens >= 0] + job.n_sink)
    found[0] = np.concatenate([np.arange(job.n_sink, dtype=found[0].dtype), found[0]])
    return found


def input_beats(layer: WireLayer, params: EngineParams, job: EngineJob, result: LinearResult) -> Beats:
    """`i`: `x` int16[beats, lanes] (lanes beyond K zero), `sink_shift`, `last`."""
    codes, shift, _ = linear.quantize_input(layer.x, result.s_x, job.n_sink, params.in_width, result.rotation)
    order = np.concatenate(token_order(params, job))
    x = np.zeros((len(order), job.in_beats * params.lanes), np.int16)
    x[:, : codes.shape[1]] = codes[order]
    last = np.tile(np.arange(job.in_beats) == job.in_beats - 1, len(order))
    return {"x": x.reshape(-1, params.lanes), "sink_shift": np.repeat(shift[order], job.in_beats),
            "last": last.astype(np.int8)}


def weight_beats(params: EngineParams, job: EngineJob, result: LinearResult) -> Beats:
    """`w`: `wgt` int8[beats, cols], the bytes as they travel."""
    steps = result.weights.codes
    if job.packed:
        groups = result.weights.groups
        steps = packed_steps(plain_nibbles(steps) if groups is None else groups.nibbles(steps), groups)
    return {"wgt": tiled_beats(params, job, steps)}


def tiled_beats(params: EngineParams, job: EngineJob, steps: np.ndarray) -> np.ndarray:
    """int8[beats, cols]: the bytes of all passes, of those of each channel, int8[N, bytes]."""
    padded = np.full((job.columns * params.cols, steps.shape[1]), fill_of(job), np.int8)
    padded[: len(steps)] = steps
    one = padded.reshape(job.columns, params.cols, -1).swapaxes(1, 2).reshape(-1, params.cols)
    return np.tile(one, (len(token_order(params, job)), 1))


def packed_steps(q: np.ndarray, groups: Groups | None) -> np.ndarray:
    """int8[N, beats], the bytes of each channel: pairs of nibbles of uint8[N, K], (u, z) before each group."""
    q = np.pad(q, ((0, 0), (0, q.shape[1] % 2)))
    pairs = q[:, 0::2] | q[:, 1::2] << 4
    if groups is not None:
        half = groups.size // 2
        pairs = np.insert(pairs, np.arange(groups.u.shape[1]) * half, groups.z | (groups.u - 1) << 4, axis=1)
    return np.asarray(pairs.view(np.int8))


def fill_of(job: EngineJob) -> int:
    """Byte of a channel beyond N: a weight of 0 without groups, whose z is 8; in groups u = 1, z = 0 and q = 0."""
    return (PLAIN_ZERO * 0x11) - 256 if job.packed and job.weights.group is None else 0


def parameter_beats(layer: Layer, config: NpuConfig, params: EngineParams, job: EngineJob,
                    result: LinearResult) -> Beats:
    """`p`: `wsum`, `mant0`, `shift0` (min-max, or 8-bit tokens), `mant1`, `shift1` (4-bit tokens; zero in min-max
    mode), `bias`: int64[words]."""
    weights = result.weights
    mant, shift = rescale.factors(result.step, weights.scale, result.s_y, config)
    none = np.zeros(mant.shape[1], np.int64)
    channels = {"wsum": weights.sums(weights.codes.shape[1])[0], "mant0": mant[0], "shift0": shift[0],
                "mant1": mant[1] if len(mant) > 1 else none, "shift1": shift[1] if len(shift) > 1 else none,
                "bias": rescale.integer_bias(layer.bias, result.s_y, mant.shape[1])}
    times, more = len(token_order(params, job)), job.columns * params.cols - mant.shape[1]
    return {name: np.tile(np.pad(values, (0, more)), times) for name, values in channels.items()}


def output_beats(params: EngineParams, job: EngineJob, result: LinearResult) -> Beats:
    """`o`: `y` int16[beats, rescale_lanes] (lanes beyond N zero), `keep` int8 of the same shape, `last`, `end`."""
    channels = result.sent.shape[1]
    y = np.zeros((len(result.sent), job.columns * params.cols), np.int16)
    y[:, :channels] = result.sent
    keep = (np.arange(y.shape[1]) < channels).astype(np.int8)
    parts: dict[str, list[np.ndarray]] = {"y": [], "keep": [], "last": []}
    for tokens in token_order(params, job):
        for column in range(job.columns):
            beats = params.chunks if column + 1 < job.columns else job.out_beats
            first = column * params.cols
            window = slice(first, first + beats * params.rescale_lanes)
            parts["y"].append(y[tokens, window].reshape(-1, params.rescale_lanes))
            parts["keep"].append(np.tile(keep[window].reshape(-1, params.rescale_lanes), (len(tokens), 1)))
            parts["last"].append(np.tile(np.arange(beats) == beats - 1, len(tokens)).astype(np.int8))
    beats_of = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    end = np.zeros(len(beats_of["last"]), np.int8)
    end[-1] = 1
    return beats_of | {"end": end}


def words_of(params: EngineParams, job: EngineJob, y: np.ndarray) -> np.ndarray:
    """int16[W, N], in the order of the wire, of the `y` of all beats of `o`: what `output_beats` made them of."""
    words = np.empty((job.n_sink + job.width * job.height, job.columns * params.cols), np.int16)
    start = 0
    for tokens in token_order(params, job):
        for column in range(job.columns):
            beats = params.chunks if column + 1 < job.columns else job.out_beats
            first, end = column * params.cols, start + len(tokens) * beats
            words[tokens, first : first + beats * params.rescale_lanes] = y[start:end].reshape(len(tokens), -1)
            start = end
    return words[:, : job.channels(params)[1]]
