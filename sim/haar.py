"""Cycles and events of the lifting units, forward and inverse (`params.direction`).

A slot (`stamp_hw/haar_slots.py`) in which something exists takes max(beats, min_slot_cycles) cycles, another one cycle,
a job `job_cycles` before its first slot. Jobs follow each other without a gap: the job stream always has the next one
ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sim import pipeline
from sim.pipeline import Pattern, Timing, always
from stamp_hw.haar_slots import HaarJob, Timetable, forward, inverse
from stamp_hw.params import FinishParams, HaarParams


@dataclass(frozen=True, slots=True, kw_only=True)
class HaarEvents:
    """Beats: butterflies with both operands, those of the second butterfly (2-D), line memory words read and
    written."""

    butterflies: int
    cross_butterflies: int
    line_reads: int
    line_writes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HaarTiming(Timing):
    """Adds the cycle in which each job's registers are taken (int64)."""

    jobs: np.ndarray


def timetable(params: HaarParams, job: HaarJob) -> Timetable:
    """The job's slots in the unit's direction."""
    return (forward if params.direction == "forward" else inverse)(job.tokens, job.levels, job.grid)


def slot_cycles(params: HaarParams, job: HaarJob) -> int:
    """Cycles of a busy slot."""
    return max(job.beats, params.min_slot_cycles)


def items(params: HaarParams, job: HaarJob) -> tuple[np.ndarray, np.ndarray]:
    """(takes an input beat, becomes an output beat) of every cycle's issue of a job; the first takes its registers."""
    table = timetable(params, job)
    enters, leaves = (table.token, table.coef) if params.direction == "forward" else (table.coef, table.token)
    cycles = np.where(table.busy, slot_cycles(params, job), 1)
    slot = np.repeat(np.arange(len(cycles)), cycles)
    real = np.arange(len(slot)) - (np.cumsum(cycles) - cycles)[slot] < job.beats
    between = np.zeros(params.job_cycles, bool)
    return np.append(between, real & (enters[slot] >= 0)), np.append(between, real & (leaves[slot] >= 0))


def timing(params: HaarParams, jobs: Sequence[HaarJob], valid: Pattern = always, ready: Pattern = always) -> HaarTiming:
    """Cycle of every beat of jobs that follow each other; cycle 0 takes the first job's registers."""
    takes, emits = zip(*(items(params, job) for job in jobs), strict=True)
    first = np.cumsum([0, *map(len, takes[:-1])])
    run = pipeline.run(np.concatenate(takes), np.concatenate(emits), params.latency, valid, ready)
    return HaarTiming(inputs=run.inputs, outputs=run.outputs, issues=run.issues, jobs=run.issues[first])


def period(params: HaarParams, job: HaarJob) -> int:
    """Cycles from one job's registers to the next job's, unthrottled."""
    busy, idle = _slots(params.direction, job.tokens, job.levels, job.grid)
    return params.job_cycles + busy * slot_cycles(params, job) + idle


def cycles(params: HaarParams, jobs: Sequence[HaarJob]) -> int:
    """Cycles until the last output beat is taken, unthrottled: `timing(...).cycles` in closed form."""
    last = jobs[-1]
    quiet = _slots_after_last_output(params, last) + slot_cycles(params, last) - last.beats
    return sum(period(params, job) for job in jobs) - quiet + params.latency


def arrival(params: HaarParams, job: HaarJob) -> np.ndarray:
    """Cycle in which the last beat of each output token leaves, unthrottled: int64[S].

    Forward: by coefficient index. Inverse: by raster index of the token.
    """
    table = timetable(params, job)
    leaves = table.coef if params.direction == "forward" else table.token
    taken = np.where(table.busy, slot_cycles(params, job), 1)
    start = params.job_cycles + np.cumsum(taken) - taken
    slots = np.flatnonzero(leaves >= 0)
    result = np.empty(job.tokens, np.int64)
    result[leaves[slots]] = start[slots] + job.beats - 1 + params.latency
    return result


def events(params: HaarParams, jobs: Sequence[HaarJob]) -> HaarEvents:
    """Event counts, whatever the stalls."""
    each = [[count * job.beats for count in _node_events(params.direction, job)] for job in jobs]
    butterflies, cross_butterflies, line_reads, line_writes = map(sum, zip(*each, strict=True))
    return HaarEvents(butterflies=butterflies, cross_butterflies=cross_butterflies, line_reads=line_reads,
                      line_writes=line_writes)


def finish_timing(params: FinishParams, beats: int, valid: Pattern = always, ready: Pattern = always) -> Timing:
    """Cycle of every input and output beat of the unit that adds the bias."""
    one = np.ones(beats, bool)
    return pipeline.run(one, one, params.latency, valid, ready)


def _node_events(direction: str, job: HaarJob) -> tuple[int, int, int, int]:
    """Events of one beat of every token: butterflies, cross butterflies, line reads, line writes."""
    height, width = (1, job.tokens) if job.grid is None else job.grid
    nodes, pairs, hl, hh = [], [], 0, 0
    for level in range(job.chain):
        if job.grid is not None and level % 2:
            nodes.append((height + 1) // 2 * width)
            pairs.append(height // 2 * width)
            height = (height + 1) // 2
        else:
            nodes.append(height * ((width + 1) // 2))
            pairs.append(height * (width // 2))
            if job.grid is not None:
                hl += (height + 1) // 2 * (width // 2)
                hh += height // 2 * (width // 2)
            width = (width + 1) // 2
    if not nodes:
        return 0, 0, 0, 0
    # Every word that is written is read once. Forward: the a of level 1, each s, and in `cross` each d0 and HH.
    # Inverse: each s, the b of level 1, and in `cross` each HH and d1.
    used = sum(nodes) + (nodes[0] + hl + hh if direction == "forward" else pairs[0] + 2 * hh)
    return sum(pairs), hh, used, used


@lru_cache(maxsize=1024)
def _slots(direction: str, tokens: int, levels: int, grid: tuple[int, int] | None) -> tuple[int, int]:
    """(busy, idle) slots of a job.

    Along each axis the first and the last tiles differ from the others, and these are all alike: from the second tile
    on each more adds the same. So at most three tiles an axis are looked at.
    """
    height, width = (1, tokens) if grid is None else grid
    side = 1 << levels

    def count(height: int, width: int) -> np.ndarray:
        for axis, size in enumerate((height, width)):
            extra = -(-size // side) - 3
            if extra > 0 and (grid is not None or axis == 1):
                three, two = ([height, width] for _ in range(2))
                three[axis] -= extra * side
                two[axis] -= (extra + 1) * side
                found: np.ndarray = (1 + extra) * count(*three) - extra * count(*two)
                return found
        build = forward if direction == "forward" else inverse
        busy = build(height * width, levels, None if grid is None else (height, width)).busy
        return np.array([np.count_nonzero(busy), np.count_nonzero(~busy)], np.int64)

    busy, idle = count(height, width)
    return int(busy), int(idle)


def _slots_after_last_output(params: HaarParams, job: HaarJob) -> int:
    """Idle slots behind the last token that leaves the inverse unit; the forward unit's last slot emits the last low
    pass.
    """
    if params.direction == "forward":
        return 0
    side = 1 << job.levels
    if job.grid is None:
        return side - 1 - (job.tokens - 1) % side
    row, column = ((size - 1) % side for size in job.grid)
    place = sum((column >> bit & 1) << 2 * bit | (row >> bit & 1) << 2 * bit + 1 for bit in range(job.levels))
    return side * side - 1 - place
