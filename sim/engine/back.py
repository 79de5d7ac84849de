"""Back of the engine: the inverse lifting of complete passes, bias and rounding, under the stalls of `o`
(`rtl_gen/engine/back.py`).

Two elastic pipelines in a row. Each is followed in its own time, which stands still while its output waits: a beat that
is issued in cycle n of that time is at the output in cycle n + latency of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from sim.engine.array import NEVER, Registers
from sim.engine.elastic import Elastic
from sim.pipeline import Pattern, always
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.haar import Grid
from stamp_hw.haar_slots import inverse

#: Tokens, levels and grid of a lifting job.
Lifting = tuple[int, int, Grid | None]


@lru_cache(maxsize=256)
def departures(tokens: int, levels: int, grid: Grid | None, beats: int, least: int) -> tuple[np.ndarray, int]:
    """(cycle in which each output beat is issued, counted from the job's first slot, int64[tokens · beats]; cycles of
    all slots); a busy slot takes max(beats, least)."""
    table = inverse(tokens, levels, grid)
    cycles = np.where(table.busy, max(beats, least), 1)
    starts = (np.cumsum(cycles) - cycles)[table.token >= 0]
    found = (starts[:, None] + np.arange(beats)).ravel()
    found.flags.writeable = False
    return found, int(cycles.sum())


def liftings(job: EngineJob, part: SuperTile) -> list[Lifting]:
    """The lifting jobs of a pass: the sinks in the first super-tile, then the rectangle."""
    sinks: list[Lifting] = [(job.n_sink, 0, None)] if job.n_sink and not part.first_tile else []
    return [*sinks, (part.tokens, job.levels, (part.height, part.width) if job.two_d else None)]


#: Is told of every lifting job: cycle in which the inverse unit takes it, the one behind that in which it issues its
#: last beat.
Lifted = Callable[[int, int], None]


class Back:
    """Passes in, the cycle of every output beat out.

    Parameters
    ----------
    params : EngineParams
    ready : stall pattern of the stream `o`
    watch : who is told of every lifting job, in the inverse unit's own time, or None
    """

    def __init__(self, params: EngineParams, ready: Pattern, watch: Lifted | None = None) -> None:
        self._watch = watch
        self._unit, self._finish_latency = params.inverse, params.finish.latency
        self.registers = Registers()
        self.outputs: list[int] = []
        self._ready = ready
        self._finish = Elastic(self._sent)
        self._inverse = Elastic(self._finished, int(self._unit.has_spare))
        self._begin = NEVER  # first cycle in which the stage works on this job
        self._next = 0  # first cycle, in the inverse unit's time, in which it takes a job
        self._entry = -1  # last cycle, in its own time, in which the bias unit took a beat
        self._accepted = NEVER
        self._free = [NEVER, NEVER]  # halves of the output buffer, the one of the pass before the last first

    def start(self, cycle: int) -> None:
        """A job's registers come in `cycle`."""
        self._begin = self.registers.start(cycle) + 1

    def free(self) -> int:
        """First cycle in which the next pass's half of the output buffer is free."""
        return self._free[0]

    def lift(self, complete: int, beats: int, shapes: list[Lifting]) -> None:
        """The lifting jobs of a pass, `beats` a token; complete from cycle `complete`."""
        unit = self._unit
        taken = NEVER
        for tokens, levels, grid in shapes:
            issues, cycles = departures(tokens, levels, grid, beats, unit.min_slot_cycles)
            job = self._inverse.enter(max(complete, self._begin), self._next)
            self._accepted = self._inverse.real(job)
            first = job + unit.job_cycles
            if self._ready is always:
                taken = self._run_free(first + unit.latency + issues)
            else:
                for issue in issues.tolist():
                    taken = self._inverse.leave(first + issue + unit.latency)
            self._next = first + cycles
            if self._watch is not None:
                self._watch(job, first + int(issues[-1]) + 1)
        self._free = [self._free[1], taken + 1]

    def end(self) -> None:
        """The last lifting job of a job has been accepted."""
        self.registers.end = self._accepted + 2

    def _run_free(self, cycles: np.ndarray) -> int:
        """Beats that nothing stops leave the inverse unit in `cycles`: the last of them."""
        self.outputs.extend((cycles + self._finish_latency).tolist())
        return int(cycles[-1])

    def _finished(self, cycle: int) -> int:
        """The bias unit takes a beat that is offered from `cycle` on."""
        entry = self._entry = self._finish.enter(cycle, self._entry + 1)
        taken = self._finish.real(entry)
        self._finish.leave(entry + self._finish_latency)
        return taken

    def _sent(self, cycle: int) -> int:
        """An output beat is offered from `cycle` on."""
        while not self._ready(cycle):
            cycle += 1
        self.outputs.append(cycle)
        return cycle
