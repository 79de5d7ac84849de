"""Tokens of one job that come at the memory's rate: when a token's codes count as there. `sim.engine.front.Front` for a
whole super-tile at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim import scale
from sim.dram import Rate
from sim.engine.front import slots, start_cycles
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.haar_slots import chain_levels


class Arrivals:
    """Tokens in, super-tile after super-tile, in cycles since the job's registers were taken.

    `ready` int64[n_sink + tokens], sinks first and then by coefficient: from when a token's codes count as there;
    `behind` the last super-tile whose first token had been taken when that token left the lifting unit. The low-pass
    tokens of a super-tile leave it behind the first tokens of the next, so that a super-tile is complete when the next
    one has been taken too, and the last one when it has itself.

    Raises ConfigError for a block that the scale unit does not have.
    """

    def __init__(self, task: Task, hw: HwConfig, parts: Sequence[SuperTile], rate: Rate) -> None:
        params, job = EngineParams.of(hw), task.job
        self._unit, self._rate, self._sinks = params.haar, rate, job.n_sink
        registers = params.scale.job(tokens=task.tokens, k=task.k, group=task.group)
        self._beats = registers.beats
        self._whole = max(self._beats, self._unit.min_slot_cycles)
        # The lifting unit's pace leaves every group its division in time. So the codes of a token's last group follow
        # its last beat by `latency`, or those of the group before it, where that is a whole block and the last is not.
        self._groups = scale.group_beats(registers)
        self._after = params.scale.latency + self._groups[-1]
        self._short = self._groups[0] - self._groups[-1]  # beats that a token's last group is short of a whole one
        self._slots = slots(job.tokens, job.levels, job.grid)
        size = 1 << chain_levels(job.levels, job.grid)
        self._bounds = [part.first_tile * size for part in parts[1:]] + [len(self._slots[0])]
        self._slot = 0  # the first that has not been followed
        self._number = -1  # of the last super-tile that was taken
        self._last = -1  # cycle of the last beat taken
        self._advance: dict[tuple[int, int], tuple[int, int]] = {}
        self._cycle = start_cycles(params, job.grid[0] if job.grid else 1) + 1
        self.ready, self.behind = np.empty(task.tokens, np.int64), np.zeros(task.tokens, np.int64)
        if job.n_sink:
            self._cycle += self._unit.job_cycles
            self._run(slots(job.n_sink, 0, None), slice(job.n_sink))

    @property
    def memory_paced(self) -> bool:
        """A token's beats take the memory longer than its slot takes the lifting unit."""
        return self._beats * self._rate.den > self._whole * self._rate.num

    def take(self, gate: int) -> bool:
        """The tokens of the next super-tile, the first of them not before `gate`; nothing behind the last one. Whether
        it waited for that."""
        if not self._bounds:
            return False
        first, self._slot = self._slot, self._bounds.pop(0)
        self._number += 1
        if not first:
            self._cycle += self._unit.job_cycles
        waits, self._cycle = gate > self._cycle, max(self._cycle, gate)
        window = slice(first, self._slot)
        self._run(tuple(column[window] for column in self._slots), slice(self._sinks, None))
        return waits

    def take_all(self) -> None:
        """All tokens, where no gate is ever closed."""
        while self._bounds:
            self.take(self._cycle)

    def _run(self, run: tuple[np.ndarray, ...], tokens: slice) -> None:
        """Slots of the lifting unit, one after the other, whose coefficients are numbers among `tokens`."""
        takes, busy, coef = run
        lasts = self._prompt(busy) if self._rate.full else self._throttled(takes, busy)
        leave = np.flatnonzero(coef >= 0)
        self.ready[tokens][coef[leave]] = lasts[leave] + self._unit.latency + self._after
        self.behind[tokens][coef[leave]] = max(self._number, 0)

    def _behind_whole(self, last: int, before: int) -> int:
        """Cycle of a token's last beat; or that with which its last group's codes would have come as late as they do,
        where they wait for those of the whole block before it, whose last beat came in cycle `before`."""
        return max(last, before + self._groups[0]) if self._short else last

    def _prompt(self, busy: np.ndarray) -> np.ndarray:
        """Cycle of each slot's last beat where one is always offered; see `_behind_whole`."""
        ends = self._cycle + np.cumsum(np.where(busy, self._whole, 1))
        self._cycle = int(ends[-1])
        return np.asarray(ends - 1 - np.where(busy, self._whole - self._beats, 0)) + self._short

    def _throttled(self, takes: np.ndarray, busy: np.ndarray) -> np.ndarray:
        """The same at the memory's rate: a slot is as late as its beats are."""
        lasts, cycle, beats, period = [], self._cycle, self._beats, self._rate.den
        for takes_token, works in zip(takes.tolist(), busy.tolist(), strict=True):
            if takes_token:
                # What a token waits for depends on when it could begin within the memory's period, and since when the
                # last beat has been gone.
                where = cycle % period, cycle - self._last
                if where not in self._advance:
                    before = self._rate.take(self._last, cycle, beats - self._groups[-1]) if self._short else cycle
                    self._advance[where] = self._rate.take(self._last, cycle, beats) - cycle, before - cycle
                taken, before = self._advance[where]
                last = self._last = cycle + taken
                lasts.append(self._behind_whole(last, cycle + before))
            else:
                last = cycle + beats - 1 if works else cycle
                lasts.append(last + self._short)
            cycle = last + 1 + (self._whole - beats if works else 0)
        self._cycle = cycle
        return np.array(lasts, np.int64)
