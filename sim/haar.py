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
    each = [(sum(nodes.pairs) * job.beats, nodes.hh * job.beats, sum(line_words(params, job).values()))
            for job in jobs for nodes in (_nodes(job),)]
    butterflies, cross_butterflies, words = map(sum, zip(*each, strict=True))
    return HaarEvents(butterflies=butterflies, cross_butterflies=cross_butterflies, line_reads=words,
                      line_writes=words)


def finish_timing(params: FinishParams, beats: int, valid: Pattern = always, ready: Pattern = always) -> Timing:
    """Cycle of every input and output beat of the unit that adds the bias."""
    one = np.ones(beats, bool)
    return pipeline.run(one, one, params.latency, valid, ready)


def line_words(params: HaarParams, job: HaarJob) -> dict[str, int]:
    """Words written to each line memory of the unit, and as many read from it: "wait", "even", "odd", and with two
    axes "cross"; they add up to `line_writes`.

    `even` and `odd` hold each s, as the first and the second operand of the butterfly of the next level, `even` the low
    pass as well. `wait` has the a of level 1, of the inverse unit the b; `cross` d0 and HH, or HH and d1.
    """
    nodes = _nodes(job)
    forward = params.direction == "forward"
    found = {
        "wait": sum(nodes.each[:1] if forward else nodes.pairs[:1]),
        "even": sum(nodes.each[1:]) + sum(nodes.each[-1:]),
        "odd": sum(nodes.pairs[1:]),
        **({"cross": nodes.hl + nodes.hh if forward else 2 * nodes.hh} if params.axes == 2 else {}),
    }
    return {line: words * job.beats for line, words in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nodes:
    """Butterflies of one beat of every token, level by level: of `each` level those whose first operand exists, `pairs`
    with both; HL and HH that a second butterfly makes."""

    each: list[int]
    pairs: list[int]
    hl: int
    hh: int


def _nodes(job: HaarJob) -> _Nodes:
    height, width = (1, job.tokens) if job.grid is None else job.grid
    each, pairs, hl, hh = [], [], 0, 0
    for level in range(job.chain):
        if job.grid is not None and level % 2:
            each.append((height + 1) // 2 * width)
            pairs.append(height // 2 * width)
            height = (height + 1) // 2
        else:
            each.append(height * ((width + 1) // 2))
            pairs.append(height * (width // 2))
            if job.grid is not None:
                hl += (height + 1) // 2 * (width // 2)
                hh += height // 2 * (width // 2)
            width = (width + 1) // 2
    return _Nodes(each=each, pairs=pairs, hl=hl, hh=hh)


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
