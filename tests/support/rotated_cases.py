"""Hardware with a Hadamard unit and jobs for it, on and off, among what the tests of the engine's cycles draw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.task import Task
from stamp_hw.config import HwConfig, ResolvedJob
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.hadamard_params import HadamardParams


def perhaps_rotated(rng: np.random.Generator, hw: HwConfig) -> HwConfig:
    """The hardware, in one of two cases with the unit, where its lanes are a power of two and a block fits."""
    block = int(rng.choice([16, 16, 64, 256]))
    if hw.lanes & (hw.lanes - 1) or block > hw.max_k or rng.integers(2):
        return hw
    return replace(hw, hadamard=block)


def task_of(rng: np.random.Generator, hw: HwConfig, job: ResolvedJob, k: int, n: int) -> Task:
    """A layer's task; where the hardware has the unit it is on in two of three cases."""
    if hw.hadamard is None or rng.integers(3) == 0:
        return Task(job=job, k=k, n=n)
    unit = HadamardParams.of(hw)
    k = min(k, hw.max_k // hw.hadamard * hw.hadamard)
    return Task(job=job, k=unit.channels(k), n=n, k_in=k)


def registers_of(rng: np.random.Generator, hw: HwConfig, task: Task, limit: int | None = None) -> EngineJob:
    """The engine's registers for it, at any shift."""
    params = EngineParams.of(hw)
    shift = None if task.k_in is None or params.rotation is None else int(rng.integers(params.rotation.levels + 1))
    found = EngineJob.of(task.job, k=task.channels_in, n=task.n, params=params, limit=limit, shift=shift)
    assert Task.of_job(found, params) == replace(task, job=found.resolved)
    return found
