"""Layers for the engine's bench: random ones that its buffers can take, and those of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stamp_hw import engine
from stamp_hw.config import JobConfig, NpuConfig
from stamp_hw.engine_job import EngineJob
from stamp_hw.engine_params import MANT_WIDTH, SHIFT_WIDTH, EngineParams
from stamp_hw.engine_streams import Beats, make_job, streams
from stamp_hw.errors import ConfigError
from stamp_hw.layer import Layer


@dataclass(frozen=True, slots=True)
class Case:
    """One layer as the engine sees it: `job` registers, `beats` of its streams, `saturated` words in its units."""

    name: str
    job: EngineJob
    beats: dict[str, Beats]
    saturated: dict[str, int]

    @classmethod
    def of(cls, layer: Layer, config: NpuConfig) -> Case:
        """Raises ConfigError for a job beyond the engine."""
        result = engine.run_linear(layer, config)
        job = make_job(layer, config, result)
        beats = streams(layer, config, result)
        beats["i"]["sink_shift"] = noisy(beats["i"], job)
        if not job.symmetric:
            beats["p"] |= second_table(beats["p"])
        # A coefficient that is exactly at the limit would count as saturated here and not in the RTL: one in 2^24.
        return cls(f"{layer.name}: {describe(job, EngineParams.of(config.hw))}", job, beats,
                   {"rescale": result.z_saturated, "finish": result.y_saturated})


def noisy(tokens: Beats, job: EngineJob) -> np.ndarray:
    """`sink_shift` with anything where the engine must not look: all beats but the last one of a sink."""
    beat = np.arange(len(tokens["last"]))
    matters = (beat < job.n_sink * job.beats) & (tokens["last"] == 1)
    return np.where(matters, tokens["sink_shift"], (5 * beat + 3) % 16)


def second_table(channels: Beats) -> Beats:
    """Anything for the factors of 4-bit tokens, which only symmetric jobs have."""
    channel = np.arange(len(channels["mant1"]))
    return {"mant1": (40503 * channel + 12345) % (1 << MANT_WIDTH), "shift1": (23 * channel + 7) % (1 << SHIFT_WIDTH)}


def describe(job: EngineJob, params: EngineParams) -> str:
    """A job in a line."""
    shape = f"{job.height}x{job.width}" if job.two_d else str(job.width)
    k, n = job.channels(params)
    mode = "symmetric" if job.symmetric else "minmax"
    return f"{shape}+{job.n_sink} tokens, {k} to {n}, levels {job.levels}, n_hi {job.resolved.n_hi}, {mode}"


def joined(cases: Sequence[Case], stream: str) -> Beats:
    """The beats of several jobs one after the other."""
    return {name: np.concatenate([case.beats[stream][name] for case in cases]) for name in cases[0].beats[stream]}


def pick(rng: np.random.Generator, *options: int) -> int:
    """One of the options."""
    return int(options[int(rng.integers(len(options)))])


def draw(rng: np.random.Generator, params: EngineParams) -> Case:
    """A random layer; draws again where a Haar tile does not fit the buffers."""
    while True:
        layer, job = _layer(rng, params)
        try:
            return Case.of(layer, NpuConfig(hw=params.hw, job=job))
        except ConfigError:
            continue


def _layer(rng: np.random.Generator, params: EngineParams) -> tuple[Layer, JobConfig]:
    """Shapes from 1 to the hardware's limits, every kind of job."""
    two_d = params.axes == 2 and bool(rng.integers(2))
    limit, grid, sinks = params.max_tokens, None, 0
    if two_d:
        height = int(rng.integers(1, max(2, int(limit**0.5) + 1)))
        width = int(rng.integers(1, limit // height + 1))
        tokens, grid = height * width, (height, width)
    else:
        tokens = pick(rng, 1, 2, int(rng.integers(1, limit + 1)), limit)
        sinks = pick(rng, 0, 0, 1, int(rng.integers(0, 5)), int(rng.integers(0, min(params.act_slots, limit))))
    k = pick(rng, 1, params.lanes, int(rng.integers(1, params.max_k + 1)), params.max_k)
    job = JobConfig(
        levels=int(rng.integers(0, params.max_levels // (2 if two_d else 1) + 1)),
        n_hi=pick(rng, 0, tokens, int(rng.integers(0, tokens + 1)), -(-tokens // 8)), n_sink=sinks,
        scale_mode=("minmax", "symmetric")[int(rng.integers(2))], weight_bits=pick(rng, 4, 8), calibration="self")
    x = rng.standard_normal((tokens + sinks, k)) * np.exp(rng.standard_normal(k))
    x[:sinks] *= 2.0 ** rng.integers(0, 18, (sinks, 1))  # beyond what e = 15 holds, now and then
    n = int(rng.integers(1, 3 * params.cols + 2))
    bias = rng.standard_normal(n).astype(np.float32) if rng.integers(2) else None
    layer = Layer(name="drawn", kind="drawn", x=x.astype(np.float32), grid=grid, n_sink=sinks, bias=bias,
                  weight=rng.standard_normal((n, k)).astype(np.float32))
    return layer, job
