"""Cycles and events of the scale unit.

`timing` steps the unit's control cycle by cycle under any stalls; `group_times` and `cycles` are the recurrence that it
collapses to when neither side stalls. Both know the unit's registers only through `ScaleParams`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from sim.pipeline import Pattern, Timing, always
from stamp_hw.params import ScaleJob, ScaleParams


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScaleTiming(Timing):
    """Adds the cycle in which each job's registers are taken (int64)."""

    jobs: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleEvents:
    """Event counts of one or more jobs; beats have `lanes` coefficients, a division is one group's."""

    compares: int
    buffer_writes: int
    buffer_reads: int
    divisions: int
    divide_steps: int
    multiplies: int


def group_beats(job: ScaleJob) -> list[int]:
    """Beats of each group of one token."""
    whole, rest = divmod(job.beats, job.group_beats)
    return [job.group_beats] * whole + [rest] * (rest > 0)


def events(params: ScaleParams, *jobs: ScaleJob) -> ScaleEvents:
    """Every beat is compared, written, read and multiplied once; every group is divided once."""
    beats = sum(job.tokens * job.beats for job in jobs)
    groups = sum(job.tokens * len(group_beats(job)) for job in jobs)
    return ScaleEvents(compares=beats, buffer_writes=beats, buffer_reads=beats, divisions=groups,
                       divide_steps=groups * params.recip_width, multiplies=beats)


class Quotients:
    """Groups through the dividers and the back end: what becomes of each, given the cycle of its last input beat.

    `ready` holds the first cycle in which a group's quotient is in its divider's output register, `reads` that of its
    first beat's read, `freed` the first one after its last beat's.
    """

    def __init__(self, params: ScaleParams) -> None:
        self._params = params
        self._loads: list[int] = []
        self.ready: list[int] = []
        self.reads: list[int] = []
        self.freed: list[int] = []

    def add(self, last: int, beats: int) -> int:
        """A group of `beats` beats whose last one comes in cycle `last`, without stalls of the output: cycle of its
        first codes.

        The division is loaded when the leading zeros are known and the divider's last quotient is out; the quotient
        leaves when the one before it is read. The first beat is read when the quotient is there and the group before
        is read.
        """
        params, turn = self._params, len(self.ready) - self._params.dividers
        load, ready, freed = (self._loads[turn], self.ready[turn], self.freed[turn]) if turn >= 0 else (0, 0, 0)
        zeros = max(last + params.range_cycles + 1, load)
        self._loads.append(max(zeros + 1, ready))
        self.ready.append(max(self._loads[-1] + params.recip_width, freed))
        self.reads.append(max(self.ready[-1], self.freed[-1] if self.freed else 0))
        self.freed.append(self.reads[-1] + beats)
        return self.reads[-1] + params.code_cycles


def group_times(params: ScaleParams, *jobs: ScaleJob) -> tuple[np.ndarray, np.ndarray]:
    """(cycle of the last input beat, cycle of the first output beat) of every group without stalls, int64[groups].

    Cycle 0 takes the first job's registers. Within a group, outputs are consecutive. The last input beat waits for the
    read of the beat whose place in the ring buffer it takes (a stall earlier in the group is never longer), and for
    the quotient of the group `groups_in_flight` before.
    """
    lasts: list[int] = []
    firsts: list[int] = []
    starts: list[int] = []  # index of each group's first beat
    groups = Quotients(params)
    shift = 0  # cycle of an input beat minus its index, so far
    beat = 0
    freed = 0  # group that holds the beat whose place the current one takes
    for job in jobs:
        shift += 1  # the cycle that takes the registers
        for beats in group_beats(job) * job.tokens:
            starts.append(beat)
            beat += beats
            last = beat - 1
            before = last - params.buffer_beats
            if before >= 0:
                while freed + 1 < len(firsts) and starts[freed + 1] <= before:
                    freed += 1
                shift = max(shift, groups.reads[freed] - starts[freed] + 1 - params.buffer_beats)
            if len(firsts) >= params.groups_in_flight:
                shift = max(shift, groups.ready[-params.groups_in_flight] - last)
            lasts.append(last + shift)
            firsts.append(groups.add(lasts[-1], beats))
    return np.array(lasts, np.int64), np.array(firsts, np.int64)


