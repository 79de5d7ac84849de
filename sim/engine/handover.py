"""What a job leaves to the next one on the engine, for the closed form (docs/contract.md §5, "Jobs in a row").

A host writes the next job's registers while the job runs. Its tokens are this one's results, and come when the last of
them has been taken; the loader goes on with its weights and parameters as soon as it has left this job. All cycles of a
job behind another count from the cycle in which these results are there, so that what comes before is negative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.engine.array import LOAD_SETUP, LOADED, START
from sim.engine.early import Early
from sim.engine.front import start_cycles
from sim.engine.loads import Left, Loads
from sim.engine.passes import TILES, Event
from sim.engine.port_flow import LONG_AGO
from sim.engine.rotated import BEGIN
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams

ENOUGH = 1 << 40
HALVES = 2  # of the weight and of the activation buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """In cycles from the one in which a job's results are there.

    `accept` the next job's registers are taken; `loader` first cycle in which the loader is without a job; `releases`
    ends of the last two passes; `lifting` first cycle in which the inverse unit can take a job; `left` weights and
    parameters that were taken, None: so long ago that it does not matter; `slack` cycles that the memory had left,
    `early` what of the next job comes before those results: weights, or its registers alone.
    """

    accept: int
    loader: int
    releases: tuple[int, int]
    lifting: int
    left: Left | None
    slack: int
    early: Early

    def begin(self, task: Task, params: EngineParams) -> int:
        """First cycle in which the loader works on the next job; of weights that wait for results, the one in front of
        their first possible beat at the earliest, so that nothing before it counts as waiting for the memory."""
        begin = max(self.accept + _start(task, params) + START, self.loader) + START
        return begin if self.early is Early.WEIGHTS else max(begin, -LOAD_SETUP)

    def tokens(self, task: Task, params: EngineParams) -> int:
        """The cycle in which the next job's first token could be taken, if it were there; behind a Hadamard unit its
        first beat, if that is later."""
        return self.accept + _start(task, params) + max(BEGIN, 1 + params.haar.job_cycles)

    def without_past(self, task: Task, params: EngineParams) -> Handover:
        """The same for that job, without what makes no cycle of it differ; `left` and `slack` as they are.

        Registers are taken for the tokens, which come in cycle 0 at the earliest, and for the loader, whose first cycle
        is kept. A pass that ended before this cycle keeps no half of the weight buffer from being loaded. The inverse
        unit's first job comes behind tokens.
        """
        load = self.begin(task, params)
        first, second = (end if end + 1 >= load else LONG_AGO for end in self.releases)
        return replace(self, accept=self.accept if self.tokens(task, params) > 0 else LONG_AGO, loader=load - START,
                       releases=(first, second), lifting=max(0, self.lifting))

    @property
    def ended(self) -> tuple[Event, Event]:
        """The last two passes."""
        return Event(0).after(TILES, self.releases[0]), Event(0).after(TILES, self.releases[1])


#: A job that waits with all that it can have: its registers, and of its weights and parameters what the engine takes.
READY, REGISTERS = (Handover(accept=LONG_AGO, loader=LONG_AGO, releases=(LONG_AGO, LONG_AGO), lifting=0, left=None,
                             slack=ENOUGH, early=early) for early in (Early.WEIGHTS, Early.REGISTERS))


def early_passes(loads: Loads, before: Handover, task: Task, hw: HwConfig) -> tuple[int, bool]:
    """(passes whose weights and parameters are there before the job's tokens may come, at most two; whether nothing
    that the handover says makes any later cycle differ).

    `loads` : as the job before left them
    """
    params, count = EngineParams.of(hw), 0
    load = before.begin(task, params)
    settled = before.lifting <= 0 and before.tokens(task, params) <= 0
    if before.early is Early.REGISTERS:
        return 0, settled and max(before.releases[0] + 1, load) + LOAD_SETUP == 0
    for released in before.releases[: min(task.columns(hw)[0], HALVES)]:
        loads, written, words = loads.take(max(released + 1, load) + LOAD_SETUP)
        load = max(written, words) + LOADED
        count += max(written, words) < 0
    return count, settled and load <= 0 and loads.waits()


def _start(task: Task, params: EngineParams) -> int:
    return start_cycles(params, task.job.grid[0] if task.job.grid else 1)
