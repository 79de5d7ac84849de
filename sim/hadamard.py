"""Cycles and events of the block Hadamard unit: one elastic pipeline that gives a block once the whole of it is there.

`timing` steps the unit under any stalls; `cycles` is what it collapses to when neither side stalls. A job that is off
lets its beats pass in the cycle in which they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.pipeline import Pattern, Timing, always
from stamp_hw.hadamard_params import HadamardJob, HadamardParams


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HadamardTiming(Timing):
    """Adds the cycle in which each job's registers are taken (int64)."""

    jobs: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class HadamardEvents:
    """Counts of one or more jobs; the fields are those of the unit's `events` port.

    `beats` that entered, those that pad a block among them; `saturated` words that were clipped.
    """

    beats: int
    saturated: int


def events(params: HadamardParams, *jobs: HadamardJob, saturated: int = 0) -> HadamardEvents:
    """Whatever the stalls; `saturated` is a property of the data and is handed through."""
    return HadamardEvents(beats=sum(job.tokens * job.beats for job in jobs if job.on), saturated=saturated)


def period(params: HadamardParams, job: HadamardJob) -> int:
    """Cycles from a job's registers to the next job's, when neither side stalls."""
    return job.tokens * job.beats + (params.job_cycles if job.on else 1)


def cycles(params: HadamardParams, *jobs: HadamardJob) -> int:
    """Cycles of jobs in a row without stalls, from the first job's registers to the last output beat."""
    return sum(period(params, job) for job in jobs)


def timing(params: HadamardParams, jobs: Sequence[HadamardJob], valid: Pattern = always, ready: Pattern = always,
           job_valid: Pattern = always) -> HadamardTiming:
    """Cycle of every beat of jobs that follow each other, counted from a cycle in which the unit is idle.

    Parameters
    ----------
    valid, ready, job_valid : stall patterns of the input, the output and the job stream
    """
    wanted = sum(job.tokens * job.in_beats for job in jobs)
    inputs: list[int] = []
    outputs: list[int] = []
    taken: list[int] = []
    offered = job_offered = False
    job: HadamardJob | None = None
    entered = left = 0  # beats of the job that have entered and left, those that pad among them
    moves = 0  # cycles of the pipeline's own time, which stands still while an output beat waits
    due: deque[int] = deque()  # when the beats that are inside are at the output, in that time
    cycle = 0
    while len(taken) < len(jobs) or job is not None:
        offered = offered or (len(inputs) < wanted and valid(cycle))
        job_offered = job_offered or (len(taken) < len(jobs) and job_valid(cycle))
        if job is None:
            if job_offered:
                job, job_offered = jobs[len(taken)], False
                entered = left = 0
                taken.append(cycle)
        elif not job.on:
            if offered and ready(cycle):
                offered = False
                inputs.append(cycle)
                outputs.append(cycle)
                left += 1
        else:
            at_output = bool(due) and due[0] == moves
            if not at_output or ready(cycle):
                if at_output:
                    due.popleft()
                    outputs.append(cycle)
                    left += 1
                if entered < job.tokens * job.beats:
                    pads = entered % job.beats >= job.in_beats
                    if pads or offered:
                        if not pads:
                            offered = False
                            inputs.append(cycle)
                        entered += 1
                        if entered % params.block_beats == 0:
                            due.extend(range(moves + params.latency, moves + params.latency + params.block_beats))
                moves += 1
        if job is not None and left == job.tokens * job.beats:
            job = None
        cycle += 1
    return HadamardTiming(inputs=np.array(inputs, np.int64), outputs=np.array(outputs, np.int64),
                          jobs=np.array(taken, np.int64))
