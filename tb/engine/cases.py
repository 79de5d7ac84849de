"""Layers for the engine's bench: random ones that its buffers can take, and those of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.cost import energy
from sim.mapping.objective import OBJECTIVES
from sim.mapping.search import search
from sim.task import Task
from stamp_hw import rescale
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.linear import LinearResult
from stamp_hw.engine.params import MANT_WIDTH, SHIFT_WIDTH, EngineParams
from stamp_hw.engine.streams import Beats, make_job, streams
from stamp_hw.engine.super_tile import Size
from stamp_hw.errors import ConfigError
from stamp_hw.layer import Layer
from stamp_hw.params import Z_WIDTH
from tb.engine.draws import filled, job_of, layer_of, shape_of


@dataclass(frozen=True, slots=True)
class Case:
    """One layer as the engine sees it: `job` registers, `beats` of its streams, `saturated` words in its units; `limit`
    of its super-tiles as in `EngineJob.of`."""

    name: str
    job: EngineJob
    beats: dict[str, Beats]
    saturated: dict[str, int]
    limit: int | Size | None = None

    @classmethod
    def of(cls, layer: Layer, config: NpuConfig, limit: int | Size | None = None, sent: np.ndarray | None = None
           ) -> Case:
        """`limit` as in `EngineJob.of`; `sent` int16[W, N] is what must come out, in the order of the wire, where that
        is not left to the golden model. Raises ConfigError for a job beyond the engine."""
        result = linear.run_linear(layer, config)
        result = result if sent is None else replace(result, sent=sent)
        job = make_job(layer, config, result, limit)
        beats = streams(layer, config, result, limit)
        beats["i"]["sink_shift"] = noisy(beats["i"], job)
        beats["w"]["wgt"] = half_used(beats["w"]["wgt"], job, job.channels(EngineParams.of(config.hw))[0])
        if not job.symmetric:
            beats["p"] |= second_table(beats["p"])
        return cls(f"{layer.name}: {describe(job, EngineParams.of(config.hw))}", job, beats,
                   {"rescale": clipped(result, config), "finish": result.sent_saturated,
                    "hadamard": result.h_saturated}, limit)

    @classmethod
    def of_one_that_fits(cls, layer: Layer, config: NpuConfig, limit: int | Size | None = None) -> Case | None:
        """`of`, or None where the buffers cannot hold a Haar tile of the job."""
        try:
            return cls.of(layer, config, limit)
        except ConfigError:
            return None


def clipped(result: LinearResult, config: NpuConfig) -> int:
    """Coefficients beyond their 24 bits, in Python integers; one that is exactly at the limit is none."""
    limit = 1 << (Z_WIDTH - 1)
    mant, shift = rescale.factors(result.step, result.weights.scale, result.s_y, config)
    wsum, done = result.weights.sums(result.weights.codes.shape[1])[0], result.quantized
    acc = result.acc if result.acc.ndim == 3 else result.acc[:, None]
    count = 0
    for token, channel in np.argwhere((result.z == limit - 1) | (result.z == -limit)).tolist():
        hi = int(done.bits[token]) == 8
        table = 0 if hi else len(mant) - 1
        total = sum(int(span) * int(part) for span, part in zip(done.span[token], acc[token, :, channel], strict=True))
        if done.zero is None and done.span.shape[1] == 1:
            lo, span, rest = int(done.lo[token, 0]), int(done.span[token, 0]), int(wsum[channel])
            total += (span * int(done.mid[token]) + int(done.qmax[token]) * lo) * rest
        total *= 1 if hi or config.job.symmetric else 17
        down = int(shift[table, channel])
        exact = ((total << int(done.sink_shift[token])) * int(mant[table, channel]) + (1 << (down - 1))) >> down
        count += not -limit <= exact < limit
    return count


def noisy(tokens: Beats, job: EngineJob) -> np.ndarray:
    """`sink_shift` with anything where the engine must not look: all beats but the last one of a sink."""
    beat = np.arange(len(tokens["last"]))
    matters = (beat < job.n_sink * job.in_beats) & (tokens["last"] == 1)
    return np.where(matters, tokens["sink_shift"], (5 * beat + 3) % 16)


def half_used(weights: np.ndarray, job: EngineJob, k: int) -> np.ndarray:
    """Bytes of packed weights with anything in the upper half of a pass's last beat, where it has no second step."""
    if not job.packed or k % 2 == 0:
        return weights
    found = weights.copy()
    last = found[job.weights.beats(k) - 1 :: job.weights.beats(k)]
    last ^= ((np.arange(last.size).reshape(last.shape) * 7 + 5) % 16 << 4).astype(np.uint8).view(np.int8)
    return found


def second_table(channels: Beats) -> Beats:
    """Anything for the factors of 4-bit tokens, which only symmetric jobs have."""
    channel = np.arange(len(channels["mant1"]))
    return {"mant1": (40503 * channel + 12345) % (1 << MANT_WIDTH), "shift1": (23 * channel + 7) % (1 << SHIFT_WIDTH)}


def describe(job: EngineJob, params: EngineParams) -> str:
    """A job in a line."""
    shape = f"{job.height}x{job.width}" if job.two_d else str(job.width)
    k, n = job.channels(params)
    mode = "symmetric" if job.symmetric else "minmax"
    weights = f", packed in {job.weights.group}" if job.packed else ""
    rotated = f", hadamard {job.hadamard_shift} of {job.in_channels(params)}" if job.hadamard else ""
    blocks = ", blocks" if job.blocks else ""
    return (f"{shape}+{job.n_sink} tokens, {k} to {n}, levels {job.levels}, n_hi {job.resolved.n_hi}, {mode}"
            f"{blocks}{weights}{rotated}")


def joined(cases: Sequence[Case], stream: str) -> Beats:
    """The beats of several jobs one after the other."""
    return {name: np.concatenate([case.beats[stream][name] for case in cases]) for name in cases[0].beats[stream]}


def draw(rng: np.random.Generator, params: EngineParams) -> Case:
    """A random layer in super-tiles of any size; draws again where a Haar tile does not fit the buffers."""
    while True:
        layer, job = layer_of(rng, params)
        limit = (None, int(rng.integers(1, params.out_slots + 1)), params.out_slots)[int(rng.integers(3))]
        case = Case.of_one_that_fits(layer, NpuConfig(hw=params.hw, job=job), limit)
        if case is not None:
            return case


def searched(rng: np.random.Generator, hw: HwConfig) -> Case:
    """A random layer in the super-tiles that a search finds for it, whatever it searches for."""
    params, objective = EngineParams.of(hw), OBJECTIVES[int(rng.integers(len(OBJECTIVES)))]
    while True:
        layer, job = layer_of(rng, params)
        config = NpuConfig(hw=hw, job=job)
        case = Case.of_one_that_fits(layer, config)
        if case is not None:
            task = Task.of_job(case.job, params)
            return Case.of(layer, config, search(task, hw, energy.load(hw.technology), objective).size)


def small_case(rng: np.random.Generator, params: EngineParams) -> Case:
    """A layer of a few tokens and channels, so that the ends of a job are most of it."""
    while True:
        shape = shape_of(rng, params)
        if shape.tokens + shape.sinks <= 9:
            k = min(shape.k, int(rng.integers(1, 2 * params.lanes + 1)))
            shape = replace(shape, k=k, n=min(shape.n, params.cols + 1))
            job = job_of(rng, params, shape, "static")
            case = Case.of_one_that_fits(filled(rng, params, shape, job), NpuConfig(hw=params.hw, job=job))
            if case is not None:
                return case
