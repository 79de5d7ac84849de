"""What a division costs at least where the memory is behind one port: more than with a memory that never waits, and as
much as the streams' shares of it say (`sim.port`).
"""

from __future__ import annotations

import numpy as np

from sim.dram import FULL
from sim.engine.array import LOADED
from sim.engine.arrivals import Arrivals
from sim.mapping import bounds
from sim.mapping.bounds import Begins
from sim.mapping.candidates import Candidates
from sim.port import TICKS, Plan
from sim.task import Task
from stamp_hw.config import HwConfig

LOADS = ("w", "p")


def least_cycles(task: Task, hw: HwConfig, found: Candidates, index: int) -> int:
    """At most the cycles of a candidate (`closed_form.simulate`).

    Nothing is asked for before cycle 1, a burst follows another one of its stream by no less than the least spacing
    that it may have, and all bytes take the port as long as they take.
    """
    plan = plan_of(task, hw, found, index)
    passes, after = plan.counts["w"], Arrivals(task, hw, (), FULL).codes_after
    begins = Begins(first_load=_loaded(plan, 1), last_load=_loaded(plan, passes),
                    first_rows=_there(plan, _tokens(plan, 1)) + after, all_rows=_there(plan, _tokens(plan, 2)) + after)
    return max(int(bounds.ends(task, hw, found.only(index), begins)[0]), plan.cycles)


def plan_of(task: Task, hw: HwConfig, found: Candidates, index: int) -> Plan:
    """A candidate's job at the port."""
    (width, height), grid = found.size(index), task.job.grid
    first = min(width, task.job.tokens) if grid is None else min(width, grid[1]) * min(height, grid[0])
    return Plan.of_counts(task, hw, int(found.super_tiles[index]), task.job.n_sink + first)


def _tokens(plan: Plan, phase: int) -> int:
    """Ticks that the transfers of all tokens take at least that come until a phase ends. As many bursts as there are
    places may be asked for before a phase begins."""
    bursts = np.diff((0, *plan.bounds[: phase + 1])) * plan.units["i"].bursts
    spacings = [plan.spacing[number]["i"] for number in np.flatnonzero(bursts).tolist()]
    counts = bursts[bursts > 0].tolist()
    own = [counts[0], *(max(0, count - plan.depth["i"]) for count in counts[1:])]
    whole = sum(count * spacing for count, spacing in zip(own, spacings, strict=True))
    return int(whole + (sum(counts) - sum(own)) * min(spacings))


def _loaded(plan: Plan, passes: int) -> int:
    """First cycle in which so many passes can be loaded."""
    least = {name: min(spacing[name] for spacing in plan.spacing if name in spacing) for name in LOADS}
    return LOADED + max(_there(plan, passes * plan.units[name].bursts * least[name]) for name in LOADS)


def _there(plan: Plan, ticks: int) -> int:
    """First cycle in which a burst is there whose stream has been at work for so long."""
    return -(-(TICKS + ticks + plan.latency) // TICKS)
