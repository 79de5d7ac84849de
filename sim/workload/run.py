"""Cost of a workload under a scheme: every job through the cycle, byte and energy models, and their sums.

Jobs run one behind the other, the next one prefetched as far as the engine takes it (`sim.workload.in_a_row`), or each
on an engine at rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from sim.cost.energy import EnergySet
from sim.cost.layer_cost import Cost
from sim.engine.closed_form import EngineCycles
from sim.engine.early import Early
from sim.mapping import search
from sim.mapping.objective import Objective
from sim.task import Shape
from sim.workload import in_a_row, jobs, vector
from sim.workload.in_a_row import Chain, Link
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
    prefetch : a job's registers, and its first weights where they are no activations, come while the one before it runs

    Raises
    ------
    ConfigError : a layer has more inputs than the hardware takes
    """

    def __init__(self, workload: Workload, config: NpuConfig, energy_set: EnergySet, vector_lanes: int | None,
                 objective: Objective | None = None, *, prefetch: bool = True) -> None:
        jobs.check_inputs(workload, config)
        self.workload, self.config, self.vector_lanes, self.objective = workload, config, vector_lanes, objective
        self._energy_set, self.prefetch = energy_set, prefetch
        self._row = in_a_row.Row(config.hw)
        self._costs: dict[tuple[Shape, NpuConfig, int], Cost] = {}
        self._sums: dict[tuple[object, ...], Totals] = {}
        self._linked: dict[tuple[object, ...], tuple[Link | Chain, ...]] = {}

    def of(self, phase: Phase, scheme: str) -> dict[str, Totals]:
        """Operation → its totals over the phase. Raises StampError for a job beyond the hardware."""
        alone = {op.name: self._operation(op, phase, scheme) for op in phase.ops}
        if not self.prefetch:
            return alone
        cycles: dict[str, dict[EngineCycles, int]] = {name: {} for name in alone}
        for (name, own), count in self._row.follow(self._chain(phase, scheme))[0].items():
            cycles[name][own] = count
        return {name: totals.in_a_row(cycles[name]) for name, totals in alone.items()}

    def _chain(self, phase: Phase, scheme: str) -> Chain:
        """The jobs of a phase in their order: operations of as many repeats that stand together are a block."""
        ops = [op for op in phase.ops if not isinstance(op, Vector)]
        blocks = [(repeat, list(part)) for repeat, part in groupby(ops, key=lambda op: op.repeat)]

        def step(number: int) -> Iterator[Chain]:
            for repeat, part in blocks:
                yield Chain(tuple(link for op in part for link in self._links(op, number, phase, scheme)), repeat)

        if any(isinstance(op, Attention) and op.grow for op in ops):
            return Chain(tuple(link for number in range(phase.steps) for link in step(number)))
        return Chain(tuple(step(0)), phase.steps)

    def _links(self, op: Linear | Attention | Product, step: int, phase: Phase, scheme: str
               ) -> tuple[Link | Chain, ...]:
        """The jobs of a step's first repeat of an operation, kept as in `_operation` and where no step grows."""
        grown = step if isinstance(op, Attention) and op.grow else 0
        key = op, grown, phase.batch, scheme if isinstance(op, Linear) else None
        if key not in self._linked:
            self._linked[key] = tuple(self._new_links(op, grown, phase, scheme))
        return self._linked[key]

    def _new_links(self, op: Linear | Attention | Product, step: int, phase: Phase, scheme: str
                   ) -> Iterator[Link | Chain]:
        early = Early.WEIGHTS if isinstance(op, Linear) else Early.REGISTERS
        for job in _of_step(op, step, phase, scheme, self.config):
            cost = self._cost(job)
            link = Link(name=op.name, task=cost.task, size=cost.size, early=early)
            yield link
            early = Early.WEIGHTS
            yield Chain((replace(link, early=early),), job.times // op.repeat - 1)

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
            yield from _of_step(op, step, phase, scheme, config)
        return
    for job in _of_step(op, 0, phase, scheme, config):
        yield replace(job, times=job.times * phase.steps)


def _of_step(op: Linear | Attention | Product, step: int, phase: Phase, scheme: str, config: NpuConfig
             ) -> Iterator[Job]:
    """The jobs of one step, with all repeats."""
    if isinstance(op, Linear):
        return jobs.of_linear(op, phase.batch, scheme, config)
    if isinstance(op, Attention):
        return jobs.of_attention(op, step, phase.batch, config)
    return jobs.of_product(op, phase.batch, config)
