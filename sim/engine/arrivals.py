"""Tokens of one job as the memory gives them: when a token's codes count as there. `sim.engine.front.Front` for a whole
super-tile at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from sim import scale
from sim.dram import Rate
from sim.engine.front import CODED, slots, start_cycles
from sim.engine.port_flow import PortTokens
from sim.engine.rotated import BEGIN, Rotated, State
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.haar_slots import chain_levels


@dataclass(slots=True)
class Offers:
    """A stream at the memory's rate, of which only the last beat is remembered."""

    rate: Rate
    last: int = -1

    def next(self) -> int:
        """Cycle from which the next beat is offered."""
        return self.rate.after(self.last)

    def record(self, cycle: int) -> None:
        """It is taken in this cycle."""
        self.last = cycle


class Arrivals:
    """Tokens in, super-tile after super-tile, in cycles since the job's registers were taken.

    `ready` int64[n_sink + tokens], sinks first and then by coefficient: from when a token's codes count as there;
    `behind` the last super-tile whose first token had been taken when that token left the lifting unit. The low-pass
    tokens of a super-tile leave it behind the first tokens of the next, so that a super-tile is complete when the next
    one has been taken too, and the last one when it has itself.

    `supply` is a rate or a port. `accepted` where the job waits for another one's results: the cycle in which its
    registers were taken, counted from that in which these are there, in which its first token may come. Raises
    ConfigError for a block that the scale unit does not have.
    """

    def __init__(self, task: Task, hw: HwConfig, parts: Sequence[SuperTile], supply: Rate | PortTokens,
                 accepted: int = 0) -> None:
        params, job = EngineParams.of(hw), task.job
        self._unit, self._supply, self._sinks = params.haar, supply, job.n_sink
        registers = params.scale.job(tokens=task.tokens, k=task.k, group=task.group)
        self._beats = registers.beats
        self._in_beats = -(-task.channels_in // hw.lanes)
        self._whole = max(self._beats, self._unit.min_slot_cycles)
        # The lifting unit's pace leaves every group its division in time. So the codes of a token's last group follow
        # its last beat by `latency`, or those of the group before it, where that is a whole block and the last is not.
        self._groups = scale.group_beats(registers)
        self._after = params.scale.latency + self._groups[-1] - 1 + CODED
        self._short = self._groups[0] - self._groups[-1]  # beats that a token's last group is short of a whole one
        self._slots = slots(job.tokens, job.levels, job.grid)
        size = 1 << chain_levels(job.levels, job.grid)
        self._bounds = [part.first_tile * size for part in parts[1:]] + [len(self._slots[0])]
        self._slot = 0  # the first that has not been followed
        self._number = -1  # of the last super-tile that was taken
        self._last = -1  # cycle of the last beat taken
        self._advance: dict[tuple[int, int], tuple[int, int]] = {}
        start = accepted + start_cycles(params, job.grid[0] if job.grid else 1)
        self._cycle = start + 1
        self._first = 0  # first cycle in which a beat may be there
        self._rotated: Rotated | None = None
        if params.rotation is not None and task.k_in is not None:
            unit = params.rotation
            self._first = max(0, start + BEGIN) + unit.block_beats - 1 + unit.latency
            self._rotated = Rotated(unit, Offers(supply) if isinstance(supply, Rate) else supply.stream)
            self._rotated.start(start + BEGIN, self._in_beats, self._beats)
            self._rotations: dict[tuple[int, State], tuple[int, int, State]] = {}
        self.ready, self.behind = np.empty(task.tokens, np.int64), np.zeros(task.tokens, np.int64)
        if job.n_sink:
            self._cycle = max(self._cycle + self._unit.job_cycles, self._first)
            self._run(slots(job.n_sink, 0, None), slice(job.n_sink))

    @property
    def memory_paced(self) -> bool:
        """A token's beats take the memory longer than its slot takes the lifting unit."""
        if not isinstance(self._supply, Rate):
            return self._supply.longer_than(self._whole)
        return self._in_beats * self._supply.den > self._whole * self._supply.num

    @property
    def codes_after(self) -> int:
        """Cycles at least from a token's last beat until the codes of all that comes of it count as there."""
        return self._unit.latency + self._after

    def take(self, gate: int) -> bool:
        """The tokens of the next super-tile, the first of them not before `gate`; nothing behind the last one. Whether
        it waited for that."""
        if not self._bounds:
            return False
        first, self._slot = self._slot, self._bounds.pop(0)
        self._number += 1
        if not first:
            self._cycle = max(self._cycle + self._unit.job_cycles, self._first)
        waits, self._cycle = gate > self._cycle, max(self._cycle, gate)
        window = slice(first, self._slot)
        self._run(tuple(column[window] for column in self._slots), slice(self._sinks, None))
        return waits

    @property
    def over(self) -> int:
        """First cycle in which the front has no job, behind the last token."""
        return max(self._cycle, int(self.ready.max())) + 1

    def take_all(self) -> None:
        """All tokens, where no gate is ever closed."""
        while self._bounds:
            self.take(self._cycle)

    def _run(self, run: tuple[np.ndarray, ...], tokens: slice) -> None:
        """Slots of the lifting unit, one after the other, whose coefficients are numbers among `tokens`."""
        takes, busy, coef = run
        full = isinstance(self._supply, Rate) and self._supply.full
        lasts = self._prompt(busy) if full else self._throttled(takes, busy)
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
        """The same as the memory gives them: a slot is as late as its beats are."""
        lasts: list[int] = []
        beats = self._beats
        for (takes_token, works), alike in groupby(zip(takes.tolist(), busy.tolist(), strict=True)):
            count, gap = sum(1 for _ in alike), self._whole - beats if works else 0
            if takes_token:
                lasts += self._tokens(count, gap)
            else:
                last, step = self._cycle + (beats - 1) * works, (beats - 1) * works + 1 + gap
                lasts += range(last + self._short, last + self._short + count * step, step)
                self._cycle += count * step
        return np.array(lasts, np.int64)

    def _tokens(self, count: int, gap: int) -> list[int]:
        """So many tokens in a row, each `gap` cycles behind the one before; see `_behind_whole`."""
        if isinstance(self._supply, PortTokens) and self._rotated is None:
            found, befores = self._supply.run(self._cycle, count, gap, self._beats - self._groups[-1] - 1)
            self._cycle = found[-1] + 1 + gap
            return [self._behind_whole(*each) for each in zip(found, befores, strict=True)] if self._short else found
        lasts = []
        for _ in range(count):
            last, before = self._token(self._cycle)
            lasts.append(self._behind_whole(last, before))
            self._cycle = last + 1 + gap
        return lasts

    def _token(self, cycle: int) -> tuple[int, int]:
        """(cycle of the last beat of a token that may begin in `cycle`, of the last one before its last group).

        What it waits for depends on where that is in the memory's period, and since when the last beat has been gone;
        behind a Hadamard unit, on the state of that.
        """
        head, supply = self._beats - self._groups[-1], self._supply
        if not isinstance(supply, Rate):
            assert self._rotated is not None
            last = self._rotated.take(cycle, self._beats)
            return last, self._rotated.latest(self._beats)[head - 1] if self._short else cycle
        where = cycle % supply.den
        if self._rotated is None:
            gone = where, cycle - self._last
            if gone not in self._advance:
                before = supply.take(self._last, cycle, head) if self._short else cycle
                self._advance[gone] = supply.take(self._last, cycle, self._beats) - cycle, before - cycle
            advance, ahead = self._advance[gone]
            self._last = cycle + advance
            return self._last, cycle + ahead
        began = where, self._rotated.state(cycle)
        if began in self._rotations:
            advance, ahead, state = self._rotations[began]
            self._rotated.restore(cycle, state)
            return cycle + advance, cycle + ahead
        last = self._rotated.take(cycle, self._beats)
        before = self._rotated.latest(self._beats)[head - 1] if self._short else cycle
        self._rotations[began] = last - cycle, before - cycle, self._rotated.state(cycle)
        return last, before
