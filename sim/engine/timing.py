"""The engine beat by beat: the cycle of every beat of every stream, for jobs that follow each other under any stalls.

The stages wait for each other in a few places only, so each is followed as far as the others need it: a super-tile's
first token waits for the passes of the super-tile before the last; a pass for the tokens, for its weights and for the
inverse lifting of the pass before the last; a job's registers for those of the job before; and where a host says so, a
job's streams for the results of the job before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from sim.engine.array import LOADED, NEVER, Passes
from sim.engine.back import Back, Lifting, liftings
from sim.engine.early import Early
from sim.engine.front import Front, Source, Stream
from sim.pipeline import Pattern, always
from sim.task import Task
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EngineTiming:
    """Cycle in which each beat of each stream is taken, int64 arrays, counted from a cycle in which the engine is idle
    and the first job's registers may be offered."""

    jobs: np.ndarray
    tokens: np.ndarray
    weights: np.ndarray
    parameters: np.ndarray
    outputs: np.ndarray

    @property
    def streams(self) -> dict[str, np.ndarray]:
        """By the names of the ports."""
        return {"job": self.jobs, "i": self.tokens, "w": self.weights, "p": self.parameters, "o": self.outputs}

    @property
    def cycles(self) -> int:
        """Cycles up to and including the last output beat."""
        return int(self.outputs[-1]) + 1


class Memory(Protocol):
    """Where `i`, `w`, `p` come from."""

    @property
    def streams(self) -> Mapping[str, Stream]:
        """By the names of the ports."""

    def job(self, cycle: int, results: int | None, task: Task, parts: Sequence[SuperTile]) -> None:
        """A job whose registers are taken in `cycle`; `results` as in `sim.engine.port_streams.PortMemory`."""

    def loaded(self) -> None:
        """The engine has a pass of the job that came last before its tokens may come."""


class Watch(Protocol):
    """Who is told of passes and lifting jobs as they are followed."""

    def issued(self, last: int, ready: Sequence[int], out_free: int) -> None:
        """As `sim.engine.array.Issued`."""

    def lifted(self, begin: int, end: int) -> None:
        """As `sim.engine.back.Lifted`."""


def timing(params: EngineParams, jobs: Sequence[EngineJob], valid: Mapping[str, Pattern] | None = None,
           ready: Pattern = always, memory: Memory | None = None, watch: Watch | None = None,
           early: Sequence[Early] | None = None) -> EngineTiming:
    """Follow `jobs` through the engine.

    Parameters
    ----------
    valid : stall patterns of the inputs `job`, `i`, `w`, `p` (one that is missing never stalls)
    ready : stall pattern of `o`
    memory : where `i`, `w`, `p` come from in place of `valid`, which must not name them then
    watch : who is told what the units behind the streams do
    early : of each job what may come before the results of the job before it; None: everything
    """
    engine = _Engine(params, dict(valid or {}), ready, memory, watch)
    for job, ahead in zip(jobs, early or [Early.TOKENS] * len(jobs), strict=True):
        engine.take(job, ahead)
    engine.follow(len(engine.super_tiles))
    beats = (engine.front.jobs.taken, engine.front.tokens.taken, engine.passes.loader.weights.taken,
             engine.passes.loader.words.taken, engine.back.outputs)
    names = (item.name for item in fields(EngineTiming))
    return EngineTiming(**{name: np.array(cycles, np.int64) for name, cycles in zip(names, beats, strict=True)})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _SuperTile:
    """A super-tile of the `job`-th job: its division, the cycle in which each of the job's tokens counts as there."""

    job: int
    part: SuperTile
    last: bool
    ready: np.ndarray


