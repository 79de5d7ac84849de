"""Layers whose packed weights come with a step and a zero that leave INT8: the hardware saturates and says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stamp_hw.config import JobConfig, NpuConfig
from stamp_hw.engine.job import WEIGHT_GROUPS
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.streams import packed_steps, tiled_beats
from stamp_hw.weight_groups import MOST_U, Groups, expand, legal
from stamp_hw.weights import Weights
from tb.engine.cases import Case, half_used
from tb.engine.draws import Shape, groups_of, plain

#: Zeros of which a step may be too large.
ZEROS = tuple(zero for zero in range(16) if MOST_U[zero] < 16)


def illegal_pairs(rng: np.random.Generator, params: EngineParams, size: int, kind: int, zero: int | None = None
                  ) -> tuple[Case, tuple[str, ...]]:
    """(layer, errors that it raises): `kind` 0 pairs at the limit, all legal; 1 one of them beyond it, of this `zero`
    or of any; 2 any pairs; 3 one illegal pair in a channel beyond N. Where weights are bytes they are sent saturated,
    and nothing is an error."""
    shape = Shape(tokens=int(rng.integers(1, min(4, params.max_tokens) + 1)), grid=None, sinks=0,
                  k=int(rng.integers(1, params.max_k + 1)), n=int(rng.integers(1, 2 * params.cols)))
    groups = groups_of(rng, shape, size)
    u, z = np.array(MOST_U, np.uint8)[groups.z], groups.z.copy()
    place = int(rng.integers(u.shape[0])), int(rng.integers(u.shape[1]))
    if kind == 1:
        z[place] = rng.choice(ZEROS) if zero is None else zero
        u[place] = MOST_U[int(z[place])] + 1
    if kind == 2:
        u = rng.integers(1, 17, u.shape).astype(np.uint8)
    groups = Groups(size, u, z)
    q = rng.integers(0, 16, (shape.n, shape.k)).astype(np.uint8)
    case = _case(rng, params, shape, q, groups)
    if not params.packed_weights:
        return case, ()
    job, beats = case.job, case.beats["w"]["wgt"]
    beyond = job.columns * params.cols - shape.n
    if kind == 3 and beyond:
        # The last channel's pair of its pass's last group.
        per_pass, half = job.weights.beats(shape.k), size // 2 + 1
        beats[(job.columns - 1) * per_pass + (per_pass - 1) // half * half, -1] = np.int8(-16)  # u = 16, z = 0
    illegal = not legal(u, z).all() or (kind == 3 and beyond > 0)
    return case, ("weights",) if illegal else ()


def _case(rng: np.random.Generator, params: EngineParams, shape: Shape, q: np.ndarray, groups: Groups) -> Case:
    """The layer whose weights are what the hardware makes of `q` and `groups`, which are sent."""
    codes = expand(q, groups)
    scale = np.full(shape.n, 2.0**-6)
    weights = Weights(codes, scale)
    layer = replace(plain(rng, shape), weight=weights.real(), quantized=weights)
    case = Case.of(layer, NpuConfig(hw=params.hw, job=JobConfig(levels=0, weight_bits=8, calibration="self",
                                                                 hadamard="off")))
    if not params.packed_weights:
        return case
    job = replace(case.job, packed=True, weight_group=WEIGHT_GROUPS.index(groups.size))
    sent = half_used(tiled_beats(params, job, packed_steps(q, groups)), job, shape.k)
    registers = {name: np.array([value]) for name, value in job.registers(params).items()}
    return replace(case, job=job, beats=case.beats | {"job": registers, "w": {"wgt": sent}})