def cycles(params: ScaleParams, *jobs: ScaleJob) -> int:
    """Cycles of jobs in a row without stalls, from the first job's registers to the last output beat."""
    _, first = group_times(params, *jobs)
    return int(first[-1]) + group_beats(jobs[-1])[-1]


def timing(params: ScaleParams, jobs: Sequence[ScaleJob], valid: Pattern = always, ready: Pattern = always,
           job_valid: Pattern = always) -> ScaleTiming:
    """Step the unit through `jobs`.

    Parameters
    ----------
    valid, ready, job_valid : stall patterns of the input, the output and the job stream
    """
    total = sum(job.tokens * job.beats for job in jobs)
    inputs: list[int] = []
    outputs: list[int] = []
    taken_jobs: list[int] = []
    offered = job_offered = False
    sizes: Iterator[int] = iter(())  # beats of the groups that the running job still has in front of it
    size = left = 0  # beats of the group at the input, and those of them still to come; 0: no job runs
    used = waiting = 0
    ranges: deque[tuple[int, int]] = deque()  # in the tree: (cycle in which the range leaves it, beats of the group)
    dividers = range(params.dividers)
    # beats of the group in each register of each divider, 0 when it is empty; quotient bits that a division lacks
    ranged, zeros, divided, result, steps = ([0 for _ in dividers] for _ in range(5))
    entering = leaving = 0  # dividers of the next group and of the next quotient
    stages, pipe = params.code_cycles, 0  # back end, one bit a stage
    cycle = 0
    while len(outputs) < total:
        offered = offered or (len(inputs) < total and valid(cycle))
        job_offered = job_offered or (len(taken_jobs) < len(jobs) and job_valid(cycle))
        take_job = job_offered and not left
        accept = (offered and left > 0 and used < params.buffer_beats
                  and not (left == 1 and waiting == params.groups_in_flight))

        # back end
        move = True
        if pipe >> (stages - 1):
            move = ready(cycle)
            if move:
                outputs.append(cycle)
                pipe -= 1 << (stages - 1)
        if move:
            pipe <<= 1
            if result[leaving]:
                pipe += 1
                result[leaving] -= 1
                used -= 1
                if not result[leaving]:
                    leaving = (leaving + 1) % params.dividers

        # each divider, from its end: a register moves on when the next one is empty by now
        for n in dividers if waiting else ():
            if divided[n] and (steps[n] > 1 or not result[n]):
                steps[n] -= 1
                if not steps[n]:
                    divided[n], result[n] = 0, divided[n]
                    waiting -= 1
            if zeros[n] and not divided[n]:
                zeros[n], divided[n], steps[n] = 0, zeros[n], params.recip_width
            if ranged[n] and not zeros[n]:
                ranged[n], zeros[n] = 0, ranged[n]
        if ranges and ranges[0][0] == cycle:
            ranged[entering] = ranges.popleft()[1]
            entering = (entering + 1) % params.dividers

        # front
        if take_job:
            job = jobs[len(taken_jobs)]
            taken_jobs.append(cycle)
            job_offered = False
            sizes = chain.from_iterable(repeat(group_beats(job), job.tokens))
            size = left = next(sizes)
        if accept:
            inputs.append(cycle)
            offered = False
            used += 1
            left -= 1
            if not left:
                waiting += 1
                ranges.append((cycle + params.range_cycles - 1, size))
                size = left = next(sizes, 0)
        cycle += 1
    return ScaleTiming(inputs=np.array(inputs, np.int64), outputs=np.array(outputs, np.int64),
                       jobs=np.array(taken_jobs, np.int64))
