"""Jobs that an engine refuses or that overflow its buffers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rtl_gen.engine.top import Engine
from stamp_hw.config import JobConfig, NpuConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import divide
from stamp_hw.haar_slots import chain_levels
from tb.engine.cases import Case, draw
from tb.engine.draws import Shape, plain


def illegal(params: EngineParams) -> list[dict[str, int]]:
    """Registers that make any job illegal, at least one for each test of `rtl_gen.engine.front.legal`."""
    engine = Engine(params)
    engine._MustUse__used = True
    widths = {name: field.width for name, field in engine.job.payload.shape()}
    most, tail = params.max_tokens, params.max_k - (params.max_beats - 1) * params.lanes
    flat = {"width": 1, "tile_width": 1, "n_sink": 0, "levels": 0}
    grid = flat | {"two_d": 1, "height": 1, "tile_height": 1}
    wanted = [
        {"width": 0}, {"width": most + 1}, {"n_sink": most}, {"beats": 0}, {"beats": params.max_beats + 1}, {"tail": 0},
        {"tail": params.lanes + 1}, {"columns": 0}, {"out_beats": 0}, {"out_beats": params.chunks + 1}, {"out_keep": 0},
        {"out_keep": params.rescale_lanes + 1}, {"tile_width": 0}, {"levels": params.max_levels + 1},
        flat | {"levels": 1, "tile_width": 3},
    ]
    if tail < params.lanes:
        wanted.append({"beats": params.max_beats, "tail": tail + 1})
    if params.axes == 2:
        wanted += [
            {"height": 0}, {"tile_height": 0}, grid | {"two_d": 0, "height": 2}, grid | {"two_d": 0, "tile_height": 2},
            grid | {"n_sink": 1}, grid | {"levels": params.max_levels // 2 + 1, "tile_width": 1 << params.max_levels},
            grid | {"height": most + 1}, grid | {"width": most, "tile_width": most, "height": 2},
            grid | {"levels": 1, "tile_width": 2, "tile_height": 3},
            grid | {"width": 3, "height": 3, "tile_width": 2, "tile_height": 2},
        ]
        wanted += [grid | {"width": most, "tile_width": most, "height": high} for high in (most - 1, most)
                   if most * high > most]
    if params.rotation is not None:
        on = {"hadamard": 1, "beats": params.rotation.block_beats, "in_beats": 1, "in_tail": 1, "hadamard_shift": 0}
        wanted += [on | {"in_beats": 0}, on | {"in_beats": params.rotation.block_beats + 1}, on | {"in_tail": 0},
                   on | {"in_tail": params.lanes + 1}, on | {"hadamard_shift": params.rotation.levels + 1}]
        if params.rotation.block_beats > 1:
            wanted.append(on | {"beats": params.rotation.block_beats + 1})
    return [change for change in wanted if all(value < 1 << widths[name] for name, value in change.items())]


def too_large(rng: np.random.Generator, params: EngineParams, two_d: bool, attempts: int = 300) -> Case | None:
    """A random layer for an engine with larger buffers, one of whose super-tiles has too many rows or positions for
    this one, if one is found."""
    larger = replace(params, act_slots=4 * params.act_slots)
    for _ in range(attempts):
        case = draw(rng, larger)
        job = case.job
        parts = divide(job.resolved, job.tile_width, job.tile_height, params.rows)
        rows = max(len(part.rows) for part in parts)
        side = 1 << job.levels
        places = [-(-part.width // side) * side * (-(-part.height // side) * side if two_d else 1) for part in parts]
        places[0] += job.n_sink
        # Places that no token has do not overflow: these are enough to be sure, and a token stands on one of the last.
        if job.two_d == two_d and (rows > params.act_tiles * params.rows
                                   or max(places) - (1 << chain_levels(job.levels, job.grid)) >= params.out_slots):
            return case
    return None


def sinks_beyond(rng: np.random.Generator, params: EngineParams) -> Case | None:
    """As many tokens behind as many sinks as registers can say, None where they fit."""
    sinks = params.max_tokens - 1
    if sinks + 1 <= params.act_tiles * params.rows:
        return None
    larger = replace(params, act_slots=params.max_tokens)
    shape = Shape(tokens=params.max_tokens, grid=None, sinks=sinks, k=1, n=1)
    job = JobConfig(levels=0, n_hi=1, calibration="self")
    return Case.of(plain(rng, shape), NpuConfig(hw=larger.hw, job=job))
