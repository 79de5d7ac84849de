"""Layers for the bench of the engine's AXI edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stamp_hw.config import NpuConfig
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.linear import run_linear
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.streams import Beats
from stamp_hw.engine.wire_layer import WireLayer
from stamp_hw.errors import ConfigError
from tb.engine.draws import weights_of

DRAWS = 1_000  # of a layer, most of which the hardware takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A layer's shape in words, the beats of its streams, its job's registers, and words that saturate by unit."""

    name: str
    beats: dict[str, Beats]
    registers: EngineJob
    saturated: dict[str, int]


def draw(params: EngineParams, rng: np.random.Generator, tokens: int | None = None, most_tokens: int = 40,
         most_k: int = 50) -> Drawn:
    """A layer of random shape and job that the hardware takes, of `tokens` if they are given, else of at most
    `most_tokens`, or a grid of a few more; at most `most_k` channels.

    AssertionError if it takes none.
    """
    for _ in range(DRAWS):
        grid, n_sink = None, int(rng.choice([0, 0, 1, 3]))
        count = 1 + int(rng.integers(min(1 + params.max_tokens // 2, most_tokens))) if tokens is None else tokens
        if params.axes == 2 and tokens is None and rng.random() < 0.6:
            side = int(most_tokens**0.5) + 2
            grid, n_sink = (int(rng.integers(1, side + 1)), int(rng.integers(1, side))), 0
            count = grid[0] * grid[1]
        k, n = int(rng.integers(1, min(params.max_k, most_k) + 1)), int(rng.integers(1, 4 * params.cols))
        x = rng.normal(0, 1, (count + n_sink, k)).astype(np.float32)
        x[:n_sink] *= rng.choice([1, 30, 4000])
        bias = rng.normal(0, 3, n).astype(np.float32) if rng.random() < 0.7 else None
        layer = WireLayer("drawn", x, rng.normal(0, 1, (n, k)).astype(np.float32), bias, grid=grid,
                          n_sink=n_sink)
        config = NpuConfig(hw=params.hw).with_job(
            levels=int(rng.integers(0, 1 + params.max_levels // (2 if grid else 1))),
            n_hi=int(rng.integers(0, count + 1)), scale_mode=str(rng.choice(["minmax", "symmetric"])),
            hadamard=str(rng.choice(["auto", "off"])), **weights_of(rng))
        try:
            result = run_linear(layer, config)
            beats = engine_streams.streams(layer, config, result)
        except ConfigError:  # a Haar tile beyond the buffer
            continue
        shape = f"{grid or count} tokens, {n_sink} sinks, K {k}, N {n}"
        return Drawn(name=f"{shape}, {config.job.levels} levels, {config.job.n_hi} high, {config.job.scale_mode}",
                     beats=beats, registers=engine_streams.make_job(layer, config, result),
                     saturated={"rescale": result.z_saturated, "finish": result.sent_saturated,
                                "hadamard": result.h_saturated})
    raise AssertionError(f"no layer of {tokens or 'any number of'} tokens in {DRAWS} draws")
