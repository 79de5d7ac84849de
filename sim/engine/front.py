"""Front of the engine: the cycle in which every job and input beat is taken, and in which every token's codes are there
(`rtl_gen/engine/front.py`, `rtl_gen/engine/rows.py`).

Nothing behind the input stalls: the lifting unit is paced so that the scale unit always takes what it sends, and codes
are written as they come. So a slot of the lifting unit waits for the input alone, and for the token that opens a
super-tile also for its half of the activation buffer; whatever waits shifts everything after it by as much.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np

from sim.engine.asks import drive
from sim.engine.rotated import BEGIN, Beats, Rotated
from sim.pipeline import Pattern, always
from sim.scale import Quotients
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.haar import Grid
from stamp_hw.haar_slots import chain_levels, forward
from stamp_hw.params import ScaleParams


class Stream(Beats, Protocol):
    """An input stream that says of each beat when it was taken."""

    taken: list[int]

    def take(self, earliest: int, count: int) -> int:
        """Take `count` beats, each as soon as it is offered, the first not before `earliest`: cycle of the last."""

    def latest(self, count: int) -> list[int]:
        """Cycles of the `count` beats that were taken last."""

    def hold(self, cycle: int) -> None:
        """No beat behind those that were taken is offered before this cycle."""


CODED = 2  # cycles from a token's last codes until its row counts as there: a register on their way, the row


@dataclass(slots=True)
class Source:
    """The beats of an input stream: one is offered in the first cycle with `valid` after the last one was taken."""

    valid: Pattern
    taken: list[int] = field(default_factory=list)
    holds: list[tuple[int, int]] = field(default_factory=list)  # beats that were taken before, cycle: see `hold`

    def hold(self, cycle: int) -> None:
        """No beat behind those that were taken is offered before this cycle."""
        self.holds.append((len(self.taken), cycle))

    def behind(self) -> int:
        """First cycle in which the next beat may be offered."""
        cycle = self.last + 1
        return max(cycle, self.holds[-1][1]) if self.holds else cycle

    @property
    def last(self) -> int:
        """Cycle in which the last beat was taken, −1 before the first one."""
        return self.taken[-1] if self.taken else -1

    def next(self) -> int:
        """Cycle from which the next beat is offered."""
        cycle = self.behind()
        while not self.valid(cycle):
            cycle += 1
        return cycle

    def record(self, cycle: int) -> None:
        """The next beat is taken in this cycle."""
        self.taken.append(cycle)

    def take(self, earliest: int, count: int) -> int:
        """Take `count` beats, each as soon as it is offered, the first not before `earliest`: cycle of the last."""
        cycle = self.behind() - 1
        if self.valid is always:
            first = max(earliest, cycle + 1)
            self.taken.extend(range(first, first + count))
            return first + count - 1
        for _ in range(count):
            cycle += 1
            while not self.valid(cycle):
                cycle += 1
            cycle = max(cycle, earliest)
            self.taken.append(cycle)
        return cycle

    def latest(self, count: int) -> list[int]:
        """Cycles of the `count` beats that were taken last."""
        return self.taken[-count:]


@lru_cache(maxsize=64)
def slots(tokens: int, levels: int, grid: Grid | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(a token is taken, something exists, coefficient that leaves or −1) of each slot of a lifting job."""
    table = forward(tokens, levels, grid)
    found = table.token >= 0, table.busy, table.coef.astype(np.int64)
    for shared in found:  # remembered, so nobody may write to them
        shared.flags.writeable = False
    return found


def openings(job: EngineJob, parts: Sequence[SuperTile]) -> tuple[dict[int, int], dict[int, int]]:
    """(of the sinks' lifting job, of the other one): slot whose token opens a super-tile → number of that super-tile.
    Where there are sinks, the first of them opens the first one."""
    size = 1 << chain_levels(job.levels, job.grid)
    firsts = {part.first_tile * size: number for number, part in enumerate(parts)}
    return ({0: firsts.pop(0)}, firsts) if job.n_sink else ({}, firsts)


def start_cycles(params: EngineParams, height: int) -> int:
    """Cycles from a job's acceptance to its start in the stages behind: the check, and in 2-D builds a cycle for each
    bit of the height (1 for a sequence), in which the tokens are counted."""
    return 1 + (height.bit_length() if params.axes == 2 else 0)