class _Engine:
    """The stages, and how far the passes have been followed."""

    def __init__(self, params: EngineParams, valid: dict[str, Pattern], ready: Pattern, memory: Memory | None,
                 watch: Watch | None) -> None:
        self.params, self.memory = params, memory
        assert memory is None or not set(valid) & set(memory.streams)
        streams: Mapping[str, Stream] = memory.streams if memory is not None else {
            name: Source(valid.get(name, always)) for name in ("i", "w", "p")}
        self.streams = streams
        self.front = Front(params, valid.get("job", always), streams["i"], self._free)
        self.passes = Passes(params, streams["w"], streams["p"], None if watch is None else watch.issued)
        self.back = Back(params, ready, None if watch is None else watch.lifted)
        self.jobs: list[EngineJob] = []
        self.super_tiles: list[_SuperTile] = []  # of all jobs that have been taken
        self._starts: list[int] = []  # of each job: cycle in which the stages get its registers
        self._started = 0  # jobs whose registers the stages have exchanged
        self._freed: list[int] = []  # of each super-tile that was followed: when its half is free again

    def take(self, job: EngineJob, early: Early) -> None:
        """Take a job's registers and its tokens."""
        results = self._results() if early.waiting and self.jobs else None
        self.jobs.append(job)
        self._starts.append(self.front.accept(job, self._room()))
        parts = super_tile.divide(job.resolved, job.tile_width, job.tile_height, self.params.rows)
        if self.memory is not None:
            self.memory.job(self.front.jobs.last, results, Task.of_job(job, self.params), parts)
        if results is not None:
            for name in early.waiting:
                self.streams[name].hold(results)
            if self.memory is not None and early is Early.WEIGHTS and self._loads_before(results):
                self.memory.loaded()
        ready = np.full(job.n_sink + job.width * job.height, -1, np.int64)
        self.super_tiles += [_SuperTile(job=len(self.jobs) - 1, part=part, last=part is parts[-1], ready=ready)
                             for part in parts]
        self.front.lift(job, parts, ready)

    def follow(self, count: int) -> None:
        """Follow the passes of the first `count` super-tiles."""
        for item in self.super_tiles[len(self._freed) : count]:
            self._start(item.job)
            arrived = item.ready[item.part.order]
            job = self.jobs[item.job]
            k, _ = job.channels(self.params)
            shapes = liftings(job, item.part)
            self._column = 0

            def lift(complete: int, job: EngineJob = job, shapes: list[Lifting] = shapes) -> None:
                self._column += 1
                beats = self.params.chunks if self._column < job.columns else job.out_beats
                self.back.lift(complete, beats, shapes)

            self._freed.append(self.passes.super_tile(
                k, job.weights, job.columns, arrived[item.part.ready], int(arrived[-1]), item.last, lift,
                self.back.free))
            if item.last:
                self.back.end()

    def _results(self) -> int:
        """Cycle behind that in which the last result of the jobs so far is taken."""
        self.follow(len(self.super_tiles))
        return self.back.outputs[-1] + 1

    def _loads_before(self, results: int) -> bool:
        """Whether the first pass of the job that was taken last is loaded before its tokens may come: on a copy, since
        tokens are followed before passes. What the port does later has no say in it."""
        job, loader = self.jobs[-1], deepcopy(self.passes.loader, {id(self.params): self.params})
        loader.start(self._starts[-1])
        k, _ = job.channels(self.params)
        return loader.load(k, job.weights, self.passes.released) < results + LOADED

    def _start(self, job: int) -> None:
        """Exchange the registers of all jobs up to this one."""
        while self._started <= job:
            for stage in (self.passes, self.back):
                stage.start(self._starts[self._started])
            self._started += 1

    def _room(self) -> int:
        """First cycle in which all stages can take another job's registers."""
        if not self._starts:
            return NEVER
        latest = len(self._starts) - 1
        self.follow(next(number for number, item in enumerate(self.super_tiles) if item.job == latest))
        self._start(latest)
        return max(stage.registers.room for stage in (self.passes.loader, self.passes, self.back))

    def _free(self, number: int) -> int:
        """First cycle in which super-tile `number` may begin: its half is that of the one before the last."""
        if number < 2:
            return NEVER
        self.follow(number - 1)
        return self._freed[number - 2]
