"""The size of a layer's super-tiles that costs least: deterministic, and what trying every size would find.

Every candidate has a rank that no other has, so that there is one best. A candidate is costed in full only where what
it costs at least does not rule it out: its bounds make a rank that is never beyond its own. Bounds of all candidates at
once come first; a closer one of a memory behind one port takes longer, and is asked for where the first one does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

from sim.cost import layer_cost
from sim.cost.energy import EnergySet
from sim.cost.layer_cost import Cost
from sim.engine import closed_form
from sim.mapping import bounds, port_bounds
from sim.mapping.candidates import candidates
from sim.mapping.objective import Objective, rank
from sim.task import Shape, Task
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine.changes import Passage
from stamp_hw.engine.super_tile import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """`size` (width, height) in tokens of a full super-tile, `tile_width` and `tile_height` of the job registers, and
    the `cycles` and `energy_fj` of a layer in them; `legal` sizes that there are, of which `costed` were costed in
    full."""

    size: Size
    cycles: int
    energy_fj: int
    legal: int
    costed: int


def search(task: Task, hw: HwConfig, energy_set: EnergySet, objective: Objective) -> Mapping:
    """The best of all sizes of super-tiles that fit.

    Raises
    ------
    ConfigError : a Haar tile does not fit the activation buffer
    """
    found = candidates(task.job, hw)
    if len(found) == 1:  # as of every decode step: there is nothing to rule out
        size = found.size(0)
        return Mapping(size=size, cycles=closed_form.simulate(task, hw, size).total,
                       energy_fj=layer_cost.energy_fj(task, hw, found.division(0), energy_set), legal=1, costed=1)
    cycles = bounds.least_cycles(task, hw, found)
    energy = bounds.least_energy(task, hw, found, energy_set)

    def least(index: int) -> tuple[float, int, int]:
        """What is minimized at least; of equals the fewer cycles first."""
        own = {"cycles": float(cycles[index]), "energy": float(energy[index]),
               "edp": float(cycles[index] * energy[index])}[objective]
        return own, int(cycles[index]), index

    best: tuple[tuple[int, int, int], Mapping] | None = None
    costed = 0
    queue = [least(index) for index in range(len(found))]
    heapify(queue)
    at_first = set(range(len(found))) if hw.memory is not None else set()  # what the port makes of them is not known
    while queue:
        bound, _, index = heappop(queue)
        if best is not None and bound * (1 - bounds.FLOATS) > best[0][0]:
            break
        if index in at_first:
            at_first.remove(index)
            cycles[index] = max(int(cycles[index]), port_bounds.least_cycles(task, hw, found, index))
            heappush(queue, least(index))
            continue
        size = found.size(index)
        spent, tokens = layer_cost.energy_fj(task, hw, found.division(index), energy_set), size[0] * size[1]
        if best is not None and rank(objective, int(cycles[index]), spent, tokens) > best[0]:
            continue
        costed += 1
        total = closed_form.simulate(task, hw, size).total
        own = rank(objective, total, spent, tokens)
        if best is None or own < best[0]:
            best = own, Mapping(size=size, cycles=total, energy_fj=spent, legal=len(found), costed=costed)
    assert best is not None
    return replace(best[1], costed=costed)


def cost(shape: Shape, config: NpuConfig, energy_set: EnergySet, limit: int, objective: Objective | None,
         run: Passage | None = None) -> Cost:
    """Cost of a layer in the super-tiles that a search finds; without an objective in the largest that fit, of `limit`
    tokens at most, as the engine's own job has them. `run` as of `layer_cost.cost`; the search knows no values. Raises
    ConfigError as `search`."""
    if objective is None:
        return layer_cost.cost(shape, config, energy_set, limit, run)
    size = search(Task.of(shape, config), config.hw, energy_set, objective).size
    return layer_cost.cost(shape, config, energy_set, size, run)
