"""Hardware with a Hadamard unit, with blocks, with packed weights, and jobs for it: what tests of the engine's cycles
draw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.task import Task
from stamp_hw.config import HwConfig, ResolvedJob
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import Size
from stamp_hw.hadamard_params import HadamardParams
from tests.support.weight_formats import draw_format


def perhaps_rotated(rng: np.random.Generator, hw: HwConfig) -> HwConfig:
    """The hardware, in one of two cases with the unit, where its lanes are a power of two and a block fits."""
    block = int(rng.choice([16, 16, 64, 256]))
    if hw.lanes & (hw.lanes - 1) or block > hw.max_k or rng.integers(2):
        return hw
    return replace(hw, hadamard=block)


def perhaps_in_blocks(rng: np.random.Generator, hw: HwConfig) -> HwConfig:
    """The hardware, in one of two cases with blocks of scales, of any number of beats."""
    return replace(hw, block=hw.lanes * int(rng.integers(1, 1 + max(1, 64 // hw.lanes)))) if rng.integers(2) else hw


def task_of(rng: np.random.Generator, hw: HwConfig, job: ResolvedJob, k: int, n: int) -> Task:
    """A layer's task; what the hardware has, a unit or blocks, is on in two of three cases."""
    weights = draw_format(rng, hw)
    steps, k_in = k, None
    if hw.hadamard is not None and rng.integers(3):
        k_in = min(k, hw.max_k // hw.hadamard * hw.hadamard)
        steps = HadamardParams.of(hw).channels(k_in)
    group = hw.block if hw.block is not None and hw.block < steps and rng.integers(3) else None
    return Task(job=job, k=steps, n=n, group=group, k_in=k_in, weights=weights)


def registers_of(rng: np.random.Generator, hw: HwConfig, task: Task, limit: int | Size | None = None) -> EngineJob:
    """The engine's registers for it, at any shift."""
    params = EngineParams.of(hw)
    shift = None if task.k_in is None or params.rotation is None else int(rng.integers(params.rotation.levels + 1))
    found = EngineJob.of(task.job, k=task.channels_in, n=task.n, params=params, limit=limit, shift=shift,
                         group=task.group, weights=task.weights)
    assert Task.of_job(found, params) == replace(task, job=found.resolved)
    return found