class Scales:
    """Tokens through the scale unit: from the cycles of a token's coefficients to that of its last codes."""

    def __init__(self, params: ScaleParams) -> None:
        self._params = params
        self._groups = Quotients(params)

    def token(self, beats: Sequence[int], group_beats: int) -> int:
        """Cycle of the last codes, as `sim.scale.timing`, of a token whose beats come in the cycles `beats`, each after
        the one before it, `group_beats` of them a group; the last group may be shorter."""
        limit, groups = self._params.groups_in_flight, self._groups
        for start in range(0, len(beats), group_beats):
            group = beats[start:start + group_beats]
            # The pace of the lifting unit promises it; a group more without its quotient would stop it.
            assert len(groups.ready) < limit or groups.ready[-limit] <= group[-1]
            first = groups.add(group[-1], len(group))
        return first + len(group) - 1


#: A token that the lifting unit asks for: number of the super-tile of its job that it opens, or None; first cycle, its
#: half aside, in which its first beat may be taken; beats.
Token = tuple[int | None, int, int]
#: Asks for tokens, is told the cycles of the beats of each; the cycle after the last slot.
Lifting = Generator[Token, Sequence[int], int]


def lift(params: EngineParams, job: EngineJob, parts: Sequence[SuperTile], start: int, ready: np.ndarray,
         scales: Scales) -> Lifting:
    """The lifting jobs of a job with which the stages start in `start`; fills in `ready` as `Front.lift`."""
    sinks, others = openings(job, parts)
    cycle = start + 1
    if job.n_sink:
        cycle = yield from _walk(params, job, slots(job.n_sink, 0, None), sinks, cycle, ready[: job.n_sink], scales)
    tokens = slots(job.width * job.height, job.levels, job.grid)
    return (yield from _walk(params, job, tokens, others, cycle, ready[job.n_sink :], scales))


def _walk(params: EngineParams, job: EngineJob, run: tuple[np.ndarray, ...], opens: dict[int, int], cycle: int,
          ready: np.ndarray, scales: Scales) -> Lifting:
    """A job of the lifting unit, registers taken in `cycle`."""
    unit, beats = params.haar, job.beats
    group = params.block_beats if job.blocks else beats
    whole, latency = max(beats, unit.min_slot_cycles), unit.latency
    cycle += unit.job_cycles
    for slot, (takes, busy, coef) in enumerate(zip(*(column.tolist() for column in run), strict=True)):
        if not busy:
            cycle += 1
            continue
        passes: Sequence[int] = (yield opens.get(slot), cycle, beats) if takes else range(cycle, cycle + beats)
        if coef >= 0:
            ready[coef] = scales.token([at + latency for at in passes], group) + CODED
        cycle = passes[-1] + 1 + whole - beats
    return cycle


class Front:
    """Jobs and tokens in, cycle by cycle of each.

    Parameters
    ----------
    params : EngineParams
    jobs : stall pattern of the stream `job`
    tokens : the stream `i`
    free : first cycle in which the half of a super-tile, counted across all jobs, is free
    """

    def __init__(self, params: EngineParams, jobs: Pattern, tokens: Stream, free: Callable[[int], int]) -> None:
        self._params, self._unit, self._free = params, params.haar, free
        self.jobs, self.tokens = Source(jobs), tokens
        self._rotated = None if params.rotation is None else Rotated(params.rotation, self.tokens)
        self._scales = Scales(params.scale)
        self._idle = 0  # first cycle in which a job can be taken
        self._count = 0  # super-tiles of earlier jobs

    def accept(self, job: EngineJob, room: int) -> int:
        """Take a job's registers, not before `room`: the cycle in which the stages behind start with it."""
        self._start = self.jobs.take(max(self._idle, room), 1) + start_cycles(self._params, job.height)
        return self._start

    def lift(self, job: EngineJob, parts: Sequence[SuperTile], ready: np.ndarray) -> None:
        """Take the tokens of the job accepted last. Fills in `ready`, int64[n_sink + tokens], sinks first and then by
        coefficient: cycle from which a token's codes count as there. A super-tile's are complete when `free` is asked
        for the second one after it."""
        sinks, others = openings(job, parts)
        self._taker: Stream | Rotated = self.tokens
        if self._rotated is not None and job.hadamard:
            self._taker = self._rotated
            self._rotated.start(self._start + BEGIN, job.in_beats, job.beats)
        cycle = drive(lift(self._params, job, parts, self._start, ready, self._scales), self._token)
        self._count += len(parts)
        # Idle again once the lifting is over and all codes are there: seen in that cycle, a state later.
        self._idle = max(cycle, int(ready.max())) + 1

    def _token(self, ask: Token) -> Sequence[int]:
        """The token that is asked for."""
        opens, cycle, beats = ask
        if opens is not None:
            cycle = max(cycle, self._free(self._count + opens))
        self._taker.take(cycle, beats)
        return self._taker.latest(beats)
