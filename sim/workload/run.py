"""Cost of a workload under a scheme: every job through the cycle, byte and energy models, and their sums.

Jobs run one after the other. What of one could overlap with the next (its registers and its first tokens while the
other's last results leave) is not counted, so that cycles are an upper bound by less than a job's first fill and tail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sim.cost.energy import EnergySet
from sim.cost.layer_cost import Cost
from sim.mapping import search
from sim.mapping.objective import Objective
from sim.task import Shape
from sim.workload import jobs, vector
from sim.workload.jobs import Job
from sim.workload.ops import Attention, Linear, Op, Phase, Product, Vector, Workload
from sim.workload.totals import Totals
from stamp_hw.config import NpuConfig


class Run:
    """A workload on hardware: `of` each phase, operation by operation. Equal jobs are costed once.

    Parameters
    ----------
    vector_lanes : of the vector unit; None leaves its work out
    objective : what each job's super-tiles are searched for; None takes the largest that fit
    """

    def __init__(self, workload: Workload, config: NpuConfig, energy_set: EnergySet, vector_lanes: int | None,
                 objective: Objective | None = None) -> None:
        self.workload, self.config, self.vector_lanes, self.objective = workload, config, vector_lanes, objective
        self._energy_set = energy_set
        self._costs: dict[tuple[Shape, NpuConfig, int], Cost] = {}
        self._sums: dict[tuple[object, ...], Totals] = {}

    def of(self, phase: Phase, scheme: str) -> dict[str, Totals]:
        """Operation → its totals over the phase. Raises StampError for a job beyond the hardware."""
        return {op.name: self._operation(op, phase, scheme) for op in phase.ops}

    def _operation(self, op: Op, phase: Phase, scheme: str) -> Totals:
        """The same for every scheme where that has no say, so kept."""
        key = op, phase.steps, phase.batch, scheme if isinstance(op, Linear) else None
        if key not in self._sums:
            found = Totals()
            if isinstance(op, Vector):
                self._vector(found, op, phase)
            else:
                for job in _jobs(op, phase, scheme, self.config):
                    cost = self._cost(job)
                    found.add(cost, job.times)
                    if isinstance(op, Linear):
                        found.add_activations(cost, job.times)
                if isinstance(op, Attention):
                    self._softmax(found, op, phase)
            self._sums[key] = found
        return self._sums[key]

    def _cost(self, job: Job) -> Cost:
        key = replace(job.shape, name=""), job.config, job.limit
        if key not in self._costs:
            self._costs[key] = search.cost(job.shape, job.config, self._energy_set, job.limit, self.objective)
        return self._costs[key]

    def _vector(self, found: Totals, op: Vector, phase: Phase) -> None:
        for step, times in _steps(op, phase):
            self._add_vector(found, (op.values + op.grow * step) * phase.batch, op.passes, times)

    def _softmax(self, found: Totals, op: Attention, phase: Phase) -> None:
        """Scores of every head; and where a context is beyond the array's K, the sums of its parts."""
        for step, times in _steps(op, phase):
            for queries, seen in op.queries():
                keys, rows = seen + op.grow * step, queries * op.heads * phase.batch
                self._add_vector(found, rows * keys, vector.PASSES["softmax"], times)
                parts = -(-keys // self.config.hw.max_k)
                if parts > 1:
                    self._add_vector(found, rows * op.head_dim * (parts - 1), vector.PASSES["add"], times)

    def _add_vector(self, found: Totals, values: int, passes: int, times: int) -> None:
        if self.vector_lanes is not None:
            found.vector += values * passes * times
            found.vector_cycles += vector.cycles(values, passes, self.vector_lanes) * times


def _steps(op: Attention | Vector, phase: Phase) -> list[tuple[int, int]]:
    """(number of a step, times that it counts with all repeats): one by one where they grow, else all at once."""
    return [(step, op.repeat) for step in range(phase.steps)] if op.grow else [(0, op.repeat * phase.steps)]


def _jobs(op: Linear | Attention | Product, phase: Phase, scheme: str, config: NpuConfig) -> Iterator[Job]:
    """The jobs of all steps of a phase: those of a step that grows one by one, of others all at once."""
    if isinstance(op, Attention) and op.grow:
        for step in range(phase.steps):
            yield from jobs.of_attention(op, step, phase.batch, config)
        return
    if isinstance(op, Linear):
        step_jobs = jobs.of_linear(op, phase.batch, scheme, config)
    elif isinstance(op, Attention):
        step_jobs = jobs.of_attention(op, 0, phase.batch, config)
    else:
        step_jobs = jobs.of_product(op, phase.batch, config)
    for job in step_jobs:
        yield replace(job, times=job.times * phase.steps)
